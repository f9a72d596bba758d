//! What is in a map. Keys and values are bytes; values lie in memory, where programs reach them.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

use super::memory::Memory;
use super::program::Definition;

/// How a map is looked up (`enum bpf_map_type`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By the whole key. Which entry an LRU map would give up is not imitated: it is full.
    Hash,
    /// By number; every entry is there.
    Array,
    /// By the longest prefix.
    Prefix,
    /// Not at all.
    Ring,
}

impl Kind {
    fn of(number: u32) -> anyhow::Result<Self> {
        Ok(match number {
            1 | 5 | 9 | 10 => Self::Hash,
            2 | 6 => Self::Array,
            11 => Self::Prefix,
            27 => Self::Ring,
            _ => bail!("maps of type {number} are unknown to this machine"),
        })
    }
}

/// A map.
pub(super) struct MapSpace {
    definition: Definition,
    pub(super) kind: Kind,
    /// Where the values lie.
    values: u64,
    places: BTreeMap<Vec<u8>, u32>,
    free: Vec<u32>,
}

/// What a program asks when it writes an entry (`BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST`).
const NO_EXIST: u64 = 1;
const EXIST: u64 = 2;

impl MapSpace {
    pub(super) fn new(
        definition: Definition,
        entries: u32,
        memory: &mut Memory,
    ) -> anyhow::Result<Self> {
        let kind = Kind::of(definition.kind).with_context(|| definition.name.clone())?;
        // A map with data holds the globals, which nobody sizes.
        let entries = if definition.data.is_empty() {
            entries
        } else {
            definition.entries
        };
        let length = match kind {
            Kind::Ring => 0,
            _ => entries as usize * stride(&definition),
        };
        let mut bytes = vec![0; length];
        bytes[..definition.data.len()].copy_from_slice(&definition.data);
        Ok(Self {
            values: memory.region(bytes)?,
            free: match kind {
                Kind::Hash | Kind::Prefix => (0..entries).rev().collect(),
                Kind::Array | Kind::Ring => Vec::new(),
            },
            definition: Definition {
                entries,
                ..definition
            },
            kind,
            places: BTreeMap::new(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.definition.name
    }

    pub(super) fn is_array(&self) -> bool {
        self.kind == Kind::Array
    }

    pub(super) fn key_size(&self) -> usize {
        self.definition.key
    }

    pub(super) fn value_size(&self) -> usize {
        self.definition.value
    }

    pub(super) fn has_globals(&self) -> bool {
        !self.definition.data.is_empty()
    }

    /// Where the values lie, for what refers to them without a look-up.
    pub(super) fn values(&self) -> u64 {
        self.values
    }

    /// The address of a key's value.
    pub(super) fn find(&self, key: &[u8]) -> Option<u64> {
        let place = match self.kind {
            Kind::Hash => self.places.get(key).copied(),
            Kind::Array => {
                let index = u32::from_le_bytes(key.try_into().ok()?);
                (index < self.definition.entries).then_some(index)
            }
            Kind::Prefix => self.longest(key),
            Kind::Ring => None,
        };
        place.map(|place| self.address(place))
    }

    /// Writes an entry as a program does; an error number as the kernel's if it cannot be.
    pub(super) fn update(
        &mut self,
        memory: &mut Memory,
        key: &[u8],
        value: &[u8],
        how: u64,
    ) -> anyhow::Result<Result<(), i64>> {
        const EEXIST: i64 = 17;
        const ENOENT: i64 = 2;
        const E2BIG: i64 = 7;
        let there = match self.kind {
            Kind::Array => self.find(key),
            _ => self.places.get(key).map(|place| self.address(*place)),
        };
        let address = match there {
            Some(_) if how == NO_EXIST => return Ok(Err(EEXIST)),
            None if how == EXIST || self.kind == Kind::Array => return Ok(Err(ENOENT)),
            Some(address) => address,
            None => {
                let Some(place) = self.free.pop() else {
                    return Ok(Err(E2BIG));
                };
                self.places.insert(key.to_vec(), place);
                self.address(place)
            }
        };
        memory
            .bytes_mut(address, value.len())?
            .copy_from_slice(value);
        Ok(Ok(()))
    }

    /// Writes an entry.
    pub(super) fn put(
        &mut self,
        memory: &mut Memory,
        key: &[u8],
        value: &[u8],
    ) -> anyhow::Result<()> {
        if (key.len(), value.len()) != (self.definition.key, self.definition.value) {
            bail!("{} has keys and values of another size", self.name());
        }
        let written = self.update(memory, key, value, 0)?;
        written.map_err(|number| anyhow::anyhow!("{} takes no entry: error {number}", self.name()))
    }

    /// Removes an entry; whether it was there.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let place = self.places.remove(key);
        self.free.extend(place);
        place.is_some()
    }

    pub(super) fn clear(&mut self, memory: &mut Memory) -> anyhow::Result<()> {
        self.free
            .extend(std::mem::take(&mut self.places).into_values());
        if self.kind == Kind::Array {
            let length = self.definition.entries as usize * stride(&self.definition);
            memory.bytes_mut(self.values, length)?.fill(0);
        }
        Ok(())
    }

    fn address(&self, place: u32) -> u64 {
        self.values + u64::from(place) * stride(&self.definition) as u64
    }

    fn longest(&self, key: &[u8]) -> Option<u32> {
        let (_, address) = prefix(key)?;
        let fits = self.places.iter().filter_map(|(entry, place)| {
            let (length, start) = prefix(entry)?;
            shares(start, address, length).then_some((length, *place))
        });
        fits.max().map(|(_, place)| place)
    }
}

/// Values start at addresses that eight divides, as the kernel's do.
fn stride(definition: &Definition) -> usize {
    definition.value.next_multiple_of(8)
}

/// A key of a prefix map (`struct bpf_lpm_trie_key`): length in bits, then the address.
fn prefix(key: &[u8]) -> Option<(u32, &[u8])> {
    let (length, address) = key.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*length), address))
}

fn shares(one: &[u8], other: &[u8], bits: u32) -> bool {
    let bit = |bytes: &[u8], number: u32| bytes[number as usize / 8] >> (7 - number % 8) & 1;
    (0..bits).all(|number| bit(one, number) == bit(other, number))
}
