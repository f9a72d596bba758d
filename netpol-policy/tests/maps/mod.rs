//! A node's maps, judged as the datapath judges the first packet of a connection. The look-ups
//! themselves, not their speed: the real datapath has the same tables in its own tests.

use std::{collections::BTreeMap, net::IpAddr};

use netpol_common::{
    Direction, address,
    endpoint::{Endpoint, EndpointDirection, flags},
    identity::{
        self, ANY_POD, ANYONE, Address4, Address6, NOWHERE, POD, Prefix4, Prefix6, SERVICE,
    },
    maps::{Digest, NumberKind},
    policy::{ALLOW, Grant, PORT_LEVELS, PolicyKey, PortKey},
    service::{NODE_PORT_V4, NODE_PORT_V6, ServiceKey},
};
use netpol_policy::Programmed;

/// A connection's first packet, from the endpoint's view.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    pub direction: Direction,
    pub local: IpAddr,
    pub remote: IpAddr,
    pub protocol: u8,
    /// The destination's port, where the protocol has one.
    pub port: Option<u16>,
}

/// Whether an endpoint lets an opening pass; `None` when the address is no endpoint's.
pub fn judge(maps: &Programmed, opening: &Opening) -> Option<bool> {
    let endpoint = endpoint_at(maps, opening.local)?;
    let applies = endpoint.direction(opening.direction);
    if has_address(endpoint, opening.remote) {
        return Some(true);
    }
    let by_policy = by_policy(maps, applies, opening);
    Some(
        by_policy
            && !(opening.direction == Direction::Ingress && is_refused(maps, applies, opening)),
    )
}

/// Whether the policies that isolate the endpoint let an opening pass.
fn by_policy(maps: &Programmed, applies: &EndpointDirection, opening: &Opening) -> bool {
    if !applies.isolated() {
        return true;
    }
    let frontend = (opening.direction == Direction::Egress)
        .then(|| frontend(maps, applies, opening))
        .flatten();
    let identity = match frontend {
        Some(id) if id & SERVICE != 0 => return frontend_allows(maps, applies, id),
        Some(id) => id,
        None => identity(maps, opening.remote, applies.flags & flags::CIDR != 0),
    };
    let grant = grant(maps, applies.set, applies.flags, identity);
    grant.rule != 0 || port_allows(maps, &grant, opening)
}

/// The identity of the Service that an opening is addressed to.
fn frontend(maps: &Programmed, applies: &EndpointDirection, opening: &Opening) -> Option<u32> {
    let key = |words| ServiceKey::new(words, opening.protocol, opening.port.unwrap_or(0));
    let address = mapped(opening.remote);
    opening.port?;
    if let Some(id) = maps.services.get(&key(address.words)) {
        return Some(*id);
    }
    let every_node = match opening.remote {
        IpAddr::V4(_) => NODE_PORT_V4,
        IpAddr::V6(_) => NODE_PORT_V6,
    };
    let asks = applies.flags & flags::NODE_PORTS != 0 && maps.node.contains_key(&address);
    maps.services
        .get(&key(every_node))
        .copied()
        .filter(|_| asks)
}

fn frontend_allows(maps: &Programmed, applies: &EndpointDirection, id: u32) -> bool {
    let entry = |set, identity| maps.policy.get(&PolicyKey { set, identity });
    let own = applies.flags & flags::OWN_SERVICES != 0
        && entry(applies.second_set, id).is_some_and(|grant| grant.rule != 0);
    let everything = || {
        let asked = applies.flags & flags::ANYONE != 0;
        entry(applies.set, ANYONE).filter(|_| asked)
    };
    let grant = entry(applies.set, id).or_else(everything);
    own || grant.is_some_and(|grant| grant.rule != 0)
}

/// Whether the egress policies of who opens forbid it, and this endpoint knows.
fn is_refused(maps: &Programmed, applies: &EndpointDirection, opening: &Opening) -> bool {
    let Some(port) = opening.port.filter(|_| applies.flags & flags::DENIES != 0) else {
        return false;
    };
    let source = maps.sources.get(&mapped(opening.remote));
    let entry = source.and_then(|identity| {
        let (set, identity) = (applies.second_set, *identity);
        maps.policy.get(&PolicyKey { set, identity })
    });
    entry.is_some_and(|grant| {
        let key = PortKey::new(grant.table, opening.protocol, 16, port);
        grant.rule != 0 && maps.ports.contains_key(&key)
    })
}

