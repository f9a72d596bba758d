//! Ping, and other ICMP.

use std::vec;
use std::vec::Vec;

use netpol_common::counter::NOT_ISOLATED;

use super::Case;
use super::step::{Step, from_pod, to_pod};
use super::world::{DENY_IN, DENY_OUT, FRIEND_IN, FRIEND_OUT, Net, isolated};
use crate::build::packet;

pub(super) fn cases(net: &Net) -> Vec<Case> {
    let request = |id| from_pod(packet(net.pod, net.friend).echo_request(id));
    let reply = |id| to_pod(packet(net.friend, net.pod).echo_reply(id));
    vec![
        Case::new(
            "a ping is tracked by its identifier",
            isolated(net),
            [
                request(77).opens(FRIEND_OUT),
                reply(77).passes(FRIEND_OUT),
                request(77).passes(FRIEND_OUT),
                Step::Tracked { replied: 1, new: 0 },
                // Allowed by itself, as any packet of a friend, and no part of that ping.
                reply(78).passes(FRIEND_IN),
                Step::Tracked { replied: 1, new: 0 },
            ],
        ),
        Case::new(
            "a ping passes by no rule with ports",
            isolated(net),
            [
                from_pod(packet(net.pod, net.guest).echo_request(1)).drops(DENY_OUT),
                to_pod(packet(net.guest, net.pod).echo_request(1)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "the peer of a ping cannot ping back by it",
            isolated(net).ingress_only(),
            ping_back(net, 9),
        ),
        Case::new(
            "nor with the identifier that stands for no port",
            isolated(net).ingress_only(),
            ping_back(net, 0),
        ),
        Case::new(
            "an echo reply to no request is judged by itself",
            isolated(net),
            [
                to_pod(packet(net.stranger, net.pod).echo_reply(5)).drops(DENY_IN),
                from_pod(packet(net.pod, net.friend).echo_reply(5)).passes(FRIEND_OUT),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
        Case::new(
            "another ICMP message is no part of a ping",
            isolated(net).ingress_only(),
            {
                // A time stamp (RFC 792), or an answer about a node (RFC 4620).
                let other = if net.pod.is_ipv4() { 14 } else { 140 };
                [
                    from_pod(packet(net.pod, net.stranger).echo_request(0)).opens(NOT_ISOLATED),
                    to_pod(packet(net.stranger, net.pod).icmp(other, 1, 0)).drops(DENY_IN),
                    Step::Tracked { replied: 0, new: 1 },
                ]
            },
        ),
        Case::new(
            "another ICMP message is judged by itself, and not tracked",
            isolated(net),
            {
                // A time stamp (RFC 792), or an answer about a node (RFC 4620).
                let other = if net.pod.is_ipv4() { 14 } else { 140 };
                [
                    to_pod(packet(net.friend, net.pod).icmp(other, 1, 0)).passes(FRIEND_IN),
                    to_pod(packet(net.guest, net.pod).icmp(other, 1, 0)).drops(DENY_IN),
                    Step::Tracked { replied: 0, new: 0 },
                ]
            },
        ),
    ]
}

/// The pod pings a stranger; the stranger's answer passes, its own pings do not.
fn ping_back(net: &Net, id: u16) -> Vec<Step> {
    vec![
        from_pod(packet(net.pod, net.stranger).echo_request(id)).opens(NOT_ISOLATED),
        to_pod(packet(net.stranger, net.pod).echo_request(id)).drops(DENY_IN),
        to_pod(packet(net.stranger, net.pod).echo_reply(id)).passes(NOT_ISOLATED),
        to_pod(packet(net.stranger, net.pod).echo_request(id)).drops(DENY_IN),
        Step::Tracked { replied: 1, new: 0 },
    ]
}
