//! From policies and pods to identities, policy sets and port tables.
//!
//! ```text
//! endpoint -> set keys -> sets    sets.rs        what applies, compiled once for all that share it
//!             sets -> terms       terms.rs       which peers and port names are asked for
//!             terms -> prefixes   blocks.rs      the boundaries of the blocks among them
//!   address, prefix -> identity   identities.rs  the terms each satisfies, as a number
//!    set x identity -> grant      sets.rs        ports.rs
//!              rule -> counter    rules.rs
//!           Service -> identity   frontends.rs   what its backends are (backends.rs)
//!   endpoint -> own Services      own.rs         through which it may reach itself
//!  source x endpoint -> refusals  denies.rs      what pods may not send here (sources.rs)
//! ```
//! All of it is kept and changed in place: a commit looks at what the changes touched.

pub(crate) mod backends;
pub(crate) mod blocks;
pub(crate) mod denies;
pub(crate) mod endpoints;
pub(crate) mod frontends;
pub(crate) mod identities;
pub(crate) mod own;
pub(crate) mod ports;
pub(crate) mod rules;
mod services;
pub(crate) mod sets;
pub(crate) mod sources;
pub(crate) mod terms;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use netpol_common::{
    address::{v4_word, v6_words},
    identity::{Address4, Address6, NOWHERE, Prefix4, Prefix6},
    policy::PolicyKey,
};

use crate::{cluster::Cluster, numbers::Numbers, object::ObjectKey, policy::Peer, tables::Tables};
use denies::Denies;
use endpoints::LocalEndpoint;
use frontends::Frontends;
use identities::{Identities, IdentityIndex};
use own::{OwnServices, OwnSet};
use ports::PortTables;
use rules::Rules;
pub(crate) use sets::AppliedPolicy;
use sets::{SetIndex, Sets, Shared};
use sources::Sources;
use terms::{NameIndex, TermIndex, Terms, affected_addresses};

/// Everything compiled.
#[derive(Debug, Default)]
pub(crate) struct Compiler {
    pub(crate) endpoints: BTreeMap<ObjectKey, LocalEndpoint>,
    pub(crate) sets: Sets,
    pub(crate) terms: Terms,
    pub(crate) identities: Identities,
    pub(crate) rules: Rules,
    pub(crate) ports: PortTables,
    pub(crate) numbers: Numbers,
    pub(crate) frontends: Frontends,
    pub(crate) own: OwnServices,
    pub(crate) sources: Sources,
    pub(crate) denies: Denies,
    /// kube-proxy masquerades whatever is sent to a ClusterIP.
    pub(crate) masquerade_all: bool,
    /// Refused packets are answered where the namespace says nothing else.
    pub(crate) reject: bool,
    /// Sets of own Services that endpoints have left since the last commit.
    left_over: Vec<OwnSet>,
}

/// What the changes since the last commit may have touched.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Pods that are, were or may be endpoints.
    pub(crate) pods: BTreeSet<ObjectKey>,
    /// Addresses whose pod, or whose pod's labels, ports or namespace, changed.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Addresses whose pod, or the egress policies that isolate it, changed.
    pub(crate) sources: BTreeSet<IpAddr>,
    /// Services whose object or slices changed.
    pub(crate) services: BTreeSet<ObjectKey>,
    /// Addresses that came to a Service or left it.
    pub(crate) backends: BTreeSet<IpAddr>,
}

impl Compiler {
    /// Compiles what was touched into the desired contents of the maps.
    pub(crate) fn compile(
        &mut self,
        cluster: &Cluster,
        touched: &mut Touched,
        tables: &mut Tables,
    ) {
        // New sets before old ones go, so that what both use keeps its number.
        let gone_sets = self.sets.collect(&mut Shared {
            terms: &mut self.terms,
            rules: &mut self.rules,
            ports: &mut self.ports,
            numbers: &mut self.numbers,
        });
        for (place, set) in gone_sets {
            for identity in set.entries.keys() {
                let identity = &mut self.identities.identities[*identity];
                identity.sets.remove(&place);
                tables.policy.unset(&PolicyKey {
                    set: set.number,
                    identity: identity.id,
                });
            }
            for (wildcard, _) in set.wildcards() {
                tables.policy.unset(&PolicyKey {
                    set: set.number,
                    identity: *wildcard,
                });
            }
            for frontend in &set.frontends {
                let frontend = &mut self.frontends.frontends[*frontend];
                frontend.sets.remove(&place);
                tables.policy.unset(&PolicyKey {
                    set: set.number,
                    identity: frontend.id,
                });
            }
        }
        let mut affected = self.place_all(cluster, touched, tables);
        self.place_frontends(cluster, touched, &mut affected, tables);
        let gone = self.identities.collect(&mut self.terms, &mut self.numbers);
        for (place, identity) in gone {
            for set in &identity.sets {
                let set = &mut self.sets.sets[*set];
                if let Some(grant) = set.entries.remove(&place) {
                    self.ports.release(&grant, &mut self.numbers);
                }
                tables.policy.unset(&PolicyKey {
                    set: set.number,
                    identity: identity.id,
                });
            }
        }
        self.add_entries(tables);
        self.refuse(cluster, touched, &mut affected, tables);
        affected.append(&mut touched.pods);
        for pod in affected {
            self.settle_endpoint(&pod, cluster, tables);
        }
        for set in std::mem::take(&mut self.left_over) {
            self.own.release(set, &mut self.numbers, &mut tables.policy);
        }
        let wanted = self.asks_for_services();
        self.frontends.want(wanted, &mut tables.services);
        self.frontends.backends.settle();
        self.terms.settle();
    }

