//! Longest prefix match, by asking each prefix length in use.

use core::hash::Hash;
use std::vec::Vec;

use netpol_common::identity::{Prefix4, Prefix6};

use super::hash::{Full, HashTable};

/// A prefix as a map key.
pub trait Prefix: Copy + Eq + Hash {
    /// Its length in bits.
    fn length(&self) -> u32;

    /// The prefix of `length` bits of the same address.
    #[must_use]
    fn shortened(&self, length: u32) -> Self;
}

/// Prefixes, and the identity of each.
#[derive(Clone, Debug)]
pub struct PrefixTable<K> {
    entries: HashTable<K, u32>,
    /// Entries by prefix length.
    lengths: Vec<usize>,
}

impl<K: Prefix> PrefixTable<K> {
    /// An empty table for `capacity` prefixes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: HashTable::new(capacity),
            lengths: Vec::new(),
        }
    }

    /// Inserts a prefix or replaces its identity. Host bits are ignored.
    ///
    /// # Errors
    ///
    /// The prefix is new and the table is full.
    pub fn insert(&mut self, prefix: K, identity: u32) -> Result<(), Full> {
        let length = prefix.length() as usize;
        let before = self.entries.len();
        self.entries
            .insert(prefix.shortened(prefix.length()), identity)?;
        if self.lengths.len() <= length {
            self.lengths.resize(length + 1, 0);
        }
        self.lengths[length] += self.entries.len() - before;
        Ok(())
    }

    /// Removes a prefix, and gives its identity.
    pub fn remove(&mut self, prefix: &K) -> Option<u32> {
        let removed = self.entries.remove(&prefix.shortened(prefix.length()))?;
        self.lengths[prefix.length() as usize] -= 1;
        Some(removed)
    }

    /// Removes every prefix.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.lengths.clear();
    }

    /// The identity of exactly this prefix.
    #[must_use]
    pub fn get(&self, prefix: &K) -> Option<u32> {
        self.entries
            .get(&prefix.shortened(prefix.length()))
            .copied()
    }

    /// The identity of the longest prefix that contains an address.
    #[must_use]
    pub fn longest_match(&self, address: &K) -> Option<u32> {
        (0..=address.length())
            .rev()
            .filter(|length| self.lengths.get(*length as usize).is_some_and(|n| *n > 0))
            .find_map(|length| self.entries.get(&address.shortened(length)).copied())
    }

    /// How many prefixes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every prefix, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &u32)> {
        self.entries.iter()
    }
}

impl Prefix for Prefix4 {
    fn length(&self) -> u32 {
        self.length
    }

    fn shortened(&self, length: u32) -> Self {
        Self {
            length,
            word: self.word & mask(length),
        }
    }
}

impl Prefix for Prefix6 {
    fn length(&self) -> u32 {
        self.length
    }

    fn shortened(&self, length: u32) -> Self {
        let mut words = self.words;
        for (from, word) in (0..).step_by(32).zip(&mut words) {
            *word &= mask(length.saturating_sub(from).min(32));
        }
        Self { length, words }
    }
}

/// The mask of a word of an address in network byte order.
fn mask(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0).to_be()
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use netpol_common::address::{v4_word, v6_words};
    use netpol_common::identity::{Prefix4, Prefix6};

    use super::PrefixTable;

    fn v4(address: [u8; 4], length: u32) -> Prefix4 {
        Prefix4 {
            length,
            word: v4_word(Ipv4Addr::from(address)),
        }
    }

    fn v6(address: &str, length: u32) -> Prefix6 {
        Prefix6 {
            length,
            words: v6_words(address.parse::<Ipv6Addr>().expect("an address")),
        }
    }

    #[test]
    fn the_longest_prefix_matches() {
        let mut table = PrefixTable::new(10);
        for (prefix, identity) in [
            (v4([0, 0, 0, 0], 0), 1),
            (v4([10, 0, 0, 0], 8), 2),
            (v4([10, 1, 0, 0], 16), 3),
            (v4([10, 1, 2, 3], 32), 4),
        ] {
            table.insert(prefix, identity).expect("room");
        }
        let find = |address| table.longest_match(&v4(address, 32));
        assert_eq!(find([192, 0, 2, 1]), Some(1));
        assert_eq!(find([10, 2, 0, 1]), Some(2));
        assert_eq!(find([10, 1, 9, 9]), Some(3));
        assert_eq!(find([10, 1, 2, 3]), Some(4));
        assert_eq!(find([10, 1, 2, 2]), Some(3));
    }

    #[test]
    fn host_bits_are_ignored_and_a_removed_prefix_matches_no_more() {
        let mut table = PrefixTable::new(10);
        table.insert(v6("2001:db8:1::77", 48), 1).expect("room");
        table.insert(v6("2001:db8::", 33), 2).expect("room");
        let find = |table: &PrefixTable<Prefix6>, address| table.longest_match(&v6(address, 128));
        assert_eq!(find(&table, "2001:db8:1:2::3"), Some(1));
        assert_eq!(find(&table, "2001:db8:7fff::"), Some(2));
        assert_eq!(find(&table, "2001:db8:8000::"), None);
        assert_eq!(table.get(&v6("2001:db8:1::", 48)), Some(1));
        assert_eq!(table.remove(&v6("2001:db8:1::", 48)), Some(1));
        assert_eq!(find(&table, "2001:db8:1:2::3"), Some(2));
        assert_eq!(table.remove(&v6("2001:db8:1::", 48)), None);
        assert_eq!(table.len(), 1);
    }
}
