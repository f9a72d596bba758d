//! The node of the cases: its addresses, policy sets and rules.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netpol_common::endpoint::{Endpoint, EndpointDirection, flags};
use netpol_common::identity::POD;
use netpol_common::policy::{ALLOW, Grant, PolicyKey, PortKey, PortVerdict};
use netpol_common::protocol::{SCTP, TCP, UDP};
use std::vec;
use std::vec::Vec;

use super::setup::{Setup, Words, words};

/// The interface of the endpoint. It is the loopback interface's number, the only one that the
/// kernel's test run finds in every network namespace.
pub const IFINDEX: u32 = 1;

/// The interface of another endpoint, of which there are connections alone.
pub const OTHER_IFINDEX: u32 = 2;

/// Connections that the tables of replied ones hold, for each family.
pub const REPLIED_CAPACITY: usize = 12;
/// Connections that the tables of new ones hold, for each family.
pub const NEW_CAPACITY: usize = 8;

/// Addresses of one family.
#[derive(Clone, Copy)]
pub(super) struct Net {
    pub(super) name: &'static str,
    /// The pod behind the endpoint.
    pub(super) pod: IpAddr,
    /// A pod with which everything is allowed, in both directions.
    pub(super) friend: IpAddr,
    /// A pod with which some ports are allowed, in both directions.
    pub(super) guest: IpAddr,
    /// A pod that no term matches but "any pod".
    pub(super) other: IpAddr,
    /// An address outside, in an allowed prefix.
    pub(super) near: IpAddr,
    /// An address outside, in a longer prefix, which grants less.
    pub(super) nearer: IpAddr,
    /// An address that nothing matches.
    pub(super) stranger: IpAddr,
    /// The node.
    pub(super) node: IpAddr,
    near_prefix: (IpAddr, u32),
    nearer_prefix: (IpAddr, u32),
}

const fn v4(c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, c, d))
}

const fn v6(g: u16, h: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, g, h))
}

const fn outside6(g: u16, h: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, g, h))
}

pub(super) const V4: Net = Net {
    name: "IPv4",
    pod: v4(0, 2),
    friend: v4(1, 3),
    guest: v4(1, 4),
    other: v4(1, 5),
    near: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)),
    nearer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 129)),
    stranger: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
    node: v4(0, 1),
    near_prefix: (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0)), 24),
    nearer_prefix: (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 128)), 25),
};

pub(super) const V6: Net = Net {
    name: "IPv6",
    pod: v6(0, 2),
    friend: v6(1, 3),
    guest: v6(1, 4),
    other: v6(1, 5),
    near: outside6(0, 9),
    nearer: outside6(1, 9),
    stranger: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb9, 0, 0, 0, 0, 0, 7)),
    node: v6(0, 1),
    near_prefix: (outside6(0, 0), 96),
    nearer_prefix: (outside6(1, 0), 112),
};

pub(super) const GENERATION: u32 = 5;

/// Policy sets.
pub(super) const INGRESS: u32 = 11;
pub(super) const EGRESS: u32 = 12;
/// A set of either direction that grants nothing.
pub(super) const NOTHING: u32 = 13;
/// A set that grants `SOME_PORTS` to "any pod" and everything to "anyone".
pub(super) const WILDCARDS: u32 = 14;

/// Identities.
const FRIEND: u32 = POD | 7;
const GUEST: u32 = POD | 8;
const OTHER: u32 = POD | 9;
const NEAR: u32 = 10;
const NEARER: u32 = 11;

/// Counters of rules.
pub(super) const FRIEND_IN: u32 = 100;
pub(super) const FRIEND_OUT: u32 = 101;
pub(super) const NEAR_IN: u32 = 102;
pub(super) const NEAR_OUT: u32 = 103;
pub(super) const ANYONE_RULE: u32 = 104;
pub(super) const WEB: u32 = 110;
pub(super) const DNS: u32 = 111;
pub(super) const SIGNAL: u32 = 112;
pub(super) const RANGE: u32 = 113;
pub(super) const EVERY_UDP: u32 = 114;
pub(super) const EXPLICIT_DENY: u32 = 115;
pub(super) const DENY_IN: u32 = 120;
pub(super) const DENY_OUT: u32 = 121;

