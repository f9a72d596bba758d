//! The node: two pods, their peers, and the maps that say so.
//!
//! Addresses are those of the packet table (`netpol-datapath/src/cases/world.rs`), so that its
//! packets mean something here.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netpol_common::Direction;
use netpol_common::address::{v4_word, v6_words};
use netpol_common::endpoint::{Endpoint, EndpointDirection, flags};
use netpol_common::identity::{ANY_POD, ANYONE, Address4, Address6, POD, Prefix4, Prefix6};
use netpol_common::maps::OWN_NODE;
use netpol_common::policy::{ALLOW, Grant, PORT_LEVELS, PolicyKey, PortKey, PortVerdict};
use netpol_datapath::cases::node_key;
use netpol_datapath::memory::{HashTable, Memory};

use crate::policy::{Ports, RULES, Rules, Term, deny_number, rule_number};

/// The host interfaces of the pods.
pub(crate) const IFINDEX: [u32; 2] = [1, 2];

/// Addresses of one family.
pub(crate) struct Net {
    /// The first pod.
    pub(crate) pod: IpAddr,
    /// Its second address.
    pub(crate) second: IpAddr,
    /// The second pod.
    pub(crate) friend: IpAddr,
    pub(crate) guest: IpAddr,
    /// A pod that no rule names.
    pub(crate) other: IpAddr,
    pub(crate) near: IpAddr,
    pub(crate) nearer: IpAddr,
    pub(crate) stranger: IpAddr,
    pub(crate) node: IpAddr,
    pub(crate) near_prefix: (IpAddr, u32),
    pub(crate) nearer_prefix: (IpAddr, u32),
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(a: u16, b: u16, g: u16, h: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, g, h))
}

pub(crate) const V4: Net = Net {
    pod: v4(10, 0, 0, 2),
    second: v4(10, 0, 0, 3),
    friend: v4(10, 0, 1, 3),
    guest: v4(10, 0, 1, 4),
    other: v4(10, 0, 1, 5),
    near: v4(192, 0, 2, 9),
    nearer: v4(192, 0, 2, 129),
    stranger: v4(203, 0, 113, 7),
    node: v4(10, 0, 0, 1),
    near_prefix: (v4(192, 0, 2, 0), 24),
    nearer_prefix: (v4(192, 0, 2, 128), 25),
};

pub(crate) const V6: Net = Net {
    pod: v6(0xfd00, 0, 0, 2),
    second: v6(0xfd00, 0, 0, 3),
    friend: v6(0xfd00, 0, 1, 3),
    guest: v6(0xfd00, 0, 1, 4),
    other: v6(0xfd00, 0, 1, 5),
    near: v6(0x2001, 0xdb8, 0, 9),
    nearer: v6(0x2001, 0xdb8, 1, 9),
    stranger: v6(0x2001, 0xdb9, 0, 7),
    node: v6(0xfd00, 0, 0, 1),
    near_prefix: (v6(0x2001, 0xdb8, 0, 0), 96),
    nearer_prefix: (v6(0x2001, 0xdb8, 1, 0), 112),
};

impl Net {
    /// The addresses of an address's family.
    pub(crate) const fn of(address: IpAddr) -> &'static Self {
        if address.is_ipv4() { &V4 } else { &V6 }
    }

    /// Every address of a pod that the agent knows.
    pub(crate) const fn pods(&self) -> [IpAddr; 4] {
        [self.pod, self.friend, self.guest, self.other]
    }
}

/// Whether an address is in a prefix.
pub(crate) fn within(address: IpAddr, (prefix, length): (IpAddr, u32)) -> bool {
    match (address, prefix) {
        (IpAddr::V4(a), IpAddr::V4(p)) => {
            u32::from(a) >> (32 - length) == u32::from(p) >> (32 - length)
        }
        (IpAddr::V6(a), IpAddr::V6(p)) => {
            u128::from(a) >> (128 - length) == u128::from(p) >> (128 - length)
        }
        _ => false,
    }
}

/// A pod and its policies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pod {
    pub(crate) generation: u32,
    pub(crate) ingress: Rules,
    pub(crate) egress: Rules,
}

impl Pod {
    pub(crate) const fn rules(&self, direction: Direction) -> &Rules {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// The state of the node that the agent keeps.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) pods: [Pod; 2],
    /// Whether the agent knows the node's own addresses.
    pub(crate) knows_itself: bool,
}

impl Node {
    /// Whose address it is.
    pub(crate) fn owns(&self, pod: usize, address: IpAddr) -> bool {
        let net = Net::of(address);
        match pod {
            0 => address == net.pod || address == net.second,
            _ => address == net.friend,
        }
    }

    pub(crate) fn is_itself(&self, address: IpAddr) -> bool {
        self.knows_itself && address == Net::of(address).node
    }

    /// Writes what the agent would write.
    pub(crate) fn write(&self, memory: &mut Memory) {
        for net in [&V4, &V6] {
            for (address, identity) in identities(net) {
                match (address, prefix_of(net, identity)) {
                    (_, Some((IpAddr::V4(network), length))) => {
                        let word = v4_word(network);
                        put(memory.cidr_v4.insert(Prefix4 { length, word }, identity));
                    }
                    (_, Some((IpAddr::V6(network), length))) => {
                        let words = v6_words(network);
                        put(memory.cidr_v6.insert(Prefix6 { length, words }, identity));
                    }
                    (IpAddr::V4(address), None) => {
                        let word = v4_word(address);
                        put(memory.identity_v4.insert(Address4 { word }, identity));
                    }
                    (IpAddr::V6(address), None) => {
                        let words = v6_words(address);
                        put(memory.identity_v6.insert(Address6 { words }, identity));
                    }
                }
            }
        }
        self.update(memory);
    }

