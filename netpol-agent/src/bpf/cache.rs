//! The cache before the index of endpoints: memory that the kernel's programs read.
//!
//! `bpf(2)` copies a value byte by byte if it likes; a program must never see half of one slot and half of another. So
//! the map is in the agent's memory, where a word is written at once.

use std::{
    io,
    os::fd::AsFd,
    path::Path,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU64, Ordering},
};

use netpol_common::{
    endpoint::{CACHE_PLACES, Slot, cache_place},
    maps,
};
use rustix::mm::{MapFlags, ProtFlags};

use super::{error::LoadError, syscall};

const BYTES: usize = CACHE_PLACES as usize * size_of::<u64>();

/// The map.
#[derive(Debug)]
pub(crate) struct Cache {
    words: NonNull<[AtomicU64; CACHE_PLACES as usize]>,
}

// SAFETY: the memory is this value's own as far as the process goes, and all access to it is atomic.
unsafe impl Send for Cache {}

impl Cache {
    /// Opens the map pinned in a directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, LoadError> {
        let path = directory.join(maps::ENDPOINT_CACHE);
        let failed = |action, source| LoadError::Pin {
            action,
            path: path.clone(),
            source,
        };
        let map = syscall::object_get(&path).map_err(|source| failed("open", source))?;
        let info = syscall::map_info(map.as_fd()).map_err(|source| failed("open", source))?;
        if (info.value_size as usize, info.max_entries) != (size_of::<u64>(), CACHE_PLACES) {
            return Err(LoadError::Layout { path });
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses where; nothing of this process is there yet.
        let mapped =
            unsafe { rustix::mm::mmap(ptr::null_mut(), BYTES, access, MapFlags::SHARED, &map, 0) };
        let words = mapped
            .map_err(io::Error::from)
            .and_then(|place| NonNull::new(place.cast()).ok_or_else(io::Error::last_os_error))
            .map_err(|source| failed("map", source))?;
        Ok(Self { words })
    }

    /// Switches an endpoint to a slot, unless another endpoint has its place: then the index has it alone.
    pub(crate) fn put(&self, ifindex: u32, slot: u32) {
        let word = self.word(ifindex);
        let there = Slot::from_word(word.load(Ordering::Relaxed)).ifindex;
        if there == 0 || there == ifindex {
            // What the slot holds was written by a system call before.
            word.store(Slot { slot, ifindex }.word(), Ordering::Release);
        }
    }

    /// Forgets an endpoint; one that is not there is forgotten already.
    pub(crate) fn remove(&self, ifindex: u32) {
        let word = self.word(ifindex);
        if Slot::from_word(word.load(Ordering::Relaxed)).ifindex == ifindex {
            word.store(0, Ordering::Release);
        }
    }

    /// What it holds.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        let words = self.words().iter().map(|word| word.load(Ordering::Relaxed));
        words.filter(|word| *word != 0).map(Slot::from_word)
    }

    fn word(&self, ifindex: u32) -> &AtomicU64 {
        &self.words()[cache_place(ifindex) as usize]
    }

    fn words(&self) -> &[AtomicU64; CACHE_PLACES as usize] {
        // SAFETY: the memory is mapped as long as `self` is there, of this size, and aligned to a page.
        unsafe { self.words.as_ref() }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // SAFETY: `open` mapped it, and no reference to it outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.words.as_ptr().cast(), BYTES) };
        if let Err(error) = unmapped {
            tracing::debug!(%error, "cannot unmap the endpoint cache");
        }
    }
}
