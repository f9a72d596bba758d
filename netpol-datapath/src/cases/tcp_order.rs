//! TCP out of order: flags of nonsense, both sides at once, ends in every order.

use std::format;
use std::vec;
use std::vec::Vec;

use netpol_common::conntrack::{TIMEOUT_SECONDS, Timeout};
use netpol_common::counter::NOT_ISOLATED;

use super::Case;
use super::step::{PacketStep, Step, from_pod, to_pod};
use super::tcp::handshake_out;
use super::world::{DENY_IN, DENY_OUT, FRIEND_IN, FRIEND_OUT, NOTHING, Net, isolated, next};
use crate::build::packet;
use crate::build::tcp::{ACK, FIN, PSH, RST, SYN};

const URG: u8 = 0x20;
const NOTHING_TRACKED: Step = Step::Tracked { replied: 0, new: 0 };
const NEW: Step = Step::Tracked { replied: 0, new: 1 };
const ESTABLISHED: Step = Step::Tracked { replied: 1, new: 0 };

/// Flags that open no connection, and that none has in its middle.
const NONSENSE: [u8; 10] = [
    0,
    PSH,
    PSH | URG,
    SYN | FIN,
    SYN | RST,
    SYN | ACK | FIN,
    SYN | ACK | RST,
    FIN | PSH | URG,
    FIN | RST | ACK,
    0xff,
];

fn out(net: &Net, flags: u8) -> PacketStep {
    from_pod(packet(net.pod, net.friend).tcp(40_000, 443, flags))
}

fn back(net: &Net, flags: u8) -> PacketStep {
    to_pod(packet(net.friend, net.pod).tcp(443, 40_000, flags))
}

fn after(first: Vec<Step>, then: impl IntoIterator<Item = Step>) -> Vec<Step> {
    first.into_iter().chain(then).collect()
}

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [nonsense(net), openings(net), ends(net), resets(net)].concat()
}

fn nonsense(net: &Net) -> Vec<Case> {
    let judged = |packet: fn(&Net, u8) -> PacketStep, rule| {
        NONSENSE.map(|flags| packet(net, flags).passes(rule))
    };
    let all = judged(out, FRIEND_OUT)
        .into_iter()
        .chain(judged(back, FRIEND_IN))
        .chain([NOTHING_TRACKED]);
    let by_ports = NONSENSE.into_iter().flat_map(|flags| {
        let sent = packet(net.pod, net.stranger).tcp(40_000, 443, flags);
        let come = packet(net.stranger, net.pod).tcp(443, 40_000, flags);
        [
            from_pod(sent).passes(NOT_ISOLATED),
            to_pod(come).drops(DENY_IN),
        ]
    });
    vec![
        Case::new(
            "flags of nonsense open no connection, though both directions are allowed",
            isolated(net),
            all.collect::<Vec<_>>(),
        ),
        Case::new(
            "nor though the ports say who would have opened it",
            isolated(net).ingress_only(),
            by_ports.chain([NOTHING_TRACKED]).collect::<Vec<_>>(),
        ),
    ]
}