    /// Writes what a policy change changes.
    pub(crate) fn update(&self, memory: &mut Memory) {
        memory.policy.clear();
        memory.ports.clear();
        memory.node.clear();
        for net in [&V4, &V6] {
            if self.knows_itself {
                put(memory.node.insert(node_key(net.node), OWN_NODE));
            }
        }
        for (number, pod) in self.pods.iter().enumerate() {
            let mut endpoint = Endpoint {
                generation: pod.generation,
                ingress: direction(memory, number, Direction::Ingress, pod.ingress),
                egress: direction(memory, number, Direction::Egress, pod.egress),
                ..Endpoint::default()
            };
            let own = |net: &Net| match number {
                0 => [Some(net.pod), Some(net.second)],
                _ => [Some(net.friend), None],
            };
            for (place, address) in own(&V4).into_iter().chain(own(&V6)).enumerate() {
                match address {
                    Some(IpAddr::V4(address)) => endpoint.v4[place % 2] = v4_word(address),
                    Some(IpAddr::V6(address)) => endpoint.v6[place % 2] = v6_words(address),
                    None => {}
                }
            }
            put(memory.endpoint.insert(IFINDEX[number], endpoint));
        }
    }
}

/// Classes of addresses, by an address of each and their number.
fn identities(net: &Net) -> [(IpAddr, u32); 6] {
    [
        (net.pod, POD | 6),
        (net.friend, POD | 7),
        (net.guest, POD | 8),
        (net.other, POD | 9),
        (net.near, 10),
        (net.nearer, 11),
    ]
}

/// The prefix of a class outside.
fn prefix_of(net: &Net, identity: u32) -> Option<(IpAddr, u32)> {
    match identity {
        10 => Some(net.near_prefix),
        11 => Some(net.nearer_prefix),
        _ => None,
    }
}

fn put<E: core::fmt::Debug>(result: Result<(), E>) {
    result.expect("the maps are large enough");
}

/// Writes a policy set, and gives what the endpoint's entry says of it.
fn direction(
    memory: &mut Memory,
    pod: usize,
    direction: Direction,
    rules: Rules,
) -> EndpointDirection {
    let set = 1 + pod as u32 * 2 + direction as u32;
    let mut bits = if rules.isolated { flags::ISOLATED } else { 0 };
    let any = |is: fn(Term) -> bool| rules.each().any(|(_, term, _)| is(term));
    for (bit, said) in [
        (flags::REJECT, rules.reject),
        (flags::CIDR, any(Term::is_prefix)),
        (flags::ANY_POD, any(|term| term == Term::AnyPod)),
        (flags::ANYONE, any(|term| term == Term::Anyone)),
    ] {
        bits |= if said { bit } else { 0 };
    }
    let mut write = |identity: u32, is: &dyn Fn(Term) -> bool| {
        let table = set * 0x100 + identity % 0x100 + u32::from(identity == ANY_POD) * 0x80;
        let numbered = |bit| rule_number(pod, direction, bit);
        let of_it = rules.each().filter(|(_, term, _)| is(*term));
        let of_it: Vec<_> = of_it
            .map(|(bit, _, ports)| (numbered(bit), ports))
            .collect();
        if !of_it.is_empty() {
            let grant = grant(&mut memory.ports, table, &of_it);
            put(memory.policy.insert(PolicyKey { set, identity }, grant));
        }
    };
    for (address, identity) in identities(&V4) {
        // What nobody but the wildcards speaks of has no entry of its own.
        if rules
            .each()
            .any(|(_, term, _)| !term.is_wildcard() && term.matches(address))
        {
            write(identity, &|term| term.matches(address));
        }
    }
    if any(|term| term == Term::AnyPod) {
        write(ANY_POD, &|term| term.is_wildcard());
    }
    if any(|term| term == Term::Anyone) {
        write(ANYONE, &|term| term == Term::Anyone);
    }
    EndpointDirection {
        flags: bits,
        set,
        deny_rule: deny_number(pod, direction),
        second_set: 0,
    }
}

/// Writes a port table, unless a rule names no ports.
fn grant(ports: &mut HashTable<PortKey, PortVerdict>, table: u32, rules: &[(u32, Ports)]) -> Grant {
    let mut levels = 0;
    for &(rule, of) in rules {
        let Ports::Some {
            protocol,
            port,
            bits,
        } = of
        else {
            return Grant {
                rule,
                table: 0,
                levels: 0,
            };
        };
        let key = PortKey::new(table, protocol, bits, port);
        if ports.get(&key).is_none() {
            let verdict = PortVerdict {
                verdict: ALLOW,
                rule,
            };
            put(ports.insert(key, verdict));
        }
        let level = PORT_LEVELS.iter().position(|length| *length == bits);
        levels |= 1 << level.expect("a prefix length that port tables have");
    }
    Grant {
        rule: 0,
        table,
        levels,
    }
}

/// Every rule has a number of its own.
const _: () = assert!(RULES.len() <= 32);
