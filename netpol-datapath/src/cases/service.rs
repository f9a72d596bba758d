//! Connections to Services: judged at the source by their backends, and refused at a backend that
//! the source may not reach.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::vec;
use std::vec::Vec;

use netpol_common::counter::{NOT_ISOLATED, SELF};
use netpol_common::endpoint::flags;
use netpol_common::identity::SERVICE;
use netpol_common::policy::{Grant, PARTIAL, PolicyKey, PortKey, PortVerdict};
use netpol_common::protocol::{TCP, UDP};
use netpol_common::service::{NODE_PORT_V4, NODE_PORT_V6, ServiceKey};

use super::Case;
use super::setup::{Setup, node_key};
use super::step::{Step, from_pod, to_pod, to_pod_masqueraded};
use super::world::{
    ANYONE_RULE, DENY_IN, DENY_OUT, EGRESS, FRIEND_IN, NEAR_OUT, Net, WILDCARDS, isolated, next,
};
use crate::build::packet;
use crate::build::tcp::{ACK, PSH, SYN};

/// Identities of Services, and of a source.
const WEB: u32 = SERVICE | 20;
const SOME: u32 = SERVICE | 21;
const OWN: u32 = SERVICE | 22;
const SOURCE: u32 = 23;
/// Second sets.
const DENIES: u32 = 31;
const OWN_SERVICES: u32 = 32;
/// The denied ports.
const TABLE: u32 = 41;
/// Rules.
const WEB_RULE: u32 = 130;
const SOME_RULE: u32 = 131;
const SOURCE_RULE: u32 = 132;

/// An address of Services, inside a prefix to which everything is allowed.
fn vip(net: &Net) -> IpAddr {
    match net.pod {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xaa)),
    }
}

/// Another node.
fn other_node(net: &Net) -> IpAddr {
    match net.pod {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(10, 0, 0, 99)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x99)),
    }
}

/// The isolated pod, and Services:
///
/// | port | of the Service's address | of every node |
/// |---|---|---|
/// | 80 | all backends are allowed | 30080 |
/// | 81 | some are | 30081 |
/// | 82 | none is, or there is none | 30082 |
/// | 83 | none is, but the pod is one of them | |
fn services(net: &Net) -> Setup {
    let mut setup = isolated(net).with(|endpoint| {
        endpoint.egress.flags |= flags::NODE_PORTS | flags::OWN_SERVICES;
        endpoint.egress.second_set = OWN_SERVICES;
        endpoint.ingress.flags |= flags::DENIES;
        endpoint.ingress.second_set = DENIES;
    });
    let words = node_key(vip(net)).words;
    let every_node = match net.pod {
        IpAddr::V4(_) => NODE_PORT_V4,
        IpAddr::V6(_) => NODE_PORT_V6,
    };
    for (port, identity) in [(80, WEB), (81, SOME), (82, SERVICE), (83, OWN)] {
        for protocol in [TCP, UDP] {
            let key = ServiceKey::new(words, protocol, port);
            setup.services.push((key, identity));
        }
        if port < 83 {
            let key = ServiceKey::new(every_node, TCP, 30_000 + port);
            setup.services.push((key, identity));
        }
    }
    let key = |set, identity| PolicyKey { set, identity };
    let grant = |rule, levels| Grant {
        rule,
        table: 0,
        levels,
    };
    setup.grants.extend([
        (key(EGRESS, WEB), grant(WEB_RULE, 0)),
        (key(EGRESS, SOME), grant(SOME_RULE, PARTIAL)),
        (key(OWN_SERVICES, OWN), grant(SELF, 0)),
    ]);
    setup.other_nodes.push(other_node(net));
    denies(net, setup)
}