    /// Gives every touched address and prefix its identity; gives the local pods among them.
    fn place_all(
        &mut self,
        cluster: &Cluster,
        touched: &mut Touched,
        tables: &mut Tables,
    ) -> BTreeSet<ObjectKey> {
        for peer in &self.terms.changed.peers {
            let affected = affected_addresses(peer, cluster);
            touched.addresses.extend(affected);
            if let Peer::Block(block) = peer {
                let backends = cluster.services.addresses_in(block.net);
                touched.addresses.extend(backends);
            }
        }
        let mut affected = BTreeSet::new();
        for name in &self.terms.changed.names {
            touched.addresses.extend(cluster.addresses_naming(name));
        }
        for address in std::mem::take(&mut touched.addresses) {
            let pod = cluster.pod_at(address);
            let signature = pod.and_then(|pod| self.terms.of_pod(pod, address, cluster));
            let id = self.identities.place_address(
                address,
                signature,
                &mut self.terms,
                &mut self.numbers,
            );
            set_address(tables, address, id);
            let backends = &mut self.frontends.backends;
            backends.refresh(address, cluster, &mut self.terms);
            affected.extend(cluster.claimants(address).map(|pod| pod.key.clone()));
        }
        for prefix in std::mem::take(&mut self.terms.blocks.dirty) {
            let is_boundary = self.terms.blocks.is_boundary(prefix);
            let signature = is_boundary.then(|| self.terms.of_prefix(prefix));
            let id =
                self.identities
                    .place_prefix(prefix, signature, &mut self.terms, &mut self.numbers);
            set_prefix(tables, prefix, id);
        }
        affected
    }

    /// Gives every pair of a set and an identity that needs one its entry, where either is new.
    fn add_entries(&mut self, tables: &mut Tables) {
        let mut pairs: BTreeSet<(SetIndex, IdentityIndex)> = BTreeSet::new();
        let fresh = std::mem::take(&mut self.sets.fresh);
        self.add_frontend_entries(&fresh, tables);
        for set in fresh {
            for (wildcard, grant) in self.sets.sets[set].wildcards() {
                let key = PolicyKey {
                    set: self.sets.sets[set].number,
                    identity: *wildcard,
                };
                tables.policy.set(key, *grant);
            }
            let (terms, names) = self.sets.sets[set].asks();
            pairs.extend(
                self.satisfying(&terms, &names)
                    .map(|identity| (set, identity)),
            );
        }
        for identity in std::mem::take(&mut self.identities.fresh) {
            let signature = &self.identities.identities[identity].signature;
            let terms = signature.terms.iter();
            let of_terms = terms
                .filter(|term| !self.terms.is_any_pod(**term))
                .map(|term| &self.terms.terms[*term].sets);
            let names = signature.names.iter();
            let of_names = names.map(|(name, _)| &self.terms.names[*name].sets);
            pairs.extend(
                of_terms
                    .chain(of_names)
                    .flatten()
                    .map(|set| (*set, identity)),
            );
        }
        for (set_place, identity_place) in pairs {
            let set = &mut self.sets.sets[set_place];
            if set.entries.contains_key(&identity_place) {
                continue;
            }
            let identity = &mut self.identities.identities[identity_place];
            let signature = &identity.signature;
            let grant = set.grant_to(signature, &self.terms, &mut self.ports, &mut self.numbers);
            if let Some(grant) = grant {
                set.entries.insert(identity_place, grant);
                identity.sets.insert(set_place);
                let key = PolicyKey {
                    set: set.number,
                    identity: identity.id,
                };
                tables.policy.set(key, grant);
            }
        }
    }

    /// Whether a number means something now: some address, Service or source has it, or nobody.
    pub(crate) fn is_current(&self, id: u32) -> bool {
        id == NOWHERE
            || self.identities.is_current(id)
            || self.frontends.is_current(id)
            || self.sources.is_current(id)
    }

    fn satisfying<'a>(
        &'a self,
        terms: &'a [TermIndex],
        names: &'a [NameIndex],
    ) -> impl Iterator<Item = IdentityIndex> + 'a {
        let of_terms = terms.iter().map(|t| &self.terms.terms[*t].identities);
        let of_names = names.iter().map(|n| &self.terms.names[*n].identities);
        of_terms.chain(of_names).flatten().copied()
    }
}

fn set_address(tables: &mut Tables, address: IpAddr, id: Option<u32>) {
    match address {
        IpAddr::V4(v4) => {
            let word = v4_word(v4);
            tables.identities_v4.assign(Address4 { word }, id);
        }
        IpAddr::V6(v6) => {
            let words = v6_words(v6);
            tables.identities_v6.assign(Address6 { words }, id);
        }
    }
}

fn set_prefix(tables: &mut Tables, prefix: IpNet, id: Option<u32>) {
    let length = u32::from(prefix.prefix_len());
    match prefix {
        IpNet::V4(v4) => {
            let word = v4_word(v4.network());
            tables.cidrs_v4.assign(Prefix4 { length, word }, id);
        }
        IpNet::V6(v6) => {
            let words = v6_words(v6.network());
            tables.cidrs_v6.assign(Prefix6 { length, words }, id);
        }
    }
}
