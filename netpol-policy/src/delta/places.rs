//! Places that carry an identity: addresses and prefixes, Services' addresses and ports.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use netpol_common::{
    identity::{ANYONE, Address4, Address6, NOWHERE, Prefix4, Prefix6},
    service::{NODE_PORT_V4, ServiceKey},
};

use crate::{
    operation::{Entry, Key},
    table::Difference,
    tables::Tables,
};

/// A key of a map whose values are identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    V4(Address4),
    V6(Address6),
    Prefix4(Prefix4),
    Prefix6(Prefix6),
    Service(ServiceKey),
}

impl Place {
    pub(super) fn entry(self, id: u32) -> Entry {
        match self {
            Self::V4(key) => Entry::IdentityV4(key, id),
            Self::V6(key) => Entry::IdentityV6(key, id),
            Self::Prefix4(key) => Entry::CidrV4(key, id),
            Self::Prefix6(key) => Entry::CidrV6(key, id),
            Self::Service(key) => Entry::Service(key, id),
        }
    }

    pub(super) fn key(self) -> Key {
        match self {
            Self::V4(key) => Key::IdentityV4(key),
            Self::V6(key) => Key::IdentityV6(key),
            Self::Prefix4(key) => Key::CidrV4(key),
            Self::Prefix6(key) => Key::CidrV6(key),
            Self::Service(key) => Key::Service(key),
        }
    }
}

/// A place whose entry changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) place: Place,
    /// What a look-up of the place finds now.
    pub(super) from: u32,
    /// What it finds in the end.
    pub(super) to: u32,
    /// The place has no entry now.
    pub(super) comes: bool,
    /// The place has no entry in the end.
    pub(super) goes: bool,
    /// Removing the entry gives the place what it has in the end, at any time.
    pub(super) goes_at_once: bool,
    /// What a look-up finds without the entry is not one identity but many.
    pub(super) blind: bool,
}

/// The places whose entries change: Services, which come before addresses in a look-up, addresses, then the longest prefixes first, so that no
/// new prefix covers one that is still to come.
pub(super) fn moves(tables: &Tables) -> Vec<Move> {
    let mut found = services(tables);
    let (before, after) = (tables.cidrs_v4.programmed(), tables.cidrs_v4.desired());
    let trie = Tries::new(before, after, |p| p.length, Cut::cut);
    let settled = tables.cidrs_v4.differences().is_empty();
    for d in tables.identities_v4.differences() {
        let prefix = Prefix4 {
            length: 32,
            word: d.key.word,
        };
        found.push(trie.move_of(&d, Place::V4(d.key), prefix, settled));
    }
    for d in longest_first(tables.cidrs_v4.differences(), |p| p.length) {
        found.push(trie.move_of(&d, Place::Prefix4(d.key), d.key, false));
    }
    let (before, after) = (tables.cidrs_v6.programmed(), tables.cidrs_v6.desired());
    let trie = Tries::new(before, after, |p| p.length, Cut::cut);
    let settled = tables.cidrs_v6.differences().is_empty();
    for d in tables.identities_v6.differences() {
        let prefix = Prefix6 {
            length: 128,
            words: d.key.words,
        };
        found.push(trie.move_of(&d, Place::V6(d.key), prefix, settled));
    }
    for d in longest_first(tables.cidrs_v6.differences(), |p| p.length) {
        found.push(trie.move_of(&d, Place::Prefix6(d.key), d.key, false));
    }
    found
}

