//! A pod under policy, its peers and its connections.

use std::net::IpAddr;

use netpol_common::Direction;
use netpol_common::address::{v4_word, v6_words};
use netpol_common::conntrack::{Connection, Key4, Key6, selector, state};
use netpol_common::endpoint::{Endpoint, EndpointDirection, Slot, cache_place, flags};
use netpol_common::held::{Held, Place, Swept};
use netpol_common::identity::{Address4, Address6, POD, SERVICE};
use netpol_common::maps;
use netpol_common::policy::{ALLOW, Grant, PolicyKey, PortKey, PortVerdict};
use netpol_common::protocol::TCP;
use netpol_common::service::ServiceKey;

use super::{Family, INTERFACE, State};

/// The pod's address, by its number ([`Family::address`]).
const ADDRESS: u32 = 0x0a01_0002;
/// The first address of its peers; of addresses that nobody has; the Service's.
pub(super) const PEERS: u32 = 0x0a40_0000;
pub(super) const STRANGERS: u32 = 0x0ac0_0000;
pub(super) const VIP: u32 = 0x0a60_0001;

/// The port that is allowed, one that is not, and the client's.
pub(super) const WEB: u16 = 80;
pub(super) const CLOSED: u16 = 81;
pub(super) const CLIENT: u16 = 20_000;

/// The policy sets of both directions.
const SETS: [u32; 2] = [11, 12];
/// Numbers of the first identity, port table and rule; each policy has one of its own.
const FIRST: u32 = 100;
const FRONTEND: u32 = SERVICE | 50;
/// The default deny.
const DENY: u32 = 90;
const GENERATION: u32 = 1;

/// What the policies that select the pod look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policies {
    /// How many of them, in each direction; each allows peers of its own. None: default deny.
    pub(super) number: u32,
    /// Peers of all of them together.
    pub(super) peers: u32,
    /// Ports that each of them allows.
    pub(super) ports: u16,
}

/// One policy, one port.
pub(super) const fn policy_of(peers: u32) -> Policies {
    Policies {
        number: 1,
        peers,
        ports: 1,
    }
}

/// The pod's address.
pub(super) const fn address(family: Family) -> IpAddr {
    family.address(ADDRESS)
}

/// A pod that policies select in both directions, without connections.
pub(super) fn isolated(family: Family, policies: Policies) -> State {
    let mut state = pod(family, flags::ISOLATED);
    for peer in 0..policies.peers {
        let policy = u64::from(peer) * u64::from(policies.number) / u64::from(policies.peers);
        let identity = POD | (FIRST + policy as u32);
        match family.address(PEERS + peer) {
            IpAddr::V4(address) => {
                let word = v4_word(address);
                state.put(maps::IDENTITY_V4, &Address4 { word }, &identity);
            }
            IpAddr::V6(address) => {
                let words = v6_words(address);
                state.put(maps::IDENTITY_V6, &Address6 { words }, &identity);
            }
        }
    }
    for number in (FIRST..).take(policies.number as usize) {
        let grant = Grant {
            rule: 0,
            table: number,
            levels: 1,
        };
        let allow = PortVerdict {
            verdict: ALLOW,
            rule: number,
        };
        for set in SETS {
            let identity = POD | number;
            state.put(maps::POLICY, &PolicyKey { set, identity }, &grant);
        }
        for port in 0..policies.ports {
            let port = if port == 0 { WEB } else { 8000 + port };
            state.put(maps::PORTS, &PortKey::new(number, TCP, 16, port), &allow);
        }
    }
    state
}

/// A pod that no policy selects.
pub(super) fn free(family: Family) -> State {
    pod(family, 0)
}

/// A pod that may speak with every backend of a Service.
pub(super) fn client(family: Family) -> State {
    let mut state = pod(family, flags::ISOLATED);
    let words = match family.address(VIP) {
        IpAddr::V4(address) => v6_words(address.to_ipv6_mapped()),
        IpAddr::V6(address) => v6_words(address),
    };
    state.put(maps::SERVICE, &ServiceKey::new(words, TCP, WEB), &FRONTEND);
    let everything = Grant {
        rule: FIRST,
        table: 0,
        levels: 0,
    };
    for set in SETS {
        let identity = FRONTEND;
        state.put(maps::POLICY, &PolicyKey { set, identity }, &everything);
    }
    state
}

/// Connections with so many peers, one with each, that were opened in a direction and answered.
pub(super) fn connect(state: &mut State, family: Family, opened: Direction, peers: u32) {
    let (remote, local, bits) = match opened {
        Direction::Ingress => (CLIENT, WEB, 0),
        Direction::Egress => (WEB, CLIENT, state::FROM_ENDPOINT),
    };
    let connection = Connection {
        state: bits | state::REPLIED,
        generation: GENERATION,
        rule: FIRST,
        last_seen: 0,
    };
    let ports = u32::from(remote) << 16 | u32::from(local);
    let selector = selector(TCP, 0);
    for peer in 0..peers {
        match family.address(PEERS + peer) {
            IpAddr::V4(address) => {
                let key = Key4 {
                    endpoint: INTERFACE,
                    remote: v4_word(address),
                    ports,
                    selector,
                };
                state.connect(maps::CONNTRACK_V4, &key, connection);
            }
            IpAddr::V6(address) => {
                let key = Key6 {
                    endpoint: INTERFACE,
                    remote: v6_words(address),
                    ports,
                    selector,
                };
                state.connect(maps::CONNTRACK_V6, &key, connection);
            }
        }
    }
    let place = match family {
        Family::V4 => Place::RepliedV4,
        Family::V6 => Place::RepliedV6,
    };
    let mut held = Held::default();
    held.tables[place as usize].opened = u64::from(peers);
    state.put(maps::HELD, &INTERFACE, &held);
    state.put(maps::HELD_TOTAL, &0_u32, &held);
}

fn pod(family: Family, flags: u32) -> State {
    let direction = |set| EndpointDirection {
        flags,
        set,
        deny_rule: DENY,
        second_set: 0,
    };
    let mut endpoint = Endpoint {
        generation: GENERATION,
        ingress: direction(SETS[0]),
        egress: direction(SETS[1]),
        ..Endpoint::default()
    };
    match address(family) {
        IpAddr::V4(address) => endpoint.v4[0] = v4_word(address),
        IpAddr::V6(address) => endpoint.v6[0] = v6_words(address),
    }
    let slot = Slot {
        slot: 0,
        ifindex: INTERFACE,
    };
    let mut state = State::default();
    state.put(maps::ENDPOINT_ENTRIES, &slot.slot, &endpoint);
    state.put(maps::ENDPOINT, &INTERFACE, &slot);
    let place = cache_place(INTERFACE);
    state.put(maps::ENDPOINT_CACHE, &place, &slot.word());
    for (map, key) in [(maps::HELD, INTERFACE), (maps::HELD_TOTAL, 0)] {
        state.put(map, &key, &Held::default());
    }
    for (map, key) in [(maps::SWEPT, INTERFACE), (maps::SWEPT_TOTAL, 0)] {
        state.put(map, &key, &Swept::default());
    }
    state
}