/// The friend may not send to TCP port 8080 of the pod, by its own policies.
fn denies(net: &Net, mut setup: Setup) -> Setup {
    let key = PolicyKey {
        set: DENIES,
        identity: SOURCE,
    };
    let grant = Grant {
        rule: SOURCE_RULE,
        table: TABLE,
        levels: 1,
    };
    setup.sources.push((net.friend, SOURCE));
    setup.grants.push((key, grant));
    let verdict = PortVerdict {
        verdict: 0,
        rule: SOURCE_RULE,
    };
    let port = PortKey::new(TABLE, TCP, 16, 8080);
    setup.ports.push((port, verdict));
    setup
}

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [at_the_source(net), at_nodes(net), refused(net), itself(net)].concat()
}

fn at_the_source(net: &Net) -> Vec<Case> {
    let setup = services(net);
    let vip = vip(net);
    let to = |port| from_pod(packet(net.pod, vip).tcp(40_000, port, SYN));
    let everything = setup.clone().with(|endpoint| {
        endpoint.egress.set = WILDCARDS;
        endpoint.egress.flags |= flags::ANY_POD | flags::ANYONE;
    });
    vec![
        Case::new(
            "a Service's address is judged by its backends and nothing else",
            setup.clone(),
            [
                to(80).opens(WEB_RULE),
                to(81).opens(SOME_RULE),
                to(82).drops(DENY_OUT),
                from_pod(packet(net.pod, vip).udp(40_000, 80)).opens(WEB_RULE),
                from_pod(packet(net.pod, vip).udp(40_000, 82)).drops(DENY_OUT),
            ],
        ),
        Case::new(
            "a port that no Service has there is an address's like any other",
            setup.clone(),
            [
                to(84).opens(NEAR_OUT),
                from_pod(packet(net.pod, vip).sctp(40_000, 80)).opens(NEAR_OUT),
                from_pod(packet(net.pod, vip).echo_request(80)).opens(NEAR_OUT),
            ],
        ),
        Case::new(
            "everything to anyone is every Service, and less is not",
            everything.clone(),
            [to(80).opens(ANYONE_RULE), to(82).opens(ANYONE_RULE)],
        ),
        Case::new(
            "any pod on some ports is not a Service on these",
            everything.with(|endpoint| endpoint.egress.flags &= !flags::ANYONE),
            [to(80).drops(DENY_OUT)],
        ),
        Case::new(
            "a pod that others may not know yet needs every backend",
            setup
                .clone()
                .with(|endpoint| endpoint.egress.flags |= flags::EVERY_BACKEND),
            [to(80).opens(WEB_RULE), to(81).drops(DENY_OUT)],
        ),
        Case::new(
            "answers of a Service pass, and a change of policy judges it again",
            setup.clone(),
            [
                to(80).opens(WEB_RULE),
                to_pod(packet(vip, net.pod).tcp(80, 40_000, SYN | ACK)).passes(WEB_RULE),
                Step::Switch(next(&setup, |_| {})),
                from_pod(packet(net.pod, vip).tcp(40_000, 80, ACK)).passes(WEB_RULE),
                Step::Switch(next(&setup, |e| {
                    e.generation += 1;
                    e.egress.set = OWN_SERVICES;
                })),
                from_pod(packet(net.pod, vip).tcp(40_000, 80, ACK)).cuts(DENY_OUT),
            ],
        ),
        Case::new(
            "a pod that is not isolated for egress reaches every Service",
            setup.clone().ingress_only(),
            [to(82).opens(NOT_ISOLATED)],
        ),
        Case::new(
            "an address that comes from a Service's is no Service",
            setup,
            [to_pod(packet(vip, net.pod).tcp(80, 40_000, SYN)).opens(super::world::NEAR_IN)],
        ),
    ]
}

