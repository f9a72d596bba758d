//! TCP: opening, replies, closing, ports that are used again.

use std::vec;
use std::vec::Vec;

use netpol_common::conntrack::{TIMEOUT_SECONDS, Timeout};
use netpol_common::counter::NOT_ISOLATED;

use super::Case;
use super::step::{Step, from_pod, to_pod};
use super::world::{DENY_IN, DENY_OUT, FRIEND_IN, FRIEND_OUT, Net, WEB, isolated};
use crate::build::packet;
use crate::build::tcp::{ACK, FIN, PSH, RST, SYN};

/// A handshake that the pod begins, with a friend.
pub(super) fn handshake_out(net: &Net) -> Vec<Step> {
    vec![
        from_pod(packet(net.pod, net.friend).tcp(40_000, 443, SYN)).opens(FRIEND_OUT),
        to_pod(packet(net.friend, net.pod).tcp(443, 40_000, SYN | ACK)).passes(FRIEND_OUT),
        from_pod(packet(net.pod, net.friend).tcp(40_000, 443, ACK)).passes(FRIEND_OUT),
    ]
}

/// A handshake that a guest begins, with the pod's port 80.
pub(super) fn handshake_in(net: &Net) -> Vec<Step> {
    vec![
        to_pod(packet(net.guest, net.pod).tcp(40_000, 80, SYN)).opens(WEB),
        from_pod(packet(net.pod, net.guest).tcp(80, 40_000, SYN | ACK)).passes(WEB),
        to_pod(packet(net.guest, net.pod).tcp(40_000, 80, ACK)).passes(WEB),
    ]
}

fn after(first: Vec<Step>, then: impl IntoIterator<Item = Step>) -> Vec<Step> {
    first.into_iter().chain(then).collect()
}

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [opening(net), closing(net), reuse(net), against(net)].concat()
}

