//! The pods of the cluster that egress policies isolate, by the policies that do: what they may
//! not send to a local pod, its node refuses.
//!
//! A source's own node judges a connection to a Service before a backend is chosen. Only the
//! backend's node sees which one it became. It knows the same objects, so it comes to the same
//! verdict: a pod may not send where its own egress policies forbid it, whatever Service leads
//! there and whatever the source's node knows of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use netpol_common::{
    Direction,
    address::v6_words,
    identity::Address6,
    maps::{Digest, NumberKind},
};
use slab::Slab;

use super::{
    frontends::mapped,
    rules::{Attribution, Rules},
    sets::AppliedPolicy,
};
use crate::{cluster::Cluster, digest::digest_of, numbers::Numbers, object::Pod, table::Table};

/// Place of a group of sources in the store.
pub(crate) type SourceIndex = usize;

/// Which policies isolate, and of which family the addresses are: a block is of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    is_v4: bool,
    policies: Vec<AppliedPolicy>,
}

/// Addresses of pods whose egress the same policies isolate.
#[derive(Debug)]
pub(crate) struct Source {
    key: Key,
    members: BTreeSet<IpAddr>,
    /// What the maps know it by, while some local pod refuses it something.
    programmed: Option<Programmed>,
    /// How many local pods do.
    denied_by: usize,
}

#[derive(Clone, Copy, Debug)]
struct Programmed {
    id: u32,
    digest: Digest,
    /// The counter of what is refused.
    rule: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) sources: Slab<Source>,
    by_key: HashMap<Key, SourceIndex>,
    addresses: HashMap<IpAddr, SourceIndex>,
    by_id: HashMap<u32, SourceIndex>,
    /// Groups that came since the last commit.
    pub(crate) fresh: BTreeSet<SourceIndex>,
    idle: BTreeSet<SourceIndex>,
}

impl Source {
    /// Of IPv4 addresses, or of IPv6 ones.
    pub(crate) fn is_v4(&self) -> bool {
        self.key.is_v4
    }

    /// The policies that isolate it.
    pub(crate) fn policies(&self) -> &[AppliedPolicy] {
        &self.key.policies
    }
}

impl Sources {
    /// The pod at an address, or what isolates it, may be another now.
    pub(crate) fn place(
        &mut self,
        address: IpAddr,
        cluster: &Cluster,
        table: &mut Table<Address6, u32>,
    ) {
        let policies = match cluster.pod_at(address) {
            Some(pod) => isolating(pod, cluster),
            None => Vec::new(),
        };
        let key = Key {
            is_v4: address.is_ipv4(),
            policies,
        };
        let after = (!key.policies.is_empty()).then(|| self.acquire(key));
        let before = match after {
            Some(after) => self.addresses.insert(address, after),
            None => self.addresses.remove(&address),
        };
        if before == after {
            return;
        }
        if let Some(before) = before {
            let source = &mut self.sources[before];
            source.members.remove(&address);
            if source.members.is_empty() {
                self.idle.insert(before);
            }
        }
        let id = after.and_then(|after| {
            let source = &mut self.sources[after];
            source.members.insert(address);
            source.programmed.map(|programmed| programmed.id)
        });
        table.assign(key_of(address), id);
    }

    fn acquire(&mut self, key: Key) -> SourceIndex {
        if let Some(place) = self.by_key.get(&key) {
            return *place;
        }
        let place = self.sources.insert(Source {
            key: key.clone(),
            members: BTreeSet::new(),
            programmed: None,
            denied_by: 0,
        });
        self.by_key.insert(key, place);
        self.fresh.insert(place);
        place
    }

    /// Groups without members, if that is still so.
    pub(crate) fn take_idle(&mut self) -> Vec<SourceIndex> {
        let idle = std::mem::take(&mut self.idle).into_iter();
        let idle: Vec<_> = idle
            .filter(|place| self.sources[*place].members.is_empty())
            .collect();
        for place in &idle {
            self.fresh.remove(place);
        }
        idle
    }

    /// Forgets a group that nobody refuses anything any more.
    pub(crate) fn forget(&mut self, place: SourceIndex) {
        let source = self.sources.remove(place);
        self.by_key.remove(&source.key);
    }

    /// One more local pod refuses a group something; gives its number and the counter of that.
    pub(crate) fn deny(
        &mut self,
        place: SourceIndex,
        rules: &mut Rules,
        numbers: &mut Numbers,
        table: &mut Table<Address6, u32>,
    ) -> (u32, u32) {
        let source = &mut self.sources[place];
        source.denied_by += 1;
        if let Some(programmed) = source.programmed {
            return (programmed.id, programmed.rule);
        }
        let names = source.key.policies.iter();
        let attribution = Attribution::SourceDeny {
            policies: names.map(|applied| applied.policy.key.clone()).collect(),
        };
        let digest = digest_of(&(NumberKind::Identity as u32, "source", &source.key));
        let programmed = Programmed {
            id: numbers.acquire(NumberKind::Identity, digest),
            digest,
            rule: rules.acquire(attribution, numbers),
        };
        source.programmed = Some(programmed);
        self.by_id.insert(programmed.id, place);
        for address in &source.members {
            table.set(key_of(*address), programmed.id);
        }
        (programmed.id, programmed.rule)
    }

    /// One local pod less refuses a group something.
    pub(crate) fn undeny(
        &mut self,
        place: SourceIndex,
        rules: &mut Rules,
        numbers: &mut Numbers,
        table: &mut Table<Address6, u32>,
    ) {
        let source = &mut self.sources[place];
        source.denied_by -= 1;
        if source.denied_by > 0 {
            return;
        }
        if let Some(programmed) = source.programmed.take() {
            self.by_id.remove(&programmed.id);
            rules.release(programmed.rule, numbers);
            numbers.release(&programmed.digest);
            for address in &source.members {
                table.unset(&key_of(*address));
            }
        }
    }

    /// Whether a number belongs to a group that something is refused.
    pub(crate) fn is_current(&self, id: u32) -> bool {
        self.by_id.contains_key(&id)
    }
}

/// The policies that isolate a pod for egress, by name.
pub(crate) fn isolating(pod: &Pod, cluster: &Cluster) -> Vec<AppliedPolicy> {
    cluster
        .policies_in(&pod.key.namespace)
        .filter(|stored| stored.applied(Direction::Egress).is_some())
        .filter(|stored| stored.policy.subjects.matches(&pod.labels))
        .filter_map(|stored| stored.applied(Direction::Egress).cloned())
        .collect()
}

fn key_of(address: IpAddr) -> Address6 {
    Address6 {
        words: v6_words(mapped(address)),
    }
}

/// Entries by group.
pub(crate) type BySource<T> = BTreeMap<SourceIndex, T>;
