//! SCTP (RFC 9260): associations from INIT to SHUTDOWN COMPLETE.

use std::vec;
use std::vec::Vec;

use netpol_common::conntrack::{TIMEOUT_SECONDS, Timeout};
use netpol_common::counter::{DropReason, NOT_ISOLATED};
use netpol_common::protocol::SCTP;

use super::Case;
use super::step::{PacketStep, Step, from_pod, to_pod};
use super::world::{DENY_IN, DENY_OUT, FRIEND_IN, FRIEND_OUT, Net, SIGNAL, isolated};
use crate::build::chunk::{
    ABORT, COOKIE_ACK, COOKIE_ECHO, DATA, HEARTBEAT, INIT, INIT_ACK, SHUTDOWN, SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
};
use crate::build::packet;

const NOTHING_TRACKED: Step = Step::Tracked { replied: 0, new: 0 };
const NEW: Step = Step::Tracked { replied: 0, new: 1 };
const ESTABLISHED: Step = Step::Tracked { replied: 1, new: 0 };

fn tag(chunk: u8) -> u32 {
    if chunk == INIT { 0 } else { 0x5eed_0001 }
}

fn out(net: &Net, chunk: u8) -> PacketStep {
    from_pod(packet(net.pod, net.friend).sctp_chunk(40_000, 9, tag(chunk), chunk))
}

fn back(net: &Net, chunk: u8) -> PacketStep {
    to_pod(packet(net.friend, net.pod).sctp_chunk(9, 40_000, tag(chunk), chunk))
}

/// The pod opens an association with a friend.
fn opened(net: &Net) -> Vec<Step> {
    vec![
        out(net, INIT).opens(FRIEND_OUT),
        back(net, INIT_ACK).passes(FRIEND_OUT),
        out(net, COOKIE_ECHO).passes(FRIEND_OUT),
        back(net, COOKIE_ACK).passes(FRIEND_OUT),
    ]
}

fn after(first: Vec<Step>, then: impl IntoIterator<Item = Step>) -> Vec<Step> {
    first.into_iter().chain(then).collect()
}

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [life(net), ends(net), openings(net), middle(net)].concat()
}

fn life(net: &Net) -> Vec<Case> {
    let idle = TIMEOUT_SECONDS[Timeout::Other as usize];
    let closed = TIMEOUT_SECONDS[Timeout::TcpClosed as usize];
    vec![
        Case::new(
            "an association lives from INIT to SHUTDOWN COMPLETE, and is then soon forgotten",
            isolated(net),
            after(
                opened(net),
                [
                    ESTABLISHED,
                    out(net, DATA).passes(FRIEND_OUT),
                    Step::Wait(idle - 1),
                    back(net, HEARTBEAT).passes(FRIEND_OUT),
                    out(net, SHUTDOWN).passes(FRIEND_OUT),
                    back(net, SHUTDOWN_ACK).passes(FRIEND_OUT),
                    out(net, SHUTDOWN_COMPLETE).passes(FRIEND_OUT),
                    ESTABLISHED,
                    Step::Wait(closed + 1),
                    // Judged by itself, and tracked as what it may be: all is allowed here.
                    back(net, DATA).opens(FRIEND_IN),
                    NEW,
                ],
            ),
        ),
        Case::new(
            "an association that is silent for long is forgotten",
            isolated(net),
            after(
                opened(net),
                [
                    Step::Wait(idle + 1),
                    back(net, ABORT).passes(FRIEND_IN),
                    NOTHING_TRACKED,
                ],
            ),
        ),
        Case::new(
            "an answer passes under the rule, another's does not",
            isolated(net),
            [
                from_pod(packet(net.pod, net.guest).sctp(40_000, 9)).opens(SIGNAL),
                to_pod(packet(net.guest, net.pod).sctp_chunk(10, 40_000, 7, INIT_ACK))
                    .drops(DENY_IN),
                to_pod(packet(net.stranger, net.pod).sctp_chunk(9, 40_000, 7, INIT_ACK))
                    .drops(DENY_IN),
                to_pod(packet(net.guest, net.pod).sctp_chunk(9, 40_000, 7, INIT_ACK))
                    .passes(SIGNAL),
                ESTABLISHED,
            ],
        ),
    ]
}

