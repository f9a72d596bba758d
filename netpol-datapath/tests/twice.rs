//! While an agent goes over from one way of attaching to another, both hooks hold the programs,
//! and a packet is judged twice: what passes the first time passes the second.

use netpol_datapath::Decision;
use netpol_datapath::cases::{self, Case, Host, Step, Subject as _};

#[test]
fn a_packet_that_is_judged_twice_fares_as_one_that_is_judged_once() {
    let failures: Vec<String> = cases::all().iter().flat_map(judge_all_twice).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Every packet of a case, twice, the second time by what the first has left in the tables.
fn judge_all_twice(case: &Case) -> Vec<String> {
    let mut host = Host::default();
    host.set_up(&case.setup);
    let mut failures = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        match step {
            Step::Packet(packet) => {
                let mut judge = || {
                    let (frame, mark) = (&packet.frame, packet.mark);
                    host.judge_marked(packet.direction, frame, packet.local_socket, mark)
                };
                let first = judge();
                let passes = first == Some(Decision::Next);
                let second = if passes { judge() } else { first };
                if (first, second) != (Some(packet.expected.decision), first) {
                    failures.push(format!(
                        "{}: step {number}: {first:?}, then {second:?}, not {:?}",
                        case.name, packet.expected.decision
                    ));
                }
            }
            Step::Switch(entry) => host.switch(entry),
            Step::ForgetNodes => host.forget_nodes(),
            Step::Wait(seconds) => host.wait(*seconds),
            Step::Tracked { .. } => {}
        }
    }
    failures
}