fn at_nodes(net: &Net) -> Vec<Case> {
    let setup = services(net);
    let to = |node, port| from_pod(packet(net.pod, node).tcp(40_000, port, SYN));
    let (own, other) = (net.node, other_node(net));
    let without = setup
        .clone()
        .with(|endpoint| endpoint.egress.flags &= !flags::NODE_PORTS);
    vec![
        Case::new(
            "a port of every node is a Service at any node",
            setup.clone(),
            [
                to(own, 30_080).opens(WEB_RULE),
                to(other, 30_080).opens(WEB_RULE),
                to(other, 30_081).opens(SOME_RULE),
                to(own, 30_082).drops(DENY_OUT),
                to(own, 10_250).drops(DENY_OUT),
            ],
        ),
        Case::new(
            "and nowhere else",
            setup,
            [
                to(net.near, 30_082).opens(NEAR_OUT),
                to(net.stranger, 30_080).drops(DENY_OUT),
            ],
        ),
        Case::new(
            "ports of nodes are asked for only where there are some",
            without,
            [to(own, 30_080).drops(DENY_OUT)],
        ),
        Case::new(
            "another node's address is not exempt",
            services(net),
            [to_pod(packet(other, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN)],
        ),
    ]
}

fn refused(net: &Net) -> Vec<Case> {
    let setup = services(net);
    let from = |port, flags| to_pod(packet(net.friend, net.pod).tcp(40_000, port, flags));
    let open = setup.clone().not_isolated().with(|endpoint| {
        endpoint.ingress.flags = flags::DENIES;
        endpoint.ingress.second_set = DENIES;
    });
    let all_ports = {
        let mut setup = setup.clone();
        let key = PolicyKey {
            set: DENIES,
            identity: SOURCE,
        };
        let everything = Grant {
            rule: SOURCE_RULE,
            table: 0,
            levels: 0,
        };
        setup.grants.push((key, everything));
        setup
    };
    vec![
        Case::new(
            "what a source may not send is refused, whatever the pod's own policies allow",
            setup.clone(),
            [
                from(8080, SYN).drops(SOURCE_RULE),
                from(80, SYN).opens(FRIEND_IN),
                to_pod(packet(net.friend, net.pod).udp(40_000, 8080)).opens(FRIEND_IN),
                to_pod(packet(net.friend, net.pod).echo_request(1)).opens(FRIEND_IN),
                // What the pod's own policies refuse is theirs.
                to_pod(packet(net.other, net.pod).tcp(40_000, 8080, SYN)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "all ports that Services have may be refused",
            all_ports,
            [
                from(8080, SYN).drops(SOURCE_RULE),
                from(80, SYN).drops(SOURCE_RULE),
            ],
        ),
        Case::new(
            "a pod that no policy isolates refuses it too, and nothing else",
            open.clone(),
            [
                from(8080, SYN).drops(SOURCE_RULE),
                from(8080, PSH | ACK).drops(SOURCE_RULE),
                from(80, SYN).opens(NOT_ISOLATED),
                to_pod(packet(net.other, net.pod).tcp(40_000, 8080, SYN)).opens(NOT_ISOLATED),
                from_pod(packet(net.pod, net.friend).tcp(40_000, 8080, SYN)).opens(NOT_ISOLATED),
                to_pod(packet(net.friend, net.pod).tcp(8080, 40_000, SYN | ACK))
                    .passes(NOT_ISOLATED),
            ],
        ),
        Case::new(
            "an open connection is cut when its source may no longer send",
            open.clone()
                .with(|endpoint| endpoint.ingress.second_set = 0),
            [
                from(8080, SYN).opens(NOT_ISOLATED),
                from_pod(packet(net.pod, net.friend).tcp(8080, 40_000, SYN | ACK))
                    .passes(NOT_ISOLATED),
                Step::Switch(next(&open, |_| {})),
                from(8080, PSH | ACK).cuts(SOURCE_RULE),
                from_pod(packet(net.pod, net.friend).tcp(8080, 40_000, PSH | ACK))
                    .drops(SOURCE_RULE),
            ],
        ),
    ]
}

fn itself(net: &Net) -> Vec<Case> {
    let setup = services(net);
    let vip = vip(net);
    // TCP's sequence numbers are zero in these frames; data is what tells datagrams apart.
    let back = |frame| to_pod_masqueraded(frame);
    let datagram = |from, to, port, data: &[u8]| packet(from, to).payload(data).udp(40_000, port);
    let syn = |from, to, client, port| packet(from, to).tcp(client, port, SYN);
    let unlike_itself = setup
        .clone()
        .with(|endpoint| endpoint.egress.flags &= !flags::OWN_SERVICES);
    vec![
        Case::new(
            "a pod reaches itself through its Service, by a packet that comes back from the node",
            setup.clone(),
            [
                from_pod(syn(net.pod, vip, 40_000, 83)).opens(SELF),
                back(syn(net.node, net.pod, 50_000, 8080)).opens(SELF),
                from_pod(packet(net.pod, net.node).tcp(8080, 50_000, SYN | ACK)).passes(SELF),
                to_pod(packet(vip, net.pod).tcp(83, 40_000, SYN | ACK)).passes(SELF),
                back(packet(net.node, net.pod).tcp(50_000, 8080, ACK)).passes(SELF),
                Step::Switch(next(&setup, |_| {})),
                back(packet(net.node, net.pod).tcp(50_000, 8080, ACK)).passes(SELF),
                from_pod(packet(net.pod, vip).tcp(40_000, 83, ACK)).passes(SELF),
                // One note, one packet.
                back(syn(net.node, net.pod, 50_001, 8080)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "a packet that is sent again leaves its note again",
            setup.clone(),
            [
                from_pod(syn(net.pod, vip, 40_000, 83)).opens(SELF),
                Step::Wait(2),
                from_pod(syn(net.pod, vip, 40_000, 83)).passes(SELF),
                back(syn(net.node, net.pod, 50_000, 8080)).opens(SELF),
            ],
        ),
        Case::new(
            "only what the pod sent comes back",
            setup.clone(),
            [
                back(syn(net.node, net.pod, 50_000, 8080)).drops(DENY_IN),
                from_pod(datagram(net.pod, vip, 83, b"question")).opens(SELF),
                back(datagram(net.node, net.pod, 53, b"QUESTION")).drops(DENY_IN),
                back(datagram(net.node, net.pod, 53, b"questions")).drops(DENY_IN),
                to_pod(datagram(net.other, net.pod, 53, b"question")).drops(DENY_IN),
                to_pod(datagram(other_node(net), net.pod, 53, b"question")).drops(DENY_IN),
                back(datagram(net.node, net.pod, 53, b"question")).opens(SELF),
            ],
        ),
        Case::new(
            "a note is good for a second",
            setup.clone(),
            [
                from_pod(datagram(net.pod, vip, 83, b"question")).opens(SELF),
                Step::Wait(2),
                back(datagram(net.node, net.pod, 53, b"question")).drops(DENY_IN),
            ],
        ),
        Case::new(
            "isolated for ingress only, a pod still reaches itself",
            setup
                .clone()
                .with(|endpoint| endpoint.egress.flags = flags::OWN_SERVICES),
            [
                from_pod(syn(net.pod, vip, 40_000, 83)).opens(NOT_ISOLATED),
                back(syn(net.node, net.pod, 50_000, 8080)).opens(SELF),
                // A Service of others leaves no note.
                from_pod(syn(net.pod, vip, 40_001, 82)).opens(NOT_ISOLATED),
                back(syn(net.node, net.pod, 50_001, 8080)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "isolated for egress only, nothing need be expected",
            setup.clone().egress_only(),
            [
                from_pod(syn(net.pod, vip, 40_000, 83)).opens(SELF),
                back(syn(net.node, net.pod, 50_000, 8080)).opens(NOT_ISOLATED),
            ],
        ),
        Case::new(
            "a pod that backs no Service is no backend of this one",
            unlike_itself,
            [
                from_pod(syn(net.pod, vip, 40_000, 83)).drops(DENY_OUT),
                back(syn(net.node, net.pod, 50_000, 8080)).drops(DENY_IN),
            ],
        ),
    ]
}
