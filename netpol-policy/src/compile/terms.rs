//! Terms in use: the canonical peers of the rules that apply to endpoints, and the named ports
//! that egress rules ask for.
//!
//! An address's signature, the set of terms it satisfies, is found by asking only the terms that
//! can apply: those of its pod's namespace, by a label they require, and the blocks around it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use ipnet::IpNet;
use netpol_common::maps::Digest;
use slab::Slab;

use super::{blocks::Blocks, identities::IdentityIndex, sets::SetIndex};
use crate::{
    cluster::Cluster,
    digest::digest_of,
    labels::Labels,
    object::Pod,
    policy::{Block, Namespaces, Peer, Protocol},
    selector::{Operator, Selector},
};

/// Place of a term in the store.
pub(crate) type TermIndex = usize;

/// Place of a named port in the store.
pub(crate) type NameIndex = usize;

/// What a term or a named port is used by.
#[derive(Debug)]
pub(crate) struct Used<T> {
    pub(crate) what: T,
    pub(crate) digest: Digest,
    /// The policy sets that ask for it.
    pub(crate) sets: HashSet<SetIndex>,
    /// The identities that satisfy it.
    pub(crate) identities: HashSet<IdentityIndex>,
}

/// A port name and its protocol.
pub(crate) type PortName = (String, Protocol);

/// The classes of an address: what it satisfies, of all that is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Signature {
    /// Terms, sorted.
    pub(crate) terms: Vec<TermIndex>,
    /// Named ports the address resolves, sorted, with their sorted numbers.
    pub(crate) names: Vec<(NameIndex, Vec<u16>)>,
}

#[derive(Debug, Default)]
pub(crate) struct Terms {
    pub(crate) terms: Slab<Used<Peer>>,
    by_peer: HashMap<Peer, TermIndex>,
    pub(crate) names: Slab<Used<PortName>>,
    by_name: HashMap<PortName, NameIndex>,
    /// The pod terms that can apply in a namespace; filled when first asked for.
    by_namespace: HashMap<String, TermsOfNamespace>,
    pub(crate) blocks: Blocks,
    any_pod: Option<TermIndex>,
    /// What changed since the last commit.
    pub(crate) changed: Changed,
}

/// Terms and names that came or went since the last commit. Their places are given up only at
/// the commit's end, so that no signature confuses an old term with a new one.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) peers: Vec<Peer>,
    pub(crate) names: Vec<String>,
    gone_terms: Vec<TermIndex>,
    gone_names: Vec<NameIndex>,
}

#[derive(Debug, Default)]
struct TermsOfNamespace {
    by_label: HashMap<(String, String), Vec<TermIndex>>,
    others: Vec<TermIndex>,
}

impl Terms {
    /// A policy set asks for a peer.
    pub(crate) fn acquire(&mut self, peer: &Peer, set: SetIndex) -> TermIndex {
        if let Some(place) = self.by_peer.get(peer) {
            self.terms[*place].sets.insert(set);
            return *place;
        }
        let place = self.terms.insert(Used {
            what: peer.clone(),
            digest: digest_of(peer),
            sets: HashSet::from([set]),
            identities: HashSet::new(),
        });
        self.by_peer.insert(peer.clone(), place);
        if peer.is_any_pod() {
            self.any_pod = Some(place);
        }
        match peer {
            Peer::Block(block) => self.blocks.add(block, place),
            Peer::Pods { .. } => self.by_namespace.clear(),
        }
        self.changed.peers.push(peer.clone());
        place
    }

    /// A policy set no longer asks for a term.
    pub(crate) fn release(&mut self, place: TermIndex, set: SetIndex) {
        let term = &mut self.terms[place];
        term.sets.remove(&set);
        if !term.sets.is_empty() || self.by_peer.remove(&term.what).is_none() {
            return;
        }
        if term.what.is_any_pod() {
            self.any_pod = None;
        }
        match &term.what {
            Peer::Block(block) => self.blocks.remove(block, place),
            Peer::Pods { .. } => self.by_namespace.clear(),
        }
        self.changed.peers.push(term.what.clone());
        self.changed.gone_terms.push(place);
    }

    /// An egress set asks for a named port.
    pub(crate) fn acquire_name(&mut self, name: &PortName, set: SetIndex) -> NameIndex {
        if let Some(place) = self.by_name.get(name) {
            self.names[*place].sets.insert(set);
            return *place;
        }
        let place = self.names.insert(Used {
            what: name.clone(),
            digest: digest_of(name),
            sets: HashSet::from([set]),
            identities: HashSet::new(),
        });
        self.by_name.insert(name.clone(), place);
        self.changed.names.push(name.0.clone());
        place
    }

