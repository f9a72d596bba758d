//! The conntrack tables in memory, with the counts of what each endpoint holds.

use core::cell::RefCell;
use core::hash::Hash;
use std::collections::BTreeMap;
use std::vec::Vec;

use netpol_common::conntrack::{Connection, Key4, Key6};
use netpol_common::held::Usage;

use super::{Capacities, HashTable, Memory};
use crate::{Connections, Inserted, Table};

/// The two conntrack tables of a family.
pub(super) struct Conntrack<K> {
    replied: Held<K>,
    new: Held<K>,
}

/// A table, and how much of it each endpoint holds.
struct Held<K> {
    entries: HashTable<K, Connection>,
    by_endpoint: BTreeMap<u32, u64>,
    capacity: usize,
    /// How much one endpoint may hold, however much is free.
    most: usize,
}

impl<K: FamilyKey> Conntrack<K> {
    pub(super) fn new(capacities: &Capacities) -> Self {
        Self {
            replied: Held::new(capacities.replied, usize::MAX),
            new: Held::new(capacities.new, capacities.new_per_endpoint),
        }
    }

    pub(super) fn sorted(&self, table: Table) -> Vec<(K, Connection)> {
        self.table(table).entries.sorted()
    }

    pub(super) fn held(&self, table: Table, endpoint: u32) -> u64 {
        self.table(table).of(endpoint)
    }

    pub(super) fn clear(&mut self) {
        for table in [&mut self.replied, &mut self.new] {
            table.entries.clear();
            table.by_endpoint.clear();
        }
    }

    fn table(&self, table: Table) -> &Held<K> {
        match table {
            Table::Replied => &self.replied,
            Table::New => &self.new,
        }
    }

    fn table_mut(&mut self, table: Table) -> &mut Held<K> {
        match table {
            Table::Replied => &mut self.replied,
            Table::New => &mut self.new,
        }
    }
}

impl<K: FamilyKey> Held<K> {
    fn new(capacity: usize, most: usize) -> Self {
        Self {
            entries: HashTable::new(capacity),
            by_endpoint: BTreeMap::new(),
            capacity,
            most,
        }
    }

    fn of(&self, endpoint: u32) -> u64 {
        self.by_endpoint.get(&endpoint).copied().unwrap_or_default()
    }

    fn insert(&mut self, key: &K, connection: &Connection) -> Inserted {
        if self.entries.get(key).is_some() {
            return Inserted::There;
        }
        if self.entries.insert(*key, *connection).is_err() {
            return Inserted::Full;
        }
        *self.by_endpoint.entry(key.endpoint()).or_default() += 1;
        Inserted::Created
    }

    fn remove(&mut self, key: &K) {
        if self.entries.remove(key).is_some()
            && let Some(held) = self.by_endpoint.get_mut(&key.endpoint())
        {
            *held -= 1;
        }
    }
}

/// Which of the two families' tables a key belongs to.
pub(super) trait FamilyKey: Copy + Eq + Ord + Hash {
    fn conntrack(memory: &Memory) -> &RefCell<Conntrack<Self>>;
    fn endpoint(&self) -> u32;
}

impl FamilyKey for Key4 {
    fn conntrack(memory: &Memory) -> &RefCell<Conntrack<Self>> {
        &memory.conntrack_v4
    }
    fn endpoint(&self) -> u32 {
        self.endpoint
    }
}

impl FamilyKey for Key6 {
    fn conntrack(memory: &Memory) -> &RefCell<Conntrack<Self>> {
        &memory.conntrack_v6
    }
    fn endpoint(&self) -> u32 {
        self.endpoint
    }
}

impl<K: FamilyKey> Connections<K> for Memory {
    type Place = (Table, K);

    fn find(&self, table: Table, key: &K) -> Option<(Connection, Self::Place)> {
        let conntrack = K::conntrack(self).borrow();
        let connection = conntrack.table(table).entries.get(key)?;
        Some((*connection, (table, *key)))
    }

    fn touch(&self, (table, key): Self::Place, ticks: u32) {
        let mut conntrack = K::conntrack(self).borrow_mut();
        if let Some(connection) = conntrack.table_mut(table).entries.get_mut(&key) {
            connection.last_seen = ticks;
        }
    }

    fn insert(&self, table: Table, key: &K, connection: &Connection) -> Inserted {
        let mut conntrack = K::conntrack(self).borrow_mut();
        conntrack.table_mut(table).insert(key, connection)
    }

    fn replace(&self, table: Table, key: &K, connection: &Connection) -> bool {
        let mut conntrack = K::conntrack(self).borrow_mut();
        let place = conntrack.table_mut(table).entries.get_mut(key);
        place.map(|place| *place = *connection).is_some()
    }

    fn remove(&self, table: Table, key: &K) {
        let mut conntrack = K::conntrack(self).borrow_mut();
        conntrack.table_mut(table).remove(key);
    }

    fn usage(&self, table: Table, key: &K) -> Option<Usage> {
        let conntrack = K::conntrack(self).borrow();
        let table = conntrack.table(table);
        Some(Usage {
            own: table.of(key.endpoint()),
            all: table.entries.len() as u64,
            capacity: table.capacity as u64,
            most: table.most as u64,
        })
    }

    fn refuse(&self, key: &K) {
        let mut refused = self.refused.borrow_mut();
        *refused.entry(key.endpoint()).or_default() += 1;
    }
}
