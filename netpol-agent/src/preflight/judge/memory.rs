//! What the maps cost.

use netpol_common::{
    conntrack::{Connection, Key4, Key6},
    counter::Counter,
    endpoint::{Endpoint, Slot},
    identity::{Address4, Address6, Prefix4, Prefix6},
    maps::{self, Digest, Number},
    policy::{Grant, PolicyKey, PortKey, PortVerdict},
};

use crate::bpf::load::MapSizes;

/// `struct htab_elem` without key and value.
const HASH_ELEMENT: u64 = 48;
/// One bucket of a hash, as many as entries.
const HASH_BUCKET: u64 = 16;
/// `struct lpm_trie_node` without key and value; a prefix takes up to two.
const TRIE_NODE: u64 = 40;

/// When the kernel takes the memory of a map.
enum Cost {
    /// All of it when the map is made.
    AtOnce(u64),
    /// A part for the map, the rest as it fills.
    AsItFills { at_once: u64, full: u64 },
}

/// Bytes that the maps take when they are made, and when every one is full. What the kernel's allocator rounds up is
/// not in it.
pub(super) fn bytes(sizes: &MapSizes, cpus: u64) -> (u64, u64) {
    let mut sum = (0, 0);
    for (name, entries) in &sizes.0 {
        let (now, most) = match cost(name, u64::from(*entries), cpus) {
            Cost::AtOnce(bytes) => (bytes, bytes),
            Cost::AsItFills { at_once, full } => (at_once, full),
        };
        sum = (sum.0 + now, sum.1 + most);
    }
    sum
}

fn cost(map: &str, entries: u64, cpus: u64) -> Cost {
    match map {
        maps::ENDPOINT => hash::<u32, Slot>(entries),
        maps::ENDPOINT_ENTRIES => Cost::AtOnce(entries * size::<Endpoint>()),
        maps::IDENTITY_V4 => hash::<Address4, u32>(entries),
        maps::IDENTITY_V6 | maps::NODE => hash::<Address6, u32>(entries),
        maps::CIDR_V4 => trie::<Prefix4>(entries),
        maps::CIDR_V6 => trie::<Prefix6>(entries),
        maps::POLICY => hash::<PolicyKey, Grant>(entries),
        maps::PORTS => hash::<PortKey, PortVerdict>(entries),
        maps::CONNTRACK_V4 | maps::CONNTRACK_NEW_V4 => preallocated::<Key4, Connection>(entries),
        maps::CONNTRACK_V6 | maps::CONNTRACK_NEW_V6 => preallocated::<Key6, Connection>(entries),
        maps::COUNTERS => Cost::AtOnce(entries * size::<Counter>() * cpus),
        maps::NUMBERS => hash::<Digest, Number>(entries),
        // The event buffer's entries are bytes.
        _ => Cost::AtOnce(entries),
    }
}

fn hash<K, V>(entries: u64) -> Cost {
    let buckets = entries.next_power_of_two() * HASH_BUCKET;
    Cost::AsItFills {
        at_once: buckets,
        full: buckets + entries * element::<K, V>(),
    }
}

fn preallocated<K, V>(entries: u64) -> Cost {
    Cost::AtOnce(entries.next_power_of_two() * HASH_BUCKET + entries * element::<K, V>())
}

fn trie<K>(entries: u64) -> Cost {
    Cost::AsItFills {
        at_once: 0,
        full: 2 * entries * (TRIE_NODE + size::<K>() + size::<u32>()),
    }
}

const fn element<K, V>() -> u64 {
    HASH_ELEMENT + size::<K>().next_multiple_of(8) + size::<V>().next_multiple_of(8)
}

const fn size<T>() -> u64 {
    size_of::<T>() as u64
}
