//! What is in the maps, as keys and values of bytes.

use bytemuck::{Pod, bytes_of};
use netpol_common::conntrack::Connection;

/// An entry of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The map.
    pub map: &'static str,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// What is in the maps.
#[derive(Clone, Debug, Default)]
pub struct State {
    entries: Vec<Entry>,
    connections: Vec<(&'static str, Vec<u8>, Connection)>,
}

impl State {
    /// Adds an entry.
    pub fn put<K: Pod, V: Pod>(&mut self, map: &'static str, key: &K, value: &V) {
        self.entries.push(Entry {
            map,
            key: bytes_of(key).to_vec(),
            value: bytes_of(value).to_vec(),
        });
    }

    /// Adds a connection.
    pub fn connect<K: Pod>(&mut self, map: &'static str, key: &K, connection: Connection) {
        let key = bytes_of(key).to_vec();
        self.connections.push((map, key, connection));
    }

    /// Every entry, each connection seen at that tick of the clock.
    pub fn entries(&self, ticks: u32) -> impl Iterator<Item = Entry> + '_ {
        let connections = self.connections.iter().map(move |(map, key, connection)| {
            let connection = Connection {
                last_seen: ticks,
                ..*connection
            };
            Entry {
                map,
                key: key.clone(),
                value: bytes_of(&connection).to_vec(),
            }
        });
        self.entries.iter().cloned().chain(connections)
    }
}