/// The addresses and ports of Services whose entries change. Without an entry they are what their
/// address is.
fn services(tables: &Tables) -> Vec<Move> {
    let differences = tables.services.differences();
    if differences.is_empty() {
        return Vec::new();
    }
    let (before, after) = (tables.cidrs_v4.programmed(), tables.cidrs_v4.desired());
    let v4 = Tries::new(before, after, |p| p.length, Cut::cut);
    let (before, after) = (tables.cidrs_v6.programmed(), tables.cidrs_v6.desired());
    let v6 = Tries::new(before, after, |p| p.length, Cut::cut);
    let as_address = |key: &ServiceKey, now: bool| {
        if key.words[..3] == NODE_PORT_V4[..3] {
            let address = Address4 { word: key.words[3] };
            let prefix = Prefix4 {
                length: 32,
                word: address.word,
            };
            let own = if now {
                tables.identities_v4.programmed().get(&address)
            } else {
                tables.identities_v4.desired().get(&address)
            };
            own.copied().unwrap_or_else(|| v4.at(now, prefix))
        } else {
            let address = Address6 { words: key.words };
            let prefix = Prefix6 {
                length: 128,
                words: key.words,
            };
            let own = if now {
                tables.identities_v6.programmed().get(&address)
            } else {
                tables.identities_v6.desired().get(&address)
            };
            own.copied().unwrap_or_else(|| v6.at(now, prefix))
        }
    };
    let of = |d: Difference<ServiceKey, u32>| {
        let there = d.programmed.is_some() && d.desired.is_some();
        let blind = d.key.is_node_port() && !there;
        let without = |now| {
            if blind {
                NOWHERE
            } else {
                as_address(&d.key, now)
            }
        };
        Move {
            place: Place::Service(d.key),
            from: d.programmed.unwrap_or_else(|| without(true)),
            to: d.desired.unwrap_or_else(|| without(false)),
            comes: d.programmed.is_none(),
            goes: d.desired.is_none(),
            goes_at_once: d.desired.is_none() && blind,
            blind,
        }
    };
    differences.into_iter().map(of).collect()
}

fn longest_first<K: Copy, V>(
    mut differences: Vec<Difference<K, V>>,
    length: impl Fn(&K) -> u32,
) -> Vec<Difference<K, V>> {
    differences.sort_by_key(|d| std::cmp::Reverse(length(&d.key)));
    differences
}

/// A prefix cut to fewer bits.
trait Cut: Copy {
    fn cut(self, length: u32) -> Self;
}

impl Cut for Prefix4 {
    fn cut(self, length: u32) -> Self {
        let bits = u32::from_be_bytes(self.word.to_ne_bytes());
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        Self {
            length,
            word: u32::from_ne_bytes((bits & mask).to_be_bytes()),
        }
    }
}

impl Cut for Prefix6 {
    fn cut(self, length: u32) -> Self {
        let bits = u128::from_be_bytes(bytemuck::cast(self.words));
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Self {
            length,
            words: bytemuck::cast((bits & mask).to_be_bytes()),
        }
    }
}

/// The prefix map of one family, now and in the end.
struct Tries<'a, P> {
    before: &'a HashMap<P, u32>,
    after: &'a HashMap<P, u32>,
    /// Lengths in use in either, longest first.
    lengths: Vec<u32>,
    length: fn(&P) -> u32,
    cut: fn(P, u32) -> P,
}

impl<'a, P: Copy + Eq + Hash> Tries<'a, P> {
    fn new(
        before: &'a HashMap<P, u32>,
        after: &'a HashMap<P, u32>,
        length: fn(&P) -> u32,
        cut: fn(P, u32) -> P,
    ) -> Self {
        let lengths: BTreeSet<u32> = before.keys().chain(after.keys()).map(length).collect();
        Self {
            before,
            after,
            lengths: lengths.into_iter().rev().collect(),
            length,
            cut,
        }
    }

    fn look_up(&self, trie: &HashMap<P, u32>, prefix: P) -> u32 {
        let lengths = self.lengths.iter();
        lengths
            .filter(|length| **length <= (self.length)(&prefix))
            .find_map(|length| trie.get(&(self.cut)(prefix, *length)).copied())
            .unwrap_or(ANYONE)
    }

    fn at(&self, now: bool, prefix: P) -> u32 {
        self.look_up(if now { self.before } else { self.after }, prefix)
    }

    fn move_of<K>(&self, d: &Difference<K, u32>, place: Place, prefix: P, settled: bool) -> Move {
        let from = d.programmed;
        let to = d.desired;
        Move {
            place,
            from: from.unwrap_or_else(|| self.look_up(self.before, prefix)),
            to: to.unwrap_or_else(|| self.look_up(self.after, prefix)),
            comes: from.is_none(),
            goes: to.is_none(),
            goes_at_once: to.is_none() && settled,
            blind: false,
        }
    }
}
