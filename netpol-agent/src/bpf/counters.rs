//! The counters map: one value for each CPU, summed here.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use bytemuck::Zeroable;
use netpol_common::{counter::Counter, maps};

use super::{
    error::LoadError,
    syscall::{self, Write},
    table::Table,
};

/// The map of verdict counters.
#[derive(Debug)]
pub(crate) struct Counters {
    map: OwnedFd,
    capacity: u32,
    cpus: usize,
    cuts: Table<u32, u64>,
}

impl Counters {
    /// Opens the map pinned in a directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, LoadError> {
        let path = directory.join(maps::COUNTERS);
        let opened = syscall::object_get(&path).and_then(|map| {
            let info = syscall::map_info(map.as_fd())?;
            // The kernel copies a value for each *possible* CPU, present or not.
            let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
            Ok((map, info, cpus))
        });
        let (map, info, cpus) = opened.map_err(|source| LoadError::Pin {
            action: "open",
            path: path.clone(),
            source,
        })?;
        let sizes = (info.key_size as usize, info.value_size as usize);
        if sizes != (size_of::<u32>(), size_of::<Counter>()) {
            return Err(LoadError::Layout { path });
        }
        Ok(Self {
            map,
            capacity: info.max_entries,
            cpus,
            cuts: Table::open(directory, maps::CUTS)?,
        })
    }

    /// How many counters there are.
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The sum over all CPUs.
    pub(crate) fn read(&self, number: u32) -> io::Result<Counter> {
        let mut values = vec![Counter::zeroed(); self.cpus];
        // SAFETY: `open` has checked both sizes; a counter is a multiple of eight bytes, so the
        // kernel pads nothing between the CPUs' values, and there is one for each possible CPU.
        let found = unsafe { syscall::map_lookup(self.map.as_fd(), &number, &mut values) }?;
        if !found {
            return Ok(Counter::default());
        }
        Ok(values
            .iter()
            .fold(Counter::default(), |sum, value| Counter {
                packets: sum.packets.wrapping_add(value.packets),
                bytes: sum.bytes.wrapping_add(value.bytes),
            }))
    }

    /// Connections that were cut under a counter.
    pub(crate) fn cuts(&self, number: u32) -> io::Result<u64> {
        Ok(self.cuts.get(&number)?.unwrap_or_default())
    }

    /// Sets a counter to zero on every CPU.
    pub(crate) fn reset(&self, number: u32) -> io::Result<()> {
        let zeros = vec![Counter::zeroed(); self.cpus];
        // SAFETY: as in `read`.
        unsafe { syscall::map_update(self.map.as_fd(), &number, &zeros, Write::Always) }?;
        self.cuts.put(&number, &0)
    }
}
