//! Writing maps by bytes. The library wants sizes that are known when it is compiled.

use anyhow::bail;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData};
use bytemuck::pod_read_unaligned;
use netpol_common::endpoint::Endpoint;
use netpol_common::held::{Held, Swept};

/// Words of the largest values.
const ENDPOINT: usize = size_of::<Endpoint>() / 4;
const CACHED: usize = size_of::<u64>() / 4;
const HELD: usize = size_of::<Held>() / 4;
const SWEPT: usize = size_of::<Swept>() / 4;

/// What is done with an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is written.
    Put,
    /// It is removed; an array's stays.
    Remove,
}

/// Writes or removes an entry.
pub(super) fn change(map: &mut Map, how: Change, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
    let sizes = (key.len() / 4, value.len() / 4);
    match map {
        Map::Array(_) if how == Change::Remove => Ok(()),
        Map::Array(_) => match sizes.1 {
            CACHED => array::<CACHED>(map, key, value),
            ENDPOINT => array::<ENDPOINT>(map, key, value),
            HELD => array::<HELD>(map, key, value),
            SWEPT => array::<SWEPT>(map, key, value),
            other => bail!("an array with values of {other} words"),
        },
        Map::LpmTrie(_) => match sizes.0 {
            2 => prefix::<1>(map, how, key, value),
            5 => prefix::<4>(map, how, key, value),
            other => bail!("a prefix map with keys of {other} words"),
        },
        _ => match sizes {
            (1, 1) => hash::<1, 1>(map, how, key, value),
            (1, 2) => hash::<1, 2>(map, how, key, value),
            (1, HELD) => hash::<1, HELD>(map, how, key, value),
            (1, SWEPT) => hash::<1, SWEPT>(map, how, key, value),
            (2, 2) => hash::<2, 2>(map, how, key, value),
            (2, 3) => hash::<2, 3>(map, how, key, value),
            (4, 1) => hash::<4, 1>(map, how, key, value),
            (4, 4) => hash::<4, 4>(map, how, key, value),
            (5, 1) => hash::<5, 1>(map, how, key, value),
            (7, 4) => hash::<7, 4>(map, how, key, value),
            other => bail!("a hash of {other:?} words"),
        },
    }
}

fn hash<const K: usize, const V: usize>(
    map: &mut Map,
    how: Change,
    key: &[u8],
    value: &[u8],
) -> anyhow::Result<()> {
    let mut map = words::<K, V>(map)?;
    let key: [u32; K] = pod_read_unaligned(key);
    let value: [u32; V] = pod_read_unaligned(value);
    match how {
        Change::Put => map.insert(key, value, 0)?,
        Change::Remove => map.remove(&key)?,
    }
    Ok(())
}

fn array<const V: usize>(map: &mut Map, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
    let mut map: Array<&mut MapData, [u32; V]> = map.try_into()?;
    let value: [u32; V] = pod_read_unaligned(value);
    Ok(map.set(pod_read_unaligned(key), value, 0)?)
}

fn prefix<const K: usize>(
    map: &mut Map,
    how: Change,
    key: &[u8],
    value: &[u8],
) -> anyhow::Result<()> {
    let mut map: LpmTrie<&mut MapData, [u32; K], u32> = map.try_into()?;
    let (length, address) = key.split_at(4);
    let address: [u32; K] = pod_read_unaligned(address);
    let key = Key::new(pod_read_unaligned(length), address);
    match how {
        Change::Put => map.insert(&key, pod_read_unaligned::<u32>(value), 0)?,
        Change::Remove => map.remove(&key)?,
    }
    Ok(())
}

/// Removes every entry of a hash: how many.
pub(super) fn clear<const K: usize, const V: usize>(map: &mut Map) -> anyhow::Result<usize> {
    let mut map = words::<K, V>(map)?;
    let keys: Vec<[u32; K]> = map.keys().collect::<Result<_, _>>()?;
    for key in &keys {
        map.remove(key)?;
    }
    Ok(keys.len())
}

fn words<const K: usize, const V: usize>(
    map: &mut Map,
) -> anyhow::Result<HashMap<&mut MapData, [u32; K], [u32; V]>> {
    Ok(map.try_into()?)
}
