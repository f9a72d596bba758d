//! TCP in the middle of a connection that is not tracked.

use std::vec;
use std::vec::Vec;

use netpol_common::counter::{FROM_NODE, NOT_ISOLATED};

use super::Case;
use super::step::{PacketStep, Step, from_pod, to_pod, to_pod_from_node};
use super::world::{DENY_IN, FRIEND_IN, FRIEND_OUT, Net, WEB, isolated};
use crate::build::packet;
use crate::build::tcp::{ACK, FIN, PSH, RST, SYN};

const NOTHING_TRACKED: Step = Step::Tracked { replied: 0, new: 0 };
const TRACKED: Step = Step::Tracked { replied: 0, new: 1 };

fn out(net: &Net, local: u16, remote: u16, flags: u8) -> PacketStep {
    from_pod(packet(net.pod, net.stranger).tcp(local, remote, flags))
}

fn back(net: &Net, remote: u16, local: u16, flags: u8) -> PacketStep {
    to_pod(packet(net.stranger, net.pod).tcp(remote, local, flags))
}

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [revived(net), kept(net), ended(net)].concat()
}

/// Ingress is denied all at once, and a stranger has a connection to the pod open.
fn revived(net: &Net) -> Vec<Case> {
    let denied = || isolated(net).ingress_only();
    vec![
        Case::new(
            "the pod's own packets do not revive a connection that is forbidden now",
            denied(),
            [
                back(net, 40_000, 80, PSH | ACK).drops(DENY_IN),
                out(net, 80, 40_000, PSH | ACK).passes(NOT_ISOLATED),
                NOTHING_TRACKED,
                back(net, 40_000, 80, ACK).drops(DENY_IN),
            ],
        ),
        Case::new(
            "nor where both ports are of the clients' range",
            denied(),
            [
                out(net, 50_051, 40_000, ACK).passes(NOT_ISOLATED),
                NOTHING_TRACKED,
                back(net, 40_000, 50_051, ACK).drops(DENY_IN),
            ],
        ),
        Case::new(
            "nor where neither is",
            denied(),
            [
                out(net, 179, 179, ACK).passes(NOT_ISOLATED),
                NOTHING_TRACKED,
            ],
        ),
        Case::new(
            "a SYN with ACK is an answer, and opens no more than any packet",
            denied(),
            [
                out(net, 80, 40_000, SYN | ACK).passes(NOT_ISOLATED),
                NOTHING_TRACKED,
            ],
        ),
    ]
}

/// The pod's own connections, and those that both hypotheses allow.
fn kept(net: &Net) -> Vec<Case> {
    vec![
        Case::new(
            "a pod's own connection lives on when ingress is denied",
            isolated(net).ingress_only(),
            [
                out(net, 40_000, 5432, PSH | ACK).opens(NOT_ISOLATED),
                TRACKED,
                back(net, 5432, 40_000, ACK).passes(NOT_ISOLATED),
                Step::Tracked { replied: 1, new: 0 },
            ],
        ),
        Case::new(
            "a connection to the pod lives on where the policy allows it",
            isolated(net),
            [
                to_pod(packet(net.guest, net.pod).tcp(40_000, 80, PSH | ACK)).opens(WEB),
                from_pod(packet(net.pod, net.guest).tcp(80, 40_000, ACK)).passes(WEB),
            ],
        ),
        Case::new(
            "whoever opened it, both are allowed: tracked, whatever the ports",
            isolated(net),
            [
                from_pod(packet(net.pod, net.friend).tcp(80, 40_000, ACK)).opens(FRIEND_OUT),
                TRACKED,
                to_pod(packet(net.friend, net.pod).tcp(9000, 9000, ACK)).opens(FRIEND_IN),
            ],
        ),
        Case::new(
            "the node's connection to the pod lives on",
            isolated(net),
            [
                to_pod_from_node(packet(net.node, net.pod).tcp(40_000, 8080, ACK)).opens(FROM_NODE),
                from_pod(packet(net.pod, net.node).tcp(8080, 40_000, ACK)).passes(FROM_NODE),
            ],
        ),
    ]
}

fn ended(net: &Net) -> Vec<Case> {
    vec![Case::new(
        "FIN and RST without a connection are judged, and open none",
        isolated(net),
        [
            from_pod(packet(net.pod, net.friend).tcp(40_000, 443, FIN | ACK)).passes(FRIEND_OUT),
            from_pod(packet(net.pod, net.friend).tcp(40_000, 443, RST)).passes(FRIEND_OUT),
            from_pod(packet(net.pod, net.friend).tcp(40_000, 443, SYN | RST)).passes(FRIEND_OUT),
            from_pod(packet(net.pod, net.friend).tcp(40_000, 443, SYN | FIN)).passes(FRIEND_OUT),
            to_pod(packet(net.stranger, net.pod).tcp(443, 40_000, RST)).drops(DENY_IN),
            NOTHING_TRACKED,
        ],
    )]
}
