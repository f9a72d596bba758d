//! From policies and pods to identities, policy sets and port tables.
//!
//! ```text
//! endpoint -> set keys -> sets    sets.rs        what applies, compiled once for all that share it
//!             sets -> terms       terms.rs       which peers and port names are asked for
//!             terms -> prefixes   blocks.rs      the boundaries of the blocks among them
//!   address, prefix -> identity   identities.rs  the terms each satisfies, as a number
//!    set x identity -> grant      sets.rs        ports.rs
//!              rule -> counter    rules.rs
//! ```
//! All of it is kept and changed in place: a commit looks at what the changes touched.

pub(crate) mod blocks;
pub(crate) mod endpoints;
pub(crate) mod identities;
pub(crate) mod ports;
pub(crate) mod rules;
pub(crate) mod sets;
pub(crate) mod terms;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use netpol_common::{
    address::{v4_word, v6_words},
    identity::{Address4, Address6, Prefix4, Prefix6},
    policy::PolicyKey,
};

use crate::{cluster::Cluster, numbers::Numbers, object::ObjectKey, tables::Tables};
use endpoints::LocalEndpoint;
use identities::{Identities, IdentityIndex};
use ports::PortTables;
use rules::Rules;
pub(crate) use sets::AppliedPolicy;
use sets::{SetIndex, Sets, Shared};
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
}

/// What the changes since the last commit may have touched.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Pods that are, were or may be endpoints.
    pub(crate) pods: BTreeSet<ObjectKey>,
    /// Addresses whose pod, or whose pod's labels, ports or namespace, changed.
    pub(crate) addresses: BTreeSet<IpAddr>,
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
        }
        self.place_all(cluster, touched, tables);
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
        self.terms.settle();
    }

    /// Gives every touched address and prefix its identity.
    fn place_all(&mut self, cluster: &Cluster, touched: &mut Touched, tables: &mut Tables) {
        for peer in &self.terms.changed.peers {
            let affected = affected_addresses(peer, cluster);
            touched.addresses.extend(affected);
        }
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
        }
        for prefix in std::mem::take(&mut self.terms.blocks.dirty) {
            let is_boundary = self.terms.blocks.is_boundary(prefix);
            let signature = is_boundary.then(|| self.terms.of_prefix(prefix));
            let id =
                self.identities
                    .place_prefix(prefix, signature, &mut self.terms, &mut self.numbers);
            set_prefix(tables, prefix, id);
        }
    }

    /// Gives every pair of a set and an identity that needs one its entry, where either is new.
    fn add_entries(&mut self, tables: &mut Tables) {
        let mut pairs: BTreeSet<(SetIndex, IdentityIndex)> = BTreeSet::new();
        for set in std::mem::take(&mut self.sets.fresh) {
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