fn opening(net: &Net) -> Vec<Case> {
    let syn_to_stranger = || packet(net.pod, net.stranger).tcp(40_000, 443, SYN);
    vec![
        Case::new(
            "a connection from the pod is tracked under its rule",
            isolated(net),
            after(handshake_out(net), [Step::Tracked { replied: 1, new: 0 }]),
        ),
        Case::new(
            "a connection to the pod is tracked under its rule",
            isolated(net),
            after(handshake_in(net), [Step::Tracked { replied: 1, new: 0 }]),
        ),
        Case::new(
            "a connection without an answer stays among the new ones, and its SYN may be repeated",
            isolated(net),
            [
                from_pod(packet(net.pod, net.friend).tcp(40_000, 443, SYN)).opens(FRIEND_OUT),
                from_pod(packet(net.pod, net.friend).tcp(40_000, 443, SYN)).passes(FRIEND_OUT),
                Step::Tracked { replied: 0, new: 1 },
            ],
        ),
        Case::new(
            "a SYN that no rule allows is dropped under the default deny, and leaves nothing",
            isolated(net),
            [
                from_pod(syn_to_stranger()).drops(DENY_OUT),
                to_pod(packet(net.stranger, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN),
                to_pod(packet(net.guest, net.pod).tcp(40_000, 81, SYN)).drops(DENY_IN),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
        Case::new(
            "isolated for ingress only, the pod opens connections and gets answers",
            isolated(net).ingress_only(),
            [
                from_pod(syn_to_stranger()).opens(NOT_ISOLATED),
                to_pod(packet(net.stranger, net.pod).tcp(443, 40_000, SYN | ACK))
                    .passes(NOT_ISOLATED),
                to_pod(packet(net.stranger, net.pod).tcp(443, 40_001, SYN | ACK)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "isolated for egress only, the pod is connected to and answers",
            isolated(net).egress_only(),
            [
                to_pod(packet(net.stranger, net.pod).tcp(40_000, 80, SYN)).opens(NOT_ISOLATED),
                from_pod(packet(net.pod, net.stranger).tcp(80, 40_000, SYN | ACK))
                    .passes(NOT_ISOLATED),
                from_pod(packet(net.pod, net.stranger).tcp(80, 40_001, SYN | ACK)).drops(DENY_OUT),
            ],
        ),
    ]
}

fn closing(net: &Net) -> Vec<Case> {
    let out = |flags| from_pod(packet(net.pod, net.friend).tcp(40_000, 443, flags));
    let back = |flags| to_pod(packet(net.friend, net.pod).tcp(443, 40_000, flags));
    let closed = TIMEOUT_SECONDS[Timeout::TcpClosed as usize];
    let half = TIMEOUT_SECONDS[Timeout::TcpFin as usize];
    let ended = [
        out(FIN | ACK).passes(FRIEND_OUT),
        back(FIN | ACK).passes(FRIEND_OUT),
        out(ACK).passes(FRIEND_OUT),
    ];
    vec![
        Case::new(
            "a connection that both sides have closed is forgotten soon",
            isolated(net).egress_only(),
            after(
                handshake_out(net),
                ended.clone().into_iter().chain([
                    Step::Wait(closed - 1),
                    back(ACK).passes(FRIEND_OUT),
                    Step::Wait(closed + 1),
                    // Nothing restricts ingress here; it is not that connection any more.
                    back(ACK).opens(NOT_ISOLATED),
                ]),
            ),
        ),
        Case::new(
            "one side may keep sending for a while after the other has closed",
            isolated(net),
            after(
                handshake_out(net),
                [
                    out(FIN | ACK).passes(FRIEND_OUT),
                    Step::Wait(half - 1),
                    back(PSH | ACK).passes(FRIEND_OUT),
                    Step::Wait(half + 1),
                    Step::Tracked { replied: 1, new: 0 },
                    to_pod(packet(net.friend, net.pod).tcp(443, 40_000, ACK)).opens(FRIEND_IN),
                ],
            ),
        ),
        Case::new(
            "a refused connection is marked, and stays among the new ones",
            isolated(net),
            [
                out(SYN).opens(FRIEND_OUT),
                back(RST | ACK).passes(FRIEND_OUT),
                Step::Tracked { replied: 0, new: 1 },
                out(SYN).opens(FRIEND_OUT),
                Step::Tracked { replied: 0, new: 1 },
            ],
        ),
    ]
}

fn reuse(net: &Net) -> Vec<Case> {
    let out = |flags| from_pod(packet(net.pod, net.friend).tcp(40_000, 443, flags));
    let back = |flags| to_pod(packet(net.friend, net.pod).tcp(443, 40_000, flags));
    vec![
        Case::new(
            "ports of a closing connection are used again by a new one, which is judged anew",
            isolated(net),
            after(
                handshake_out(net),
                [
                    back(FIN | ACK).passes(FRIEND_OUT),
                    Step::Tracked { replied: 1, new: 0 },
                    out(SYN).opens(FRIEND_OUT),
                    Step::Tracked { replied: 0, new: 1 },
                    back(SYN | ACK).passes(FRIEND_OUT),
                    Step::Tracked { replied: 1, new: 0 },
                ],
            ),
        ),
        Case::new(
            "ports of a reset connection are used again in the other direction",
            isolated(net),
            after(
                handshake_out(net),
                [
                    out(RST).passes(FRIEND_OUT),
                    back(SYN).opens(FRIEND_IN),
                    Step::Tracked { replied: 0, new: 1 },
                    out(SYN | ACK).passes(FRIEND_IN),
                ],
            ),
        ),
        Case::new(
            "a SYN between the same ports of a live connection passes as a part of it",
            isolated(net),
            after(
                handshake_out(net),
                [
                    out(SYN).passes(FRIEND_OUT),
                    Step::Tracked { replied: 1, new: 0 },
                ],
            ),
        ),
        Case::new(
            "a connection that was idle for longer than its time-out is a new one",
            isolated(net),
            after(
                handshake_out(net),
                [
                    Step::Wait(TIMEOUT_SECONDS[Timeout::TcpEstablished as usize] + 1),
                    out(SYN).opens(FRIEND_OUT),
                    Step::Tracked { replied: 0, new: 1 },
                ],
            ),
        ),
    ]
}

fn against(net: &Net) -> Vec<Case> {
    let first = || from_pod(packet(net.pod, net.guest).tcp(40_000, 80, SYN)).opens(WEB);
    let against = || to_pod(packet(net.guest, net.pod).tcp(80, 40_000, SYN));
    vec![
        Case::new(
            "a SYN against a live connection is judged in its own direction, and dropped",
            isolated(net),
            [
                first(),
                against().drops(DENY_IN),
                Step::Tracked { replied: 0, new: 1 },
                to_pod(packet(net.guest, net.pod).tcp(80, 40_000, SYN | ACK)).passes(WEB),
            ],
        ),
        Case::new(
            "a SYN against a live connection that is allowed by itself changes nothing",
            isolated(net),
            [
                from_pod(packet(net.pod, net.friend).tcp(40_000, 80, SYN)).opens(FRIEND_OUT),
                to_pod(packet(net.friend, net.pod).tcp(80, 40_000, SYN)).passes(FRIEND_IN),
                Step::Tracked { replied: 0, new: 1 },
                to_pod(packet(net.friend, net.pod).tcp(80, 40_000, SYN | ACK)).passes(FRIEND_OUT),
            ],
        ),
    ]
}