fn ends(net: &Net) -> Vec<Case> {
    let half = TIMEOUT_SECONDS[Timeout::TcpFin as usize];
    let new_one = [
        out(net, INIT).opens(FRIEND_OUT),
        NEW,
        back(net, INIT_ACK).passes(FRIEND_OUT),
        ESTABLISHED,
    ];
    vec![
        Case::new(
            "an association that is refused stays among the new ones, and is opened again",
            isolated(net),
            after(
                vec![
                    out(net, INIT).opens(FRIEND_OUT),
                    back(net, ABORT).passes(FRIEND_OUT),
                    NEW,
                ],
                new_one.clone(),
            ),
        ),
        Case::new(
            "ports of an association that was aborted are used again",
            isolated(net),
            after(
                after(opened(net), [out(net, ABORT).passes(FRIEND_OUT)]),
                new_one.clone(),
            ),
        ),
        Case::new(
            "ports of an association that shuts down are used again by the other side",
            isolated(net),
            after(
                opened(net),
                [
                    back(net, SHUTDOWN).passes(FRIEND_OUT),
                    Step::Wait(half - 1),
                    out(net, DATA).passes(FRIEND_OUT),
                    back(net, INIT).opens(FRIEND_IN),
                    NEW,
                    out(net, INIT_ACK).passes(FRIEND_IN),
                    ESTABLISHED,
                ],
            ),
        ),
    ]
}

fn openings(net: &Net) -> Vec<Case> {
    let to_guest = |port, chunk| {
        from_pod(packet(net.pod, net.guest).sctp_chunk(40_000, port, tag(chunk), chunk))
    };
    vec![
        Case::new(
            "an INIT is judged by its port, and leaves nothing where it is denied",
            isolated(net),
            [to_guest(10, INIT).drops(DENY_OUT), NOTHING_TRACKED],
        ),
        Case::new(
            "an INIT against a live association is judged in its own direction",
            isolated(net),
            [
                to_guest(9, INIT).opens(SIGNAL),
                to_pod(packet(net.guest, net.pod).sctp(9, 40_000)).drops(DENY_IN),
                NEW,
                to_pod(packet(net.guest, net.pod).sctp_chunk(9, 40_000, 7, INIT_ACK))
                    .passes(SIGNAL),
            ],
        ),
        Case::new(
            "an INIT of who opened a live association, after a restart, is a part of it",
            isolated(net),
            after(
                opened(net),
                [out(net, INIT).passes(FRIEND_OUT), ESTABLISHED],
            ),
        ),
        Case::new(
            "an INIT with a verification tag opens nothing",
            isolated(net),
            [
                from_pod(packet(net.pod, net.friend).sctp_chunk(40_000, 9, 7, INIT))
                    .passes(FRIEND_OUT),
                to_pod(packet(net.stranger, net.pod).sctp_chunk(40_000, 9, 7, INIT)).drops(DENY_IN),
                NOTHING_TRACKED,
            ],
        ),
        Case::new(
            "a packet without a chunk is cut short",
            isolated(net),
            [
                from_pod(packet(net.pod, net.friend).protocol(SCTP, &[0; 12]))
                    .refused(DropReason::Truncated),
            ],
        ),
    ]
}

/// Without a tracked association.
fn middle(net: &Net) -> Vec<Case> {
    let stranger = |local, remote, chunk| {
        from_pod(packet(net.pod, net.stranger).sctp_chunk(local, remote, tag(chunk), chunk))
    };
    vec![
        Case::new(
            "an association in its middle is tracked where both sides might have opened it",
            isolated(net),
            [
                out(net, DATA).opens(FRIEND_OUT),
                NEW,
                back(net, DATA).passes(FRIEND_OUT),
                ESTABLISHED,
            ],
        ),
        Case::new(
            "or where the ports say who did",
            isolated(net).ingress_only(),
            [
                stranger(40_000, 9, DATA).opens(NOT_ISOLATED),
                to_pod(packet(net.stranger, net.pod).sctp_chunk(9, 40_000, 7, DATA))
                    .passes(NOT_ISOLATED),
            ],
        ),
        Case::new(
            "but none that is forbidden now comes back by the pod's own packets",
            isolated(net).ingress_only(),
            [
                stranger(9, 9, DATA).passes(NOT_ISOLATED),
                stranger(9, 40_000, HEARTBEAT).passes(NOT_ISOLATED),
                stranger(9, 40_000, INIT_ACK).passes(NOT_ISOLATED),
                NOTHING_TRACKED,
                to_pod(packet(net.stranger, net.pod).sctp_chunk(40_000, 9, 7, DATA)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "and the end of an association opens none",
            isolated(net),
            [ABORT, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE]
                .map(|chunk| out(net, chunk).passes(FRIEND_OUT))
                .into_iter()
                .chain([NOTHING_TRACKED])
                .collect::<Vec<_>>(),
        ),
    ]
}
