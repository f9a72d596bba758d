//! What can happen to a cluster, and what a node takes part in.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use crate::object::{Kind, Object, ObjectKey, ObjectRef};

/// A change of the cluster, or of the node's interfaces.
#[derive(Clone, Debug)]
pub enum Change {
    /// The object is there now, and is this.
    Set(Object),
    /// The object is gone.
    Remove(ObjectRef),
    /// These objects of the kind are there, and no others: what a list of all of them says. Only
    /// removes; those that are there come as [`Change::Set`].
    Only {
        /// The kind.
        kind: Kind,
        /// The names of its objects.
        keys: HashSet<ObjectKey>,
    },
    /// The pod's host interface is known.
    Attach {
        /// The pod.
        pod: ObjectKey,
        /// Index of its host interface.
        ifindex: u32,
    },
    /// The pod's host interface is gone.
    Detach {
        /// The pod.
        pod: ObjectKey,
    },
    /// What the node's CNI plugins say of a local pod's addresses, before the API does.
    Addresses {
        /// The pod.
        pod: ObjectKey,
        /// Its `metadata.uid`: another pod of this name is not meant.
        uid: String,
        /// Its addresses; an empty set gives those it had back. `None` leaves the API the word.
        addresses: Option<BTreeSet<IpAddr>>,
    },
    /// The addresses of the node's own interfaces: what it sends from, beside what the Node
    /// object says (a bridge's address, for one).
    LocalAddresses(BTreeSet<IpAddr>),
}

/// Whose pods are endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of one node.
    Node(String),
    /// All: to judge offline.
    All,
}

/// How many entries each map may hold in a settled state. While one state is replaced by another
/// both are in the maps, so a map should hold twice as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Local endpoints.
    pub endpoints: u32,
    /// IPv4 addresses of pods.
    pub identities_v4: u32,
    /// IPv6 addresses of pods.
    pub identities_v6: u32,
    /// IPv4 prefixes.
    pub cidrs_v4: u32,
    /// IPv6 prefixes.
    pub cidrs_v6: u32,
    /// Addresses and ports of Services.
    pub services: u32,
    /// Addresses of pods that are refused something.
    pub sources: u32,
    /// Entries of the policy map.
    pub policy_entries: u32,
    /// Entries of the port map.
    pub port_entries: u32,
    /// Rules and default denies, each a counter.
    pub rules: u32,
}

impl Limits {
    /// No limits but those of the numbers: to judge offline.
    pub const UNLIMITED: Self = Self {
        endpoints: u32::MAX,
        identities_v4: u32::MAX,
        identities_v6: u32::MAX,
        cidrs_v4: u32::MAX,
        cidrs_v6: u32::MAX,
        services: u32::MAX,
        sources: u32::MAX,
        policy_entries: u32::MAX,
        port_entries: u32::MAX,
        rules: u32::MAX,
    };

    /// The limits of maps of these sizes: half of each, so that the state in force and the next
    /// one fit together.
    #[must_use]
    pub const fn of_maps(maps: Self) -> Self {
        Self {
            endpoints: maps.endpoints / 2,
            identities_v4: maps.identities_v4 / 2,
            identities_v6: maps.identities_v6 / 2,
            cidrs_v4: maps.cidrs_v4 / 2,
            cidrs_v6: maps.cidrs_v6 / 2,
            services: maps.services / 2,
            sources: maps.sources / 2,
            policy_entries: maps.policy_entries / 2,
            port_entries: maps.port_entries / 2,
            rules: maps.rules / 2,
        }
    }
}