fn mapped(address: IpAddr) -> Address6 {
    let v6 = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    Address6 {
        words: address::v6_words(v6),
    }
}

fn grant(maps: &Programmed, set: u32, set_flags: u32, identity: u32) -> Grant {
    let entry = |identity| maps.policy.get(&PolicyKey { set, identity }).copied();
    if identity != ANYONE
        && let Some(own) = entry(identity)
    {
        return own;
    }
    if identity & POD != 0 && set_flags & flags::ANY_POD != 0 {
        return entry(ANY_POD).expect("the flag promises the entry");
    }
    if set_flags & flags::ANYONE != 0 {
        return entry(ANYONE).expect("the flag promises the entry");
    }
    Grant::default()
}

fn port_allows(maps: &Programmed, grant: &Grant, opening: &Opening) -> bool {
    let Some(port) = opening.port.filter(|_| grant.table != 0) else {
        return false;
    };
    PORT_LEVELS
        .into_iter()
        .enumerate()
        .filter(|(level, _)| grant.levels & (1 << level) != 0)
        .find_map(|(_, length)| {
            let key = PortKey::new(grant.table, opening.protocol, length, port);
            maps.ports.get(&key)
        })
        .is_some_and(|verdict| verdict.verdict == ALLOW)
}

fn identity(maps: &Programmed, remote: IpAddr, ask_prefixes: bool) -> u32 {
    match remote {
        IpAddr::V4(v4) => {
            let word = address::v4_word(v4);
            let exact = maps.identities_v4.get(&Address4 { word }).copied();
            let prefixes = || {
                (0..=32).rev().find_map(|length| {
                    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                    let word = address::v4_word((u32::from(v4) & mask).into());
                    maps.cidrs_v4.get(&Prefix4 { length, word }).copied()
                })
            };
            exact.or_else(|| prefixes().filter(|_| ask_prefixes))
        }
        IpAddr::V6(v6) => {
            let words = address::v6_words(v6);
            let exact = maps.identities_v6.get(&Address6 { words }).copied();
            let prefixes = || {
                (0..=128).rev().find_map(|length| {
                    let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                    let words = address::v6_words((u128::from(v6) & mask).into());
                    maps.cidrs_v6.get(&Prefix6 { length, words }).copied()
                })
            };
            exact.or_else(|| prefixes().filter(|_| ask_prefixes))
        }
    }
    .unwrap_or(ANYONE)
}

fn endpoint_at(maps: &Programmed, address: IpAddr) -> Option<&Endpoint> {
    maps.endpoints.values().find(|e| has_address(e, address))
}

/// Whether a Service has the opening's port on every node.
pub fn has_node_port(maps: &Programmed, opening: &Opening) -> bool {
    let words = match opening.remote {
        IpAddr::V4(_) => NODE_PORT_V4,
        IpAddr::V6(_) => NODE_PORT_V6,
    };
    let key = |port| ServiceKey::new(words, opening.protocol, port);
    opening
        .port
        .is_some_and(|port| maps.services.contains_key(&key(port)))
}

/// Whether the opening is addressed to a Service that leads back to who opens.
pub fn is_of_own_service(maps: &Programmed, opening: &Opening) -> bool {
    let applies = endpoint_at(maps, opening.local).map(|e| e.direction(opening.direction));
    let Some(applies) = applies.filter(|a| a.flags & flags::OWN_SERVICES != 0) else {
        return false;
    };
    frontend(maps, applies, opening).is_some_and(|identity| {
        let set = applies.second_set;
        maps.policy.contains_key(&PolicyKey { set, identity })
    })
}

/// What the policy sets of the opening's endpoint know its other end as.
pub fn remote_identity(maps: &Programmed, opening: &Opening) -> u32 {
    identity(maps, opening.remote, true)
}

/// What an endpoint refuses to others by: a number, or none.
pub fn refusals(endpoint: &Endpoint) -> u32 {
    let refuses = endpoint.ingress.flags & flags::DENIES != 0;
    if refuses {
        endpoint.ingress.second_set
    } else {
        0
    }
}

/// Whether the opening's remote address is a node's.
pub fn is_node(maps: &Programmed, opening: &Opening) -> bool {
    maps.node.contains_key(&mapped(opening.remote))
}

