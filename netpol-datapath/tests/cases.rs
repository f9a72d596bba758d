//! The packet table, on the host.

use netpol_datapath::cases::{self, Host, Step};

#[test]
fn every_packet_of_the_table_and_every_prefix_is_judged_as_it_says() {
    let cases = cases::all();
    let mut failures = Vec::new();
    let mut packets = 0;
    for case in &cases {
        packets += case
            .steps
            .iter()
            .filter(|s| matches!(s, Step::Packet(_)))
            .count();
        if let Err(failure) = cases::run(case, &mut Host::default()) {
            failures.push(failure.to_string());
        }
    }
    println!(
        "{} cases, {packets} packets, and their prefixes",
        cases.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn no_two_cases_have_one_name() {
    let mut names: Vec<_> = cases::all().into_iter().map(|case| case.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