    /// An egress set no longer asks for a named port.
    pub(crate) fn release_name(&mut self, place: NameIndex, set: SetIndex) {
        let name = &mut self.names[place];
        name.sets.remove(&set);
        if name.sets.is_empty() && self.by_name.remove(&name.what).is_some() {
            self.changed.names.push(name.what.0.clone());
            self.changed.gone_names.push(place);
        }
    }

    /// The labels of a namespace changed.
    pub(crate) fn namespace_changed(&mut self, namespace: &str) {
        self.by_namespace.remove(namespace);
    }

    /// Gives up the places of what went. Nothing may refer to them any more.
    pub(crate) fn settle(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        for place in changed.gone_terms {
            self.terms.remove(place);
        }
        for place in changed.gone_names {
            self.names.remove(place);
        }
    }

    pub(crate) fn is_any_pod(&self, term: TermIndex) -> bool {
        self.any_pod == Some(term)
    }

    /// The signature of a pod's address; `None` when nothing asks for the pod itself, so that
    /// the blocks around the address say all there is to say.
    pub(crate) fn of_pod(
        &mut self,
        pod: &Pod,
        address: IpAddr,
        cluster: &Cluster,
    ) -> Option<Signature> {
        let mut terms = self.pod_terms(&pod.key.namespace, &pod.labels, cluster);
        let names = self.resolved_names(pod);
        if terms.is_empty() && names.is_empty() {
            return None;
        }
        self.blocks.around(IpNet::from(address), &mut terms);
        terms.sort_unstable();
        terms.dedup();
        Some(Signature { terms, names })
    }

    /// The signature of a prefix, outside of the longer prefixes in use.
    pub(crate) fn of_prefix(&self, prefix: IpNet) -> Signature {
        let mut terms = Vec::new();
        self.blocks.around(prefix, &mut terms);
        terms.sort_unstable();
        Signature {
            terms,
            names: Vec::new(),
        }
    }

    fn resolved_names(&self, pod: &Pod) -> Vec<(NameIndex, Vec<u16>)> {
        let mut found: HashMap<NameIndex, BTreeSet<u16>> = HashMap::new();
        for port in &pod.named_ports {
            // Without this clone the map would need a borrowed pair as its key.
            if let Some(place) = self.by_name.get(&(port.name.clone(), port.protocol)) {
                found.entry(*place).or_default().insert(port.number);
            }
        }
        let mut names: Vec<_> = found
            .into_iter()
            .map(|(place, numbers)| (place, numbers.into_iter().collect()))
            .collect();
        names.sort_unstable();
        names
    }

    fn pod_terms(&mut self, namespace: &str, labels: &Labels, cluster: &Cluster) -> Vec<TermIndex> {
        if !self.by_namespace.contains_key(namespace) {
            let index = self.terms_of_namespace(namespace, cluster);
            self.by_namespace.insert(namespace.to_owned(), index);
        }
        let index = &self.by_namespace[namespace];
        let mut candidates = index.others.clone();
        for (key, value) in labels {
            if let Some(terms) = index.by_label.get(&(key.to_owned(), value.to_owned())) {
                candidates.extend(terms);
            }
        }
        let matches = |place: &TermIndex| match &self.terms[*place].what {
            Peer::Pods { pods, .. } => pods.matches(labels),
            Peer::Block(_) => false,
        };
        candidates.retain(matches);
        candidates
    }

    /// Files the terms that can apply in a namespace under a label their pods must have.
    fn terms_of_namespace(&self, namespace: &str, cluster: &Cluster) -> TermsOfNamespace {
        let labels = cluster.namespace_labels(namespace);
        let mut index = TermsOfNamespace::default();
        for (peer, place) in &self.by_peer {
            let Peer::Pods { namespaces, pods } = peer else {
                continue;
            };
            let applies = match namespaces {
                Namespaces::Named(name) => name == namespace,
                Namespaces::Selected(selector) => selector.matches(&labels),
            };
            if !applies {
                continue;
            }
            match required_label(pods) {
                None => index.others.push(*place),
                Some((key, values)) => {
                    for value in values {
                        let label = (key.to_owned(), value.clone());
                        index.by_label.entry(label).or_default().push(*place);
                    }
                }
            }
        }
        index
    }
}

/// A label that every pod of a selector has, with the fewest possible values.
fn required_label(selector: &Selector) -> Option<(&str, &BTreeSet<String>)> {
    selector
        .requirements()
        .filter_map(|r| match &r.operator {
            Operator::In(values) => Some((r.key.as_str(), values)),
            _ => None,
        })
        .min_by_key(|(_, values)| values.len())
}

/// The addresses of pods whose signature a peer that came or went may change.
pub(crate) fn affected_addresses(peer: &Peer, cluster: &Cluster) -> Vec<IpAddr> {
    match peer {
        Peer::Pods { namespaces, pods } => cluster.addresses_of_peer(namespaces, pods),
        Peer::Block(Block { net, .. }) => cluster.addresses_in(*net).collect(),
    }
}
