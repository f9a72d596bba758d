//! The endpoint map: an index from interface to slot with a cache before it, and the entries.
//!
//! An entry is written into a slot that no program can be reading, and then the index is switched
//! to it with one write, and the cache with another: programs ask the one or the other, never both.
//! The slot it was in may still be read by programs that are running: it is written again only
//! after a grace period.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    io,
    path::Path,
};

use netpol_common::{
    endpoint::{Endpoint, Slot},
    maps,
};

use super::{cache::Cache, error::LoadError, grace, shares::Shares, table::Table};

/// The endpoint map.
#[derive(Debug)]
pub(crate) struct Endpoints {
    index: Table<u32, Slot>,
    cache: Cache,
    entries: Table<u32, Endpoint>,
    /// What each endpoint holds of the conntrack tables; there before its entry is.
    pub(crate) shares: Shares,
    slots: RefCell<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    /// The slot of each interface.
    used: HashMap<u32, u32>,
    free: Vec<u32>,
    /// Not in use, but perhaps still being read.
    resting: Vec<u32>,
}

impl Endpoints {
    /// Opens the maps pinned in a directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, LoadError> {
        let index: Table<u32, Slot> = Table::open(directory, maps::ENDPOINT)?;
        let entries = Table::open(directory, maps::ENDPOINT_ENTRIES)?;
        let listed = index.entries().map_err(|source| LoadError::Pin {
            action: "read",
            path: directory.join(maps::ENDPOINT),
            source,
        })?;
        let shares = Shares::open(directory)?;
        let used: HashMap<u32, u32> = listed.into_iter().map(|(i, slot)| (i, slot.slot)).collect();
        let cache = Cache::open(directory)?;
        // An agent before may have ended between its two writes.
        for slot in cache.slots() {
            if used.get(&slot.ifindex) != Some(&slot.slot) {
                cache.remove(slot.ifindex);
            }
        }
        for (ifindex, slot) in &used {
            cache.put(*ifindex, *slot);
        }
        shares
            .keep(&used.keys().copied().collect())
            .map_err(|source| LoadError::Pin {
                action: "write",
                path: directory.join(maps::HELD),
                source,
            })?;
        let taken: HashSet<u32> = used.values().copied().collect();
        let resting = (0..entries.capacity()).rev();
        let resting = resting.filter(|slot| !taken.contains(slot)).collect();
        Ok(Self {
            index,
            cache,
            entries,
            shares,
            slots: RefCell::new(Slots {
                used,
                free: Vec::new(),
                resting,
            }),
        })
    }

    /// How many endpoints there can be.
    pub(crate) fn capacity(&self) -> u32 {
        let least = self.index.capacity().min(self.entries.capacity());
        least.min(self.shares.capacity())
    }

    /// Switches an endpoint to an entry.
    pub(crate) fn put(&self, ifindex: u32, endpoint: &Endpoint) -> io::Result<()> {
        let mut slots = self.slots.borrow_mut();
        if !slots.used.contains_key(&ifindex) {
            self.shares.add(ifindex)?;
        }
        let slot = slots
            .take()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOSPC))?;
        let written = self
            .entries
            .put(&slot, endpoint)
            .and_then(|()| self.index.put(&ifindex, &Slot { slot, ifindex }));
        match written {
            Ok(()) => {
                self.cache.put(ifindex, slot);
                let before = slots.used.insert(ifindex, slot);
                slots.resting.extend(before);
            }
            Err(_) => slots.free.push(slot),
        }
        written
    }

    /// Removes an endpoint; one that is not there is removed already.
    pub(crate) fn delete(&self, ifindex: u32) -> io::Result<()> {
        self.index.delete(&ifindex)?;
        self.cache.remove(ifindex);
        let mut slots = self.slots.borrow_mut();
        let before = slots.used.remove(&ifindex);
        slots.resting.extend(before);
        self.shares.remove(ifindex)
    }

    /// Every endpoint, as the programs see it. One of which index and cache say different things is left out, so that it
    /// is written again.
    pub(crate) fn read(&self) -> io::Result<HashMap<u32, Endpoint>> {
        let mut slots: HashMap<u32, u32> = HashMap::new();
        for (ifindex, slot) in self.index.entries()? {
            if slot.ifindex == ifindex {
                slots.insert(ifindex, slot.slot);
            }
        }
        for cached in self.cache.slots() {
            let known = slots.entry(cached.ifindex).or_insert(cached.slot);
            if *known != cached.slot {
                slots.remove(&cached.ifindex);
            }
        }
        let mut endpoints = HashMap::new();
        for (ifindex, slot) in slots {
            if let Some(endpoint) = self.entries.get(&slot)? {
                endpoints.insert(ifindex, endpoint);
            }
        }
        Ok(endpoints)
    }
}

impl Slots {
    fn take(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            grace::wait();
            self.free.append(&mut self.resting);
        }
        self.free.pop()
    }
}
