//! Places that carry an identity: addresses and prefixes.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use netpol_common::identity::{ANYONE, Address4, Address6, Prefix4, Prefix6};

use crate::{
    operation::{Entry, Key},
    table::Difference,
    tables::Tables,
};

/// An address or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    V4(Address4),
    V6(Address6),
    Prefix4(Prefix4),
    Prefix6(Prefix6),
}

impl Place {
    pub(super) fn entry(self, id: u32) -> Entry {
        match self {
            Self::V4(key) => Entry::IdentityV4(key, id),
            Self::V6(key) => Entry::IdentityV6(key, id),
            Self::Prefix4(key) => Entry::CidrV4(key, id),
            Self::Prefix6(key) => Entry::CidrV6(key, id),
        }
    }

    pub(super) fn key(self) -> Key {
        match self {
            Self::V4(key) => Key::IdentityV4(key),
            Self::V6(key) => Key::IdentityV6(key),
            Self::Prefix4(key) => Key::CidrV4(key),
            Self::Prefix6(key) => Key::CidrV6(key),
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
}

/// The places whose entries change, addresses first, then the longest prefixes first, so that no
/// new prefix covers one that is still to come.
pub(super) fn moves(tables: &Tables) -> Vec<Move> {
    let mut found = Vec::new();
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
        }
    }
}
