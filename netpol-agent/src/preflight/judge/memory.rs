//! What the maps cost: the kernel's layout of their elements.
//!
//! `kernel/bpf/hashtab.c`, `lpm_trie.c` and `arraymap.c`: an element of a hash has 48 bytes before
//! its key, a bucket 16; of an array all elements are there at once. What the allocator rounds up,
//! and a few elements a CPU of those made in advance, are not in it.

use std::fmt::Write as _;

use netpol_common::{
    conntrack::{Connection, Key4, Key6},
    counter::Counter,
    endpoint::{CACHE_PLACES, Endpoint, Slot},
    fragment::Fragment,
    held::{Held, Swept},
    identity::{Address4, Address6, Prefix4, Prefix6},
    limit::Bucket,
    maps::{self, Digest, Number},
    note::{Note, PLACES},
    policy::{Grant, PolicyKey, PortKey, PortVerdict},
    service::ServiceKey,
};
use serde::Serialize;

use crate::bpf::load::MapSizes;

/// `struct htab_elem` without key and value.
const HASH_ELEMENT: u64 = 48;
/// `struct bucket`, as many as entries, rounded up to a power of two.
const HASH_BUCKET: u64 = 16;
/// `struct lpm_trie_node` without key and value; a prefix takes up to two.
const TRIE_NODE: u64 = 40;

/// What one map takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in crate::preflight) struct MapCost {
    pub(in crate::preflight) map: &'static str,
    /// The flag that sizes it, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::preflight) flag: Option<&'static str>,
    pub(in crate::preflight) entries: u64,
    /// Bytes of one more entry.
    pub(in crate::preflight) bytes_each: u64,
    /// Bytes from the start.
    pub(in crate::preflight) at_once: u64,
    /// Bytes when it is full.
    pub(in crate::preflight) full: u64,
}

/// What every map takes, by name.
pub(super) fn costs(sizes: &MapSizes, cpus: u64) -> Vec<MapCost> {
    let names = maps::PROGRAM_MAPS.into_iter().chain([maps::NUMBERS]);
    let mut costs: Vec<MapCost> = names
        .filter_map(|map| {
            let entries = sizes.0.get(map).map(|entries| u64::from(*entries));
            cost(map, entries, cpus)
        })
        .collect();
    costs.sort_unstable_by_key(|cost| cost.map);
    costs
}

/// Bytes from the start, and when every map is full.
pub(super) fn sum(costs: &[MapCost]) -> (u64, u64) {
    let at_once = costs.iter().map(|cost| cost.at_once).sum();
    (at_once, costs.iter().map(|cost| cost.full).sum())
}

/// A line for each map, and the sum.
pub(super) fn table(costs: &[MapCost]) -> String {
    let kib = |bytes: u64| bytes.div_ceil(1024);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{:<17} {:>9} {:>11} {:>11} {:>9}  FLAG",
        "MAP", "ENTRIES", "BYTES EACH", "FROM START", "FULL"
    );
    for cost in costs {
        let _ = writeln!(
            text,
            "{:<17} {:>9} {:>11} {:>7} KiB {:>5} KiB  {}",
            cost.map,
            cost.entries,
            cost.bytes_each,
            kib(cost.at_once),
            kib(cost.full),
            cost.flag.unwrap_or("-"),
        );
    }
    let (at_once, full) = sum(costs);
    let _ = writeln!(
        text,
        "{:<17} {:>9} {:>11} {:>7} KiB {:>5} KiB",
        "all",
        "",
        "",
        kib(at_once),
        kib(full)
    );
    text
}

/// The cost of a map of so many entries; none of a map without a size.
fn cost(map: &'static str, entries: Option<u64>, cpus: u64) -> Option<MapCost> {
    let shape = shape(map)?;
    let flag = flag(map);
    let entries = match shape {
        Shape::Fixed { entries, .. } => entries,
        _ => entries?,
    };
    let buckets = entries.next_power_of_two() * HASH_BUCKET;
    let (bytes_each, at_once, full) = match shape {
        Shape::Hash(element) => (element, buckets, buckets + entries * element),
        Shape::HashInAdvance(element)
        | Shape::Fixed {
            element,
            hash: true,
            ..
        } => (
            element,
            buckets + entries * element,
            buckets + entries * element,
        ),
        Shape::Prefixes(node) => (2 * node, 0, entries * 2 * node),
        Shape::Array(element) | Shape::Fixed { element, .. } => {
            (element, entries * element, entries * element)
        }
        Shape::ArrayPerCpu(element) => {
            let each = element * cpus;
            (each, entries * each, entries * each)
        }
        Shape::Bytes => (1, entries, entries),
    };
    Some(MapCost {
        map,
        flag,
        entries,
        bytes_each,
        at_once,
        full,
    })
}

/// How the kernel keeps a map, with the bytes of an element.
#[derive(Clone, Copy)]
enum Shape {
    /// Elements are allocated as they are used.
    Hash(u64),
    HashInAdvance(u64),
    Prefixes(u64),
    Array(u64),
    ArrayPerCpu(u64),
    /// A ring buffer: its entries are bytes.
    Bytes,
    /// Not sized by anyone.
    Fixed {
        entries: u64,
        element: u64,
        hash: bool,
    },
}