/// A port table: see [`ports`].
const SOME_PORTS: u32 = 1;
/// A port table with every UDP port, and one that is denied explicitly.
const UDP_PORTS: u32 = 2;

/// The pod is isolated in both directions.
pub(super) fn isolated(net: &Net) -> Setup {
    let direction = |set, deny_rule| EndpointDirection {
        flags: flags::ISOLATED | flags::CIDR,
        set,
        deny_rule,
        second_set: 0,
    };
    let mut endpoint = Endpoint {
        generation: GENERATION,
        ingress: direction(INGRESS, DENY_IN),
        egress: direction(EGRESS, DENY_OUT),
        ..Endpoint::default()
    };
    match words(net.pod) {
        Words::V4(word) => endpoint.v4[0] = word,
        Words::V6(words) => endpoint.v6[0] = words,
    }
    Setup {
        endpoint: Some(endpoint),
        identities: vec![(net.friend, FRIEND), (net.guest, GUEST), (net.other, OTHER)],
        prefixes: vec![
            (net.near_prefix.0, net.near_prefix.1, NEAR),
            (net.nearer_prefix.0, net.nearer_prefix.1, NEARER),
        ],
        grants: grants(),
        ports: ports(),
        nodes: vec![net.node],
        ..Setup::default()
    }
}

fn grants() -> Vec<(PolicyKey, Grant)> {
    let key = |set, identity| PolicyKey { set, identity };
    let everything = |rule| Grant {
        rule,
        table: 0,
        levels: 0,
    };
    let some_ports = Grant {
        rule: 0,
        table: SOME_PORTS,
        // Lengths 16, 12 and 0 of `PORT_LEVELS`.
        levels: 0b1_0011,
    };
    let udp_ports = Grant {
        rule: 0,
        table: UDP_PORTS,
        levels: 0b1_0001,
    };
    vec![
        (key(INGRESS, FRIEND), everything(FRIEND_IN)),
        (key(EGRESS, FRIEND), everything(FRIEND_OUT)),
        (key(INGRESS, GUEST), some_ports),
        (key(EGRESS, GUEST), some_ports),
        (key(INGRESS, NEAR), everything(NEAR_IN)),
        (key(EGRESS, NEAR), everything(NEAR_OUT)),
        (key(EGRESS, NEARER), udp_ports),
        (key(WILDCARDS, netpol_common::identity::ANY_POD), some_ports),
        (
            key(WILDCARDS, netpol_common::identity::ANYONE),
            everything(ANYONE_RULE),
        ),
    ]
}

fn ports() -> Vec<(PortKey, PortVerdict)> {
    let allow = |rule| PortVerdict {
        verdict: ALLOW,
        rule,
    };
    let deny = PortVerdict {
        verdict: 2,
        rule: EXPLICIT_DENY,
    };
    vec![
        (PortKey::new(SOME_PORTS, TCP, 16, 80), allow(WEB)),
        (PortKey::new(SOME_PORTS, UDP, 16, 53), allow(DNS)),
        (PortKey::new(SOME_PORTS, SCTP, 16, 9), allow(SIGNAL)),
        // 8192 to 8207.
        (PortKey::new(SOME_PORTS, TCP, 12, 8192), allow(RANGE)),
        (PortKey::new(UDP_PORTS, UDP, 0, 0), allow(EVERY_UDP)),
        (PortKey::new(UDP_PORTS, UDP, 16, 443), deny),
    ]
}

/// The entry of a setup's endpoint after a change of policy.
pub(super) fn next(setup: &Setup, change: impl FnOnce(&mut Endpoint)) -> Endpoint {
    let mut endpoint = setup.endpoint.unwrap_or_default();
    endpoint.generation += 1;
    change(&mut endpoint);
    endpoint
}
