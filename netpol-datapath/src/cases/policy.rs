//! Identity, wildcards, prefixes, ports.

use std::vec;
use std::vec::Vec;

use netpol_common::counter::DropReason;
use netpol_common::endpoint::{Endpoint, flags};

use super::Case;
use super::step::{Step, from_pod, to_pod};
use super::world::{
    ANYONE_RULE, DENY_IN, DENY_OUT, EVERY_UDP, EXPLICIT_DENY, FRIEND_IN, NEAR_IN, NEAR_OUT,
    NOTHING, Net, RANGE, WEB, WILDCARDS, isolated,
};
use crate::build::packet;
use crate::build::tcp::SYN;

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [identities(net), wildcards(net), ports(net)].concat()
}

fn identities(net: &Net) -> Vec<Case> {
    vec![
        Case::new(
            "an address outside is judged by its longest prefix",
            isolated(net),
            [
                from_pod(packet(net.pod, net.near).tcp(40_000, 443, SYN)).opens(NEAR_OUT),
                to_pod(packet(net.near, net.pod).tcp(40_000, 80, SYN)).opens(NEAR_IN),
                // The longer prefix grants UDP, and no ingress at all.
                from_pod(packet(net.pod, net.nearer).tcp(40_000, 443, SYN)).drops(DENY_OUT),
                from_pod(packet(net.pod, net.nearer).udp(40_000, 123)).opens(EVERY_UDP),
                to_pod(packet(net.nearer, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "prefixes are asked only where the policy set has some",
            isolated(net).with(|e| e.ingress.flags &= !flags::CIDR),
            [
                to_pod(packet(net.near, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN),
                from_pod(packet(net.pod, net.near).tcp(40_000, 443, SYN)).opens(NEAR_OUT),
            ],
        ),
        Case::new(
            "an identity without an entry in the set gets nothing",
            isolated(net),
            [
                to_pod(packet(net.other, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN),
                to_pod(packet(net.friend, net.pod).tcp(40_000, 80, SYN)).opens(FRIEND_IN),
            ],
        ),
        Case::new(
            "a policy set that grants nothing denies everyone",
            isolated(net).with(|e| e.ingress.set = NOTHING),
            [
                to_pod(packet(net.friend, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN),
                to_pod(packet(net.near, net.pod).udp(40_000, 53)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "policies that do not fit are a default deny with a reason for a name",
            isolated(net).with(|e| {
                e.ingress.set = NOTHING;
                e.ingress.deny_rule = DropReason::PolicyTooLarge.counter();
            }),
            [to_pod(packet(net.friend, net.pod).tcp(40_000, 80, SYN))
                .refused(DropReason::PolicyTooLarge)],
        ),
    ]
}

fn wildcards(net: &Net) -> Vec<Case> {
    let set = |wildcards| {
        isolated(net).with(|e: &mut Endpoint| {
            e.ingress.set = WILDCARDS;
            e.ingress.flags = flags::ISOLATED | wildcards;
        })
    };
    let from = |address| to_pod(packet(address, net.pod).tcp(40_000, 80, SYN));
    vec![
        Case::new(
            "any pod",
            set(flags::ANY_POD),
            [
                from(net.other).opens(WEB),
                to_pod(packet(net.other, net.pod).tcp(40_000, 81, SYN)).drops(DENY_IN),
                from(net.stranger).drops(DENY_IN),
            ],
        ),
        Case::new(
            "anyone",
            set(flags::ANYONE),
            [
                from(net.other).opens(ANYONE_RULE),
                from(net.stranger).opens(ANYONE_RULE),
                to_pod(packet(net.stranger, net.pod).echo_request(3)).opens(ANYONE_RULE),
            ],
        ),
        Case::new(
            "any pod's entry is complete: a pod is not judged by anyone's",
            set(flags::ANY_POD | flags::ANYONE),
            [
                from(net.other).opens(WEB),
                to_pod(packet(net.other, net.pod).tcp(40_000, 81, SYN)).drops(DENY_IN),
                from(net.stranger).opens(ANYONE_RULE),
            ],
        ),
        Case::new(
            "a wildcard that the endpoint announces and the set lacks closes",
            isolated(net).with(|e| {
                e.ingress.set = NOTHING;
                e.ingress.flags = flags::ISOLATED | flags::ANYONE;
            }),
            [from(net.stranger).refused(DropReason::Inconsistent)],
        ),
    ]
}

fn ports(net: &Net) -> Vec<Case> {
    let to_port = |port| to_pod(packet(net.guest, net.pod).tcp(40_000, port, SYN));
    vec![
        Case::new(
            "a range of ports is its prefixes, and nothing beside them",
            isolated(net),
            [
                to_port(8191).drops(DENY_IN),
                to_port(8192).opens(RANGE),
                to_port(8207).opens(RANGE),
                to_port(8208).drops(DENY_IN),
            ],
        ),
        Case::new(
            "the port that counts is the destination of the connection",
            isolated(net),
            [
                to_pod(packet(net.guest, net.pod).tcp(80, 40_000, SYN)).drops(DENY_IN),
                from_pod(packet(net.pod, net.guest).tcp(80, 40_000, SYN)).drops(DENY_OUT),
                from_pod(packet(net.pod, net.guest).tcp(40_000, 80, SYN)).opens(WEB),
            ],
        ),
        Case::new(
            "the most specific prefix decides, and a verdict that is no allow denies",
            isolated(net),
            [
                from_pod(packet(net.pod, net.nearer).udp(40_000, 443)).drops(EXPLICIT_DENY),
                from_pod(packet(net.pod, net.nearer).udp(40_000, 442)).opens(EVERY_UDP),
                Step::Tracked { replied: 0, new: 1 },
            ],
        ),
    ]
}