fn shape(map: &str) -> Option<Shape> {
    Some(match map {
        maps::ENDPOINT => Shape::Hash(element::<u32, Slot>()),
        maps::ENDPOINT_CACHE => Shape::Fixed {
            entries: CACHE_PLACES.into(),
            element: value::<u64>(),
            hash: false,
        },
        maps::ENDPOINT_ENTRIES => Shape::Array(value::<Endpoint>()),
        maps::FRAGMENTS => Shape::Array(value::<Fragment>()),
        maps::IDENTITY_V4 => Shape::Hash(element::<Address4, u32>()),
        maps::IDENTITY_V6 | maps::NODE | maps::SOURCE => Shape::Hash(element::<Address6, u32>()),
        maps::CIDR_V4 => Shape::Prefixes(node::<Prefix4>()),
        maps::CIDR_V6 => Shape::Prefixes(node::<Prefix6>()),
        maps::POLICY => Shape::Hash(element::<PolicyKey, Grant>()),
        maps::PORTS => Shape::Hash(element::<PortKey, PortVerdict>()),
        maps::SERVICE => Shape::Hash(element::<ServiceKey, u32>()),
        maps::NOTES => Shape::Fixed {
            entries: PLACES.into(),
            element: element::<u32, Note>(),
            hash: true,
        },
        maps::CONNTRACK_V4 | maps::CONNTRACK_NEW_V4 => {
            Shape::HashInAdvance(element::<Key4, Connection>())
        }
        maps::CONNTRACK_V6 | maps::CONNTRACK_NEW_V6 => {
            Shape::HashInAdvance(element::<Key6, Connection>())
        }
        maps::HELD => Shape::HashInAdvance(element::<u32, Held>()),
        maps::SWEPT => Shape::Hash(element::<u32, Swept>()),
        maps::HELD_TOTAL => one(value::<Held>()),
        maps::SWEPT_TOTAL => one(value::<Swept>()),
        maps::SCRATCH => one(value::<[u32; 2]>()),
        maps::EVENT_LIMIT => one(value::<Bucket>()),
        maps::ANSWER_LIMIT => Shape::Fixed {
            entries: netpol_common::answer::PLACES.into(),
            element: value::<Bucket>(),
            hash: false,
        },
        maps::CUTS => Shape::Array(value::<u64>()),
        maps::COUNTERS => Shape::ArrayPerCpu(value::<Counter>()),
        maps::EVENTS => Shape::Bytes,
        maps::NUMBERS => Shape::Hash(element::<Digest, Number>()),
        _ => return None,
    })
}

fn flag(map: &str) -> Option<&'static str> {
    Some(match map {
        maps::ENDPOINT | maps::ENDPOINT_ENTRIES | maps::FRAGMENTS | maps::HELD | maps::SWEPT => {
            "--max-endpoints"
        }
        maps::IDENTITY_V4 | maps::IDENTITY_V6 => "--max-addresses",
        maps::CIDR_V4 | maps::CIDR_V6 => "--max-prefixes",
        maps::POLICY | maps::NUMBERS => "--max-policy-entries",
        maps::PORTS => "--max-port-entries",
        maps::SERVICE => "--max-services",
        maps::SOURCE => "--max-sources",
        maps::CUTS | maps::COUNTERS => "--max-rules",
        maps::CONNTRACK_V4 | maps::CONNTRACK_V6 => "--max-connections",
        maps::CONNTRACK_NEW_V4 | maps::CONNTRACK_NEW_V6 => "--max-new-connections",
        maps::EVENTS => "--event-buffer",
        _ => return None,
    })
}

const fn one(element: u64) -> Shape {
    Shape::Fixed {
        entries: 1,
        element,
        hash: false,
    }
}

const fn element<K, V>() -> u64 {
    HASH_ELEMENT + value::<K>() + value::<V>()
}

const fn node<K>() -> u64 {
    // The prefix length, the first word of the key, is in the node already.
    (TRIE_NODE + size_of::<K>() as u64).next_multiple_of(8)
}

/// A key or a value: whole words of eight bytes.
const fn value<T>() -> u64 {
    (size_of::<T>() as u64).next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sizes(entries: u32) -> MapSizes {
        let names = maps::PROGRAM_MAPS.into_iter().chain([maps::NUMBERS]);
        MapSizes(names.map(|name| (name, entries)).collect())
    }

    #[test]
    fn every_map_has_a_cost() {
        let costs = costs(&sizes(8), 2);
        assert_eq!(costs.len(), maps::PROGRAM_MAPS.len() + 1);
        assert!(costs.iter().all(|cost| cost.full > 0));
    }

    #[test]
    fn a_hash_costs_elements_and_a_power_of_two_of_buckets() {
        let sizes = MapSizes(BTreeMap::from([
            (maps::CONNTRACK_V4, 1000),
            (maps::PORTS, 1024),
        ]));
        let costs = costs(&sizes, 2);
        let of = |map| costs.iter().find(|cost| cost.map == map).expect("the map");
        let connections = of(maps::CONNTRACK_V4);
        assert_eq!(connections.bytes_each, 48 + 16 + 16);
        assert_eq!(connections.at_once, 1000 * 80 + 1024 * 16);
        assert_eq!(connections.full, connections.at_once);
        let ports = of(maps::PORTS);
        assert_eq!((ports.at_once, ports.full), (1024 * 16, 1024 * (16 + 64)));
    }

    #[test]
    fn counters_cost_for_each_cpu() {
        let sizes = MapSizes(BTreeMap::from([(maps::COUNTERS, 10)]));
        let costs = costs(&sizes, 64);
        let counters = costs.iter().find(|cost| cost.map == maps::COUNTERS);
        assert_eq!(counters.map(|cost| cost.full), Some(10 * 16 * 64));
    }
}