/// The interface of the endpoint with an address.
pub fn interface_at(maps: &Programmed, address: IpAddr) -> Option<u32> {
    let mut endpoints = maps.endpoints.iter();
    let found = endpoints.find(|(_, endpoint)| has_address(endpoint, address));
    found.map(|(ifindex, _)| *ifindex)
}

/// Unused places are zero, and so nobody's address.
fn has_address(endpoint: &Endpoint, address: IpAddr) -> bool {
    if address.is_unspecified() {
        return false;
    }
    match address {
        IpAddr::V4(v4) => endpoint.v4.contains(&address::v4_word(v4)),
        IpAddr::V6(v6) => endpoint.v6.contains(&address::v6_words(v6)),
    }
}

/// What the maps say, with every number replaced by what it stands for: equal for equal meanings,
/// whatever numbers were given on the way there.
pub fn canonical(maps: &Programmed) -> BTreeMap<String, String> {
    let mut digests: BTreeMap<(u32, u32), Digest> = BTreeMap::new();
    for (digest, number) in &maps.numbers {
        let before = digests.insert((number.kind, number.number), *digest);
        assert_eq!(before, None, "one number, two contents: {number:?}");
    }
    let name = |kind: NumberKind, number: u32| match number {
        0 => "none".to_owned(),
        number if kind == NumberKind::Rule && number < 64 => format!("fixed {number}"),
        number => format!("{:x?}", digests[&(kind as u32, number)].words),
    };
    let identity = |id: u32| match id {
        ANYONE => "anyone".to_owned(),
        ANY_POD => "any pod".to_owned(),
        NOWHERE => "nowhere".to_owned(),
        id => {
            let number = identity::number(id);
            format!("{} {}", id & !number, name(NumberKind::Identity, number))
        }
    };
    // A table's digest covers the rules' numbers, so its content stands for it here.
    let table = |number: u32| -> Vec<(u32, String)> {
        let of_table = maps.ports.iter().filter(|(key, _)| key.table == number);
        let mut content: Vec<_> = of_table
            .map(|(key, verdict)| (key.port, name(NumberKind::Rule, verdict.rule)))
            .collect();
        content.sort();
        content
    };
    let mut said = BTreeMap::new();
    for (ifindex, endpoint) in &maps.endpoints {
        let sides = [endpoint.ingress, endpoint.egress].map(|side| {
            let set = name(NumberKind::PolicySet, side.set);
            let second = name(NumberKind::PolicySet, side.second_set);
            (
                side.flags,
                set,
                second,
                name(NumberKind::Rule, side.deny_rule),
            )
        });
        let rest = (endpoint.v4, endpoint.v6, endpoint.pod);
        said.insert(format!("endpoint {ifindex}"), format!("{sides:?} {rest:?}"));
    }
    let places = maps
        .identities_v4
        .iter()
        .map(|(k, v)| (format!("{k:?}"), v));
    let places = places.chain(
        maps.identities_v6
            .iter()
            .map(|(k, v)| (format!("{k:?}"), v)),
    );
    let places = places.chain(maps.cidrs_v4.iter().map(|(k, v)| (format!("{k:?}"), v)));
    let places = places.chain(maps.cidrs_v6.iter().map(|(k, v)| (format!("{k:?}"), v)));
    let places = places.chain(maps.services.iter().map(|(k, v)| (format!("{k:?}"), v)));
    let places = places.chain(
        maps.sources
            .iter()
            .map(|(k, v)| (format!("source {k:?}"), v)),
    );
    for (place, id) in places {
        said.insert(place, identity(*id));
    }
    for (key, grant) in &maps.policy {
        let set = name(NumberKind::PolicySet, key.set);
        let rule = name(NumberKind::Rule, grant.rule);
        let grant = format!("{rule} {} {:?}", grant.levels, table(grant.table));
        said.insert(format!("policy {set} {}", identity(key.identity)), grant);
    }
    for (address, whose) in &maps.node {
        said.insert(format!("node {address:?}"), whose.to_string());
    }
    let tables: std::collections::BTreeSet<u32> =
        maps.policy.values().map(|grant| grant.table).collect();
    for key in maps.ports.keys() {
        assert!(tables.contains(&key.table), "a port table nobody refers to");
    }
    said.insert("contents".to_owned(), {
        let kinds = maps
            .numbers
            .values()
            .filter(|n| n.kind != NumberKind::Generation as u32);
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for number in kinds {
            *counts.entry(number.kind).or_default() += 1;
        }
        format!("{counts:?}")
    });
    said
}
