//! What the maps hold when a case starts.

use core::net::IpAddr;
use std::vec::Vec;

use netpol_common::address::{v4_word, v6_words};
use netpol_common::conntrack::{Connection, Key4, Key6, selector, state};
use netpol_common::endpoint::{Endpoint, EndpointDirection};
use netpol_common::identity::{Address4, Address6, Prefix4, Prefix6};
use netpol_common::maps::{OTHER_NODE, OWN_NODE};
use netpol_common::policy::{Grant, PolicyKey, PortKey, PortVerdict};
use netpol_common::protocol::TCP;
use netpol_common::service::ServiceKey;

use crate::memory::Memory;
use crate::{Connections as _, Inserted, Table};

/// Contents of the maps that the agent writes.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The endpoint behind [`super::IFINDEX`], if there is one.
    pub endpoint: Option<Endpoint>,
    /// Addresses with an entry in the exact hash.
    pub identities: Vec<(IpAddr, u32)>,
    /// Prefixes, as address and length.
    pub prefixes: Vec<(IpAddr, u32, u32)>,
    /// What policy sets grant.
    pub grants: Vec<(PolicyKey, Grant)>,
    /// What port tables say.
    pub ports: Vec<(PortKey, PortVerdict)>,
    /// The node's own addresses.
    pub nodes: Vec<IpAddr>,
    /// Addresses of other nodes.
    pub other_nodes: Vec<IpAddr>,
    /// Services' addresses and ports, with their identities.
    pub services: Vec<(ServiceKey, u32)>,
    /// Addresses that are denied something, with the identities they are denied it under.
    pub sources: Vec<(IpAddr, u32)>,
    /// Connections of another endpoint.
    pub others: Others,
}

/// How many connections another endpoint holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Others {
    v6: bool,
    replied: u32,
    new: u32,
}

/// A connection of another endpoint.
pub struct Other {
    /// Where it is.
    pub table: Table,
    /// Its key, of the one family or the other.
    pub key: OtherKey,
    /// Its value.
    pub connection: Connection,
}

/// The key of a connection of another endpoint.
#[derive(Clone, Copy, Debug)]
pub enum OtherKey {
    /// IPv4.
    V4(Key4),
    /// IPv6.
    V6(Key6),
}

impl Others {
    /// Every one.
    pub fn connections(self) -> impl Iterator<Item = Other> {
        let replied = (0..self.replied).map(|number| (Table::Replied, number, state::REPLIED));
        let new = (0..self.new).map(|number| (Table::New, number, 0));
        replied.chain(new).map(move |(table, ports, state)| Other {
            table,
            key: self.key(ports),
            connection: Connection {
                state,
                ..Connection::default()
            },
        })
    }

    fn key(self, ports: u32) -> OtherKey {
        let (endpoint, selector) = (super::OTHER_IFINDEX, selector(TCP, 0));
        if self.v6 {
            return OtherKey::V6(Key6 {
                endpoint,
                remote: [1; 4],
                ports,
                selector,
            });
        }
        OtherKey::V4(Key4 {
            endpoint,
            remote: 1,
            ports,
            selector,
        })
    }
}

/// An address as a map key.
pub(super) enum Words {
    V4(u32),
    V6([u32; 4]),
}

pub(super) fn words(address: IpAddr) -> Words {
    match address {
        IpAddr::V4(address) => Words::V4(v4_word(address)),
        IpAddr::V6(address) => Words::V6(v6_words(address)),
    }
}

/// The key of the node map: IPv4 addresses are mapped.
#[must_use]
pub fn node_key(address: IpAddr) -> Address6 {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    Address6 {
        words: v6_words(address),
    }
}

impl Setup {
    /// Changes the endpoint's entry.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Endpoint)) -> Self {
        if let Some(endpoint) = &mut self.endpoint {
            change(endpoint);
        }
        self
    }

    /// Takes isolation away in the direction of ingress.
    pub(super) fn egress_only(self) -> Self {
        self.with(|endpoint| endpoint.ingress = EndpointDirection::default())
    }

    /// Takes isolation away in the direction of egress.
    pub(super) fn ingress_only(self) -> Self {
        self.with(|endpoint| endpoint.egress = EndpointDirection::default())
    }

    /// Takes isolation away in both directions.
    pub(super) fn not_isolated(self) -> Self {
        self.ingress_only().egress_only()
    }

    /// Gives another endpoint so many connections, replied and new, of an address's family.
    pub(super) fn others(mut self, of: IpAddr, replied: usize, new: usize) -> Self {
        self.others = Others {
            v6: of.is_ipv6(),
            replied: replied as u32,
            new: new as u32,
        };
        self
    }

    /// Writes the contents into maps in memory.
    ///
    /// # Panics
    ///
    /// The maps are too small.
    pub fn write(&self, memory: &mut Memory) {
        const ROOM: &str = "the maps hold the setup of a case";
        if let Some(endpoint) = self.endpoint {
            let inserted = memory.endpoint.insert(super::IFINDEX, endpoint);
            inserted.expect(ROOM);
        }
        for &(address, identity) in &self.identities {
            match words(address) {
                Words::V4(word) => memory.identity_v4.insert(Address4 { word }, identity),
                Words::V6(words) => memory.identity_v6.insert(Address6 { words }, identity),
            }
            .expect(ROOM);
        }
        for &(address, length, identity) in &self.prefixes {
            match words(address) {
                Words::V4(word) => memory.cidr_v4.insert(Prefix4 { length, word }, identity),
                Words::V6(words) => memory.cidr_v6.insert(Prefix6 { length, words }, identity),
            }
            .expect(ROOM);
        }
        for &(key, grant) in &self.grants {
            memory.policy.insert(key, grant).expect(ROOM);
        }
        for &(key, verdict) in &self.ports {
            memory.ports.insert(key, verdict).expect(ROOM);
        }
        for &node in &self.nodes {
            memory.node.insert(node_key(node), OWN_NODE).expect(ROOM);
        }
        for &node in &self.other_nodes {
            memory.node.insert(node_key(node), OTHER_NODE).expect(ROOM);
        }
        for &(key, identity) in &self.services {
            memory.service.insert(key, identity).expect(ROOM);
        }
        for &(address, identity) in &self.sources {
            memory
                .source
                .insert(node_key(address), identity)
                .expect(ROOM);
        }
        for other in self.others.connections() {
            let inserted = match other.key {
                OtherKey::V4(key) => memory.insert(other.table, &key, &other.connection),
                OtherKey::V6(key) => memory.insert(other.table, &key, &other.connection),
            };
            assert_eq!(inserted, Inserted::Created, "{ROOM}");
        }
    }
}
