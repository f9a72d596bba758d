//! A hash map with a limit, and a hash for keys of a few words.

use core::fmt;
use core::hash::{BuildHasherDefault, Hash, Hasher};
use std::collections::HashMap;
use std::vec::Vec;

/// A hash map that holds so many entries and no more, as the kernel's do.
#[derive(Clone, Debug)]
pub struct HashTable<K, V> {
    entries: HashMap<K, V, BuildHasherDefault<WordHasher>>,
    capacity: usize,
}

/// The table has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// How many entries it holds.
    pub capacity: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the table is full with {} entries", self.capacity)
    }
}

impl core::error::Error for Full {}

impl<K: Copy + Eq + Hash, V> HashTable<K, V> {
    /// An empty table for `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::default(),
            capacity,
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// Inserts an entry or replaces its value.
    ///
    /// # Errors
    ///
    /// The key is new and the table is full.
    pub fn insert(&mut self, key: K, value: V) -> Result<(), Full> {
        if let Some(place) = self.entries.get_mut(&key) {
            *place = value;
            return Ok(());
        }
        if self.entries.len() >= self.capacity {
            return Err(Full {
                capacity: self.capacity,
            });
        }
        self.entries.insert(key, value);
        Ok(())
    }

    /// Removes an entry, and gives its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    /// Removes every entry.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    /// Copies of every entry, in the order of the keys.
    #[must_use]
    pub fn sorted(&self) -> Vec<(K, V)>
    where
        K: Ord,
        V: Copy,
    {
        let mut entries: Vec<_> = self.entries.iter().map(|(k, v)| (*k, *v)).collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
    }
}

/// Multiply and rotate, word by word. Fast, and good enough for keys that nobody chooses to
/// collide: offline evaluation reads what its user gave it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WordHasher(u64);

impl WordHasher {
    fn add(&mut self, word: u64) {
        // An odd constant with its bits well mixed (2^64 / the golden ratio).
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for WordHasher {
    fn finish(&self) -> u64 {
        // The map takes its bucket from the low bits, which a multiplication mixes least.
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_ne_bytes(word));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.add(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.add(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::{Full, HashTable};

    #[test]
    fn a_full_table_takes_no_new_key_but_new_values() {
        let mut table = HashTable::new(2);
        assert_eq!(table.insert(1_u32, 'a'), Ok(()));
        assert_eq!(table.insert(2, 'b'), Ok(()));
        assert_eq!(table.insert(3, 'c'), Err(Full { capacity: 2 }));
        assert_eq!(table.insert(1, 'd'), Ok(()));
        assert_eq!(table.remove(&2), Some('b'));
        assert_eq!(table.insert(3, 'c'), Ok(()));
        assert_eq!(table.sorted(), [(1, 'd'), (3, 'c')]);
    }
}
