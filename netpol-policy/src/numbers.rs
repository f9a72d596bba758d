//! Numbers for content: identities, policy sets, port tables, rules.
//!
//! A number belongs to the digest of its content. The pairs are kept in a map of their own, so
//! that an agent that starts anew gives the same content the same number and changes only what
//! differs. A number that is given back is not given out again before the delta that removes its
//! last use has been applied.

use std::collections::{BTreeSet, HashMap};

use netpol_common::{
    counter, identity,
    maps::{Digest, Number, NumberKind},
};

use crate::{operation::Programmed, table::Table};

#[derive(Debug, Default)]
pub(crate) struct Numbers {
    spaces: HashMap<NumberKind, Space>,
    /// What the maps held at the last resync and nobody has asked for yet.
    known: HashMap<Digest, Number>,
    /// Numbers given out since the last [`Numbers::settle`] that stood for nothing before.
    fresh: BTreeSet<(NumberKind, u32)>,
    /// The map that remembers the numbers.
    pub(crate) table: Table<Digest, Number>,
}

#[derive(Debug)]
struct Space {
    free: BTreeSet<u32>,
    next: u32,
    retired: Vec<u32>,
}

impl Space {
    fn new(kind: NumberKind) -> Self {
        Self {
            free: BTreeSet::new(),
            next: first(kind),
            retired: Vec::new(),
        }
    }

    fn take(&mut self) -> u32 {
        self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

/// The key of the generation in the `NUMBERS` map.
const GENERATION: Digest = Digest { words: [0; 4] };

/// The highest generation that the maps know of.
pub(crate) fn highest_generation(programmed: &Programmed) -> u32 {
    let remembered = programmed.numbers.get(&GENERATION).map(|n| n.number);
    let endpoints = programmed.endpoints.values().map(|e| e.generation);
    remembered.into_iter().chain(endpoints).max().unwrap_or(0)
}

const KINDS: [NumberKind; 4] = [
    NumberKind::Identity,
    NumberKind::PolicySet,
    NumberKind::PortTable,
    NumberKind::Rule,
];

/// Zero stands for "none" in every space, and low counters are fixed.
const fn first(kind: NumberKind) -> u32 {
    match kind {
        NumberKind::Rule => counter::FIRST_RULE,
        _ => 1,
    }
}

impl Numbers {
    /// Takes over what the maps hold: no number in use there is given to something else.
    pub(crate) fn adopt(&mut self, programmed: &Programmed) {
        let mut used: HashMap<NumberKind, BTreeSet<u32>> = numbers_in_use(programmed);
        for (digest, number) in &programmed.numbers {
            if let Some(kind) = NumberKind::from_word(number.kind) {
                if kind == NumberKind::Generation {
                    continue;
                }
                used.entry(kind).or_default().insert(number.number);
                if !self.table.desired().contains_key(digest) {
                    self.known.insert(*digest, *number);
                }
            }
        }
        for number in self.table.desired().values() {
            if let Some(kind) = NumberKind::from_word(number.kind) {
                used.entry(kind).or_default().insert(number.number);
            }
        }
        for kind in KINDS {
            let used = used.remove(&kind).unwrap_or_default();
            let next = used.last().map_or(first(kind), |last| last + 1);
            let free = (first(kind)..next).filter(|n| !used.contains(n)).collect();
            let space = Space {
                free,
                next: next.max(first(kind)),
                retired: Vec::new(),
            };
            self.spaces.insert(kind, space);
        }
        self.table.resync(programmed.numbers.clone());
    }

    /// The number of some content that is now in use.
    pub(crate) fn acquire(&mut self, kind: NumberKind, digest: Digest) -> u32 {
        if let Some(number) = self.known.remove(&digest).filter(|n| n.kind == kind as u32) {
            self.table.set(digest, number);
            return number.number;
        }
        let number = self.temporary(kind);
        self.fresh.insert((kind, number));
        let entry = Number {
            kind: kind as u32,
            number,
        };
        self.table.set(digest, entry);
        number
    }

    /// The content is no longer in use.
    pub(crate) fn release(&mut self, digest: &Digest) {
        if let Some(number) = self.table.unset(digest)
            && let Some(kind) = NumberKind::from_word(number.kind)
        {
            self.retire(kind, number.number);
        }
    }

    /// A number for the time of one delta; [`Numbers::retire`] it in the same.
    pub(crate) fn temporary(&mut self, kind: NumberKind) -> u32 {
        let space = self.spaces.entry(kind).or_insert_with(|| Space::new(kind));
        space.take()
    }

    pub(crate) fn retire(&mut self, kind: NumberKind, number: u32) {
        let space = self.spaces.entry(kind).or_insert_with(|| Space::new(kind));
        space.retired.push(number);
    }

    /// Whether a number stood for nothing before this delta.
    pub(crate) fn is_fresh(&self, kind: NumberKind, number: u32) -> bool {
        self.fresh.contains(&(kind, number))
    }

    /// The numbers of a kind that stood for nothing before this delta.
    pub(crate) fn fresh(&self, kind: NumberKind) -> impl Iterator<Item = u32> {
        let range = (kind, 0)..=(kind, u32::MAX);
        self.fresh.range(range).map(|(_, number)| *number)
    }

    /// Remembers the highest generation given to an endpoint.
    pub(crate) fn remember_generation(&mut self, generation: u32) {
        let number = Number {
            kind: NumberKind::Generation as u32,
            number: generation,
        };
        self.table.set(GENERATION, number);
    }

    /// The delta is on its way: what was retired may be given out by the next one.
    pub(crate) fn settle(&mut self) {
        self.fresh.clear();
        for (_, number) in std::mem::take(&mut self.known) {
            if let Some(kind) = NumberKind::from_word(number.kind) {
                self.retire(kind, number.number);
            }
        }
        for space in self.spaces.values_mut() {
            space.free.extend(space.retired.drain(..));
        }
    }
}

/// Every number that an entry of the maps refers to.
fn numbers_in_use(programmed: &Programmed) -> HashMap<NumberKind, BTreeSet<u32>> {
    let mut used: HashMap<NumberKind, BTreeSet<u32>> = HashMap::new();
    let mut mark = |kind, number: u32| {
        if number >= first(kind) {
            used.entry(kind).or_default().insert(number);
        }
    };
    let identities = programmed.identities_v4.values();
    let identities = identities.chain(programmed.identities_v6.values());
    let identities = identities.chain(programmed.cidrs_v4.values());
    let identities = identities.chain(programmed.cidrs_v6.values());
    let identities = identities.chain(programmed.services.values());
    for identity in identities.chain(programmed.sources.values()) {
        mark(NumberKind::Identity, identity::number(*identity));
    }
    for (key, grant) in &programmed.policy {
        mark(NumberKind::Identity, identity::number(key.identity));
        mark(NumberKind::PolicySet, key.set);
        mark(NumberKind::PortTable, grant.table);
        mark(NumberKind::Rule, grant.rule);
    }
    for (key, verdict) in &programmed.ports {
        mark(NumberKind::PortTable, key.table);
        mark(NumberKind::Rule, verdict.rule);
    }
    for endpoint in programmed.endpoints.values() {
        for direction in [endpoint.ingress, endpoint.egress] {
            mark(NumberKind::PolicySet, direction.set);
            mark(NumberKind::PolicySet, direction.second_set);
            mark(NumberKind::Rule, direction.deny_rule);
        }
    }
    used
}