fn openings(net: &Net) -> Vec<Case> {
    vec![
        Case::new(
            "both sides open at once, and either rule would allow it",
            isolated(net),
            [
                out(net, SYN).opens(FRIEND_OUT),
                back(net, SYN).passes(FRIEND_IN),
                out(net, SYN | ACK).passes(FRIEND_OUT),
                NEW,
                back(net, SYN | ACK).passes(FRIEND_OUT),
                ESTABLISHED,
                out(net, PSH | ACK).passes(FRIEND_OUT),
            ],
        ),
        Case::new(
            "an answer is sent again, and so is the SYN before it comes",
            isolated(net),
            [
                back(net, SYN).opens(FRIEND_IN),
                back(net, SYN).passes(FRIEND_IN),
                out(net, SYN | ACK).passes(FRIEND_IN),
                back(net, SYN).passes(FRIEND_IN),
                out(net, SYN | ACK).passes(FRIEND_IN),
                back(net, ACK).passes(FRIEND_IN),
                ESTABLISHED,
            ],
        ),
        Case::new(
            "who opened it forgets a connection, and opens it again after the other's reset",
            isolated(net),
            after(
                handshake_out(net),
                [
                    // RFC 9293, 3.5.1: the other side still has it, and says so.
                    out(net, SYN).passes(FRIEND_OUT),
                    back(net, ACK).passes(FRIEND_OUT),
                    out(net, RST).passes(FRIEND_OUT),
                    out(net, SYN).opens(FRIEND_OUT),
                    NEW,
                    back(net, SYN | ACK).passes(FRIEND_OUT),
                    ESTABLISHED,
                ],
            ),
        ),
        Case::new(
            "ports in TIME-WAIT are no way around a policy that has changed",
            isolated(net),
            after(
                handshake_out(net),
                [
                    out(net, FIN | ACK).passes(FRIEND_OUT),
                    back(net, FIN | ACK).passes(FRIEND_OUT),
                    out(net, ACK).passes(FRIEND_OUT),
                    Step::Switch(next(&isolated(net), |e| e.egress.set = NOTHING)),
                    out(net, SYN).drops(DENY_OUT),
                    out(net, ACK).cuts(DENY_OUT),
                    back(net, SYN).opens(FRIEND_IN),
                ],
            ),
        ),
    ]
}

/// Each side's FIN and RST, in every order: all pass, and then the ports are free.
fn ends(net: &Net) -> Vec<Case> {
    let packets = [
        ("FIN", out(net, FIN | ACK)),
        ("FIN back", back(net, FIN | ACK)),
        ("RST", out(net, RST)),
        ("RST back", back(net, RST | ACK)),
    ];
    let orders = (0..256_usize).filter_map(|number| {
        let order = [0, 2, 4, 6].map(|shift| number >> shift & 3);
        let distinct = (0..4).all(|place| order.contains(&place));
        distinct.then_some(order)
    });
    let case = |order: [usize; 4]| {
        let ended = order.map(|place| packets[place].1.clone().passes(FRIEND_OUT));
        let name = order.map(|place| packets[place].0).join(", ");
        let again = [
            back(net, ACK).passes(FRIEND_OUT),
            ESTABLISHED,
            back(net, SYN).opens(FRIEND_IN),
            NEW,
        ];
        Case::new(
            &format!("a connection ends by {name}"),
            isolated(net),
            after(handshake_out(net), ended.into_iter().chain(again)),
        )
    };
    orders.map(case).collect()
}

fn resets(net: &Net) -> Vec<Case> {
    let closed = TIMEOUT_SECONDS[Timeout::TcpClosed as usize];
    let out = |flags| from_pod(packet(net.pod, net.stranger).tcp(40_000, 443, flags));
    let back = |flags| to_pod(packet(net.stranger, net.pod).tcp(443, 40_000, flags));
    vec![
        Case::new(
            "a connection outlives a reset that was none, unless it falls silent",
            isolated(net).ingress_only(),
            [
                out(SYN).opens(NOT_ISOLATED),
                back(SYN | ACK).passes(NOT_ISOLATED),
                // Forged: neither side heeds it.
                back(RST).passes(NOT_ISOLATED),
                out(PSH | ACK).passes(NOT_ISOLATED),
                Step::Wait(closed - 1),
                back(PSH | ACK).passes(NOT_ISOLATED),
                Step::Wait(closed + 1),
                back(PSH | ACK).drops(DENY_IN),
                // The pod's next packet is one in the middle of its own connection.
                out(PSH | ACK).opens(NOT_ISOLATED),
                back(PSH | ACK).passes(NOT_ISOLATED),
                ESTABLISHED,
            ],
        ),
        Case::new(
            "a reset brings no connection into being, and none over from the new ones",
            isolated(net).ingress_only(),
            [
                out(RST).passes(NOT_ISOLATED),
                NOTHING_TRACKED,
                out(SYN).opens(NOT_ISOLATED),
                back(RST | ACK).passes(NOT_ISOLATED),
                NEW,
            ],
        ),
    ]
}
