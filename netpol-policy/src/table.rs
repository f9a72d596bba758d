//! One map: what should be in it, what is, and where the two may differ.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

#[derive(Debug)]
pub(crate) struct Table<K, V> {
    desired: HashMap<K, V>,
    programmed: HashMap<K, V>,
    dirty: HashSet<K>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            desired: HashMap::new(),
            programmed: HashMap::new(),
            dirty: HashSet::new(),
        }
    }
}

/// A key whose programmed value is not the desired one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference<K, V> {
    pub(crate) key: K,
    pub(crate) programmed: Option<V>,
    pub(crate) desired: Option<V>,
}

impl<K: Copy + Eq + Hash + Ord, V: Copy + PartialEq> Table<K, V> {
    pub(crate) fn desired(&self) -> &HashMap<K, V> {
        &self.desired
    }

    pub(crate) fn programmed(&self) -> &HashMap<K, V> {
        &self.programmed
    }

    /// The entry should be there.
    pub(crate) fn set(&mut self, key: K, value: V) {
        if self.desired.insert(key, value) != Some(value) {
            self.dirty.insert(key);
        }
    }

    /// The entry should not be there; gives what should have been.
    pub(crate) fn unset(&mut self, key: &K) -> Option<V> {
        let was = self.desired.remove(key);
        if was.is_some() {
            self.dirty.insert(*key);
        }
        was
    }

    /// The entry should have this value, or not be there.
    pub(crate) fn assign(&mut self, key: K, value: Option<V>) {
        match value {
            Some(value) => self.set(key, value),
            None => {
                self.unset(&key);
            }
        }
    }

    /// This is what is there.
    pub(crate) fn resync(&mut self, programmed: HashMap<K, V>) {
        self.programmed = programmed;
        self.dirty = self.programmed.keys().copied().collect();
        self.dirty.extend(self.desired.keys());
    }

    /// Where the two differ, sorted by key.
    pub(crate) fn differences(&self) -> Vec<Difference<K, V>> {
        let mut found: Vec<_> = self
            .dirty
            .iter()
            .map(|key| Difference {
                key: *key,
                programmed: self.programmed.get(key).copied(),
                desired: self.desired.get(key).copied(),
            })
            .filter(|d| d.programmed != d.desired)
            .collect();
        found.sort_unstable_by_key(|d| d.key);
        found
    }

    /// An operation writes the entry.
    pub(crate) fn programme(&mut self, key: K, value: V) {
        self.programmed.insert(key, value);
    }

    /// An operation removes the entry.
    pub(crate) fn unprogramme(&mut self, key: &K) {
        self.programmed.remove(key);
    }

    /// A delta has been planned to its end.
    pub(crate) fn settle(&mut self) {
        self.dirty.clear();
    }
}
