//! The pod's own node.

use std::vec;
use std::vec::Vec;

use netpol_common::counter::{FROM_NODE, NOT_ISOLATED};

use super::Case;
use super::step::{Step, from_pod, to_pod_from_node, to_pod_masqueraded};
use super::world::{DENY_IN, DENY_OUT, NOTHING, Net, isolated, next};
use crate::build::packet;
use crate::build::tcp::{ACK, PSH, SYN};

pub(super) fn cases(net: &Net) -> Vec<Case> {
    let setup = isolated(net);
    let probe = |flags| to_pod_from_node(packet(net.node, net.pod).tcp(40_000, 8080, flags));
    let answer = |flags| from_pod(packet(net.pod, net.node).tcp(8080, 40_000, flags));
    vec![
        Case::new(
            "a socket of the node reaches the pod",
            setup.clone(),
            [
                probe(SYN).opens(FROM_NODE),
                answer(SYN | ACK).passes(FROM_NODE),
                probe(ACK).passes(FROM_NODE),
                Step::Tracked { replied: 1, new: 0 },
            ],
        ),
        Case::new(
            "the node pings the pod",
            setup.clone(),
            [
                to_pod_from_node(packet(net.node, net.pod).echo_request(4)).opens(FROM_NODE),
                from_pod(packet(net.pod, net.node).echo_reply(4)).passes(FROM_NODE),
            ],
        ),
        Case::new(
            "the node's own connection outlives a change of policy",
            setup.clone(),
            [
                probe(SYN).opens(FROM_NODE),
                answer(SYN | ACK).passes(FROM_NODE),
                Step::Switch(next(&setup, |e| e.ingress.set = NOTHING)),
                answer(PSH | ACK).passes(FROM_NODE),
                probe(ACK).passes(FROM_NODE),
            ],
        ),
        Case::new(
            "but not that the address is the node's no more",
            setup.clone(),
            [
                probe(SYN).opens(FROM_NODE),
                answer(SYN | ACK).passes(FROM_NODE),
                Step::ForgetNodes,
                Step::Switch(next(&setup, |_| {})),
                answer(PSH | ACK).cuts(DENY_IN),
            ],
        ),
        Case::new(
            "nor the pod's own connection to the node",
            setup.clone().ingress_only(),
            [
                from_pod(packet(net.pod, net.node).tcp(40_000, 10_250, SYN)).opens(NOT_ISOLATED),
                to_pod_from_node(packet(net.node, net.pod).tcp(10_250, 40_000, SYN | ACK))
                    .passes(NOT_ISOLATED),
                Step::Switch(next(&setup, |_| {})),
                to_pod_from_node(packet(net.node, net.pod).tcp(10_250, 40_000, ACK)).cuts(DENY_OUT),
            ],
        ),
        Case::new(
            "a forwarded packet with the node's address is judged as any",
            setup.clone(),
            [
                to_pod_masqueraded(packet(net.node, net.pod).tcp(40_000, 8080, SYN)).drops(DENY_IN),
                to_pod_masqueraded(packet(net.node, net.pod).echo_request(4)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "a socket of the node with another address is judged as any",
            setup.clone(),
            [to_pod_from_node(packet(net.stranger, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN)],
        ),
        Case::new(
            "the exemption is for what the node opens: the pod does not reach the node by it",
            setup.clone(),
            [
                from_pod(packet(net.pod, net.node).tcp(40_000, 10_250, SYN)).drops(DENY_OUT),
                // The node answers a connection that is older than the isolation.
                to_pod_from_node(packet(net.node, net.pod).tcp(10_250, 40_000, ACK))
                    .passes(FROM_NODE),
                from_pod(packet(net.pod, net.node).tcp(40_000, 10_250, ACK)).drops(DENY_OUT),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
        Case::new(
            "isolated for egress only, the node's connection is still the node's",
            setup.egress_only(),
            [
                probe(SYN).opens(FROM_NODE),
                answer(SYN | ACK).passes(FROM_NODE),
                to_pod_masqueraded(packet(net.node, net.pod).tcp(40_001, 8080, SYN))
                    .opens(NOT_ISOLATED),
            ],
        ),
    ]
}
