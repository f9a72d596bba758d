//! A hash or prefix map with typed keys and values.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    slice,
};

use bytemuck::Pod;

use super::{
    error::LoadError,
    syscall::{self, Cursor, MAP_TYPE_HASH, Write},
};

/// Entries asked for at a time.
const BATCH: usize = 1024;

/// Some entries, and where the next ones are.
type Batch<K, V> = (Vec<(K, V)>, Option<Cursor>);

/// A map of the kernel's, whose key and value sizes are those of `K` and `V`.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    map: OwnedFd,
    name: &'static str,
    capacity: u32,
    is_hash: bool,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    /// Opens a pinned map and checks that it holds what the types say.
    pub(crate) fn open(directory: &Path, name: &'static str) -> Result<Self, LoadError> {
        let path = directory.join(name);
        let opened = syscall::object_get(&path).and_then(|map| {
            let info = syscall::map_info(map.as_fd())?;
            Ok((map, info))
        });
        let (map, info) = opened.map_err(|source| LoadError::Pin {
            action: "open",
            path: path.clone(),
            source,
        })?;
        let sizes = (info.key_size as usize, info.value_size as usize);
        if sizes != (size_of::<K>(), size_of::<V>()) {
            return Err(LoadError::Layout { path });
        }
        Ok(Self {
            map,
            name,
            capacity: info.max_entries,
            is_hash: info.kind == MAP_TYPE_HASH,
            types: PhantomData,
        })
    }

    /// The map's name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// How many entries it can hold.
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(crate) fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = V::zeroed();
        let place = slice::from_mut(&mut value);
        // SAFETY: `open` has checked both sizes.
        let found = unsafe { syscall::map_lookup(self.map.as_fd(), key, place) }?;
        Ok(found.then_some(value))
    }

    pub(crate) fn put(&self, key: &K, value: &V) -> io::Result<()> {
        self.write(key, value, Write::Always)
    }

    /// Writes an entry where there is none.
    pub(crate) fn put_new(&self, key: &K, value: &V) -> io::Result<()> {
        match self.write(key, value, Write::New) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            result => result,
        }
    }

    /// Writes over an entry; does nothing where there is none.
    pub(crate) fn put_there(&self, key: &K, value: &V) -> io::Result<()> {
        match self.write(key, value, Write::There) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            result => result,
        }
    }

    fn write(&self, key: &K, value: &V, write: Write) -> io::Result<()> {
        let value = slice::from_ref(value);
        // SAFETY: `open` has checked both sizes.
        unsafe { syscall::map_update(self.map.as_fd(), key, value, write) }
    }

    /// Removes an entry; one that is not there is removed already.
    pub(crate) fn delete(&self, key: &K) -> io::Result<()> {
        // SAFETY: `open` has checked the key's size.
        unsafe { syscall::map_delete(self.map.as_fd(), key) }.map(drop)
    }

    /// Removes many entries of a hash in few calls. Entries that are not there are skipped;
    /// `removed` is given those that were removed.
    pub(crate) fn delete_all(
        &self,
        mut keys: &[K],
        mut removed: impl FnMut(&[K]),
    ) -> io::Result<()> {
        while !keys.is_empty() {
            // SAFETY: `open` has checked the key's size. Of what is no hash the kernel removes
            // nothing.
            let count = unsafe { syscall::map_delete_batch(self.map.as_fd(), keys) }?;
            removed(keys.get(..count).unwrap_or(keys));
            // The kernel stops at a key that is not there: step over it.
            keys = keys.get(count + 1..).unwrap_or_default();
        }
        Ok(())
    }

    /// Every entry, as of no particular moment: what is written meanwhile may be in or not.
    pub(crate) fn entries(&self) -> io::Result<Vec<(K, V)>> {
        let mut entries = Vec::new();
        self.each_batch(|batch| {
            entries.extend_from_slice(batch);
            Ok(())
        })?;
        Ok(entries)
    }

    /// Hands every entry to `visit`, some at a time.
    pub(crate) fn each_batch(
        &self,
        mut visit: impl FnMut(&[(K, V)]) -> io::Result<()>,
    ) -> io::Result<()> {
        if !self.is_hash {
            // Prefix maps have batches from 5.16 on only.
            return visit(&self.walk()?);
        }
        let mut size = BATCH;
        let mut cursor: Option<Cursor> = None;
        loop {
            match self.batch(cursor, size) {
                Ok((batch, next)) => {
                    visit(&batch)?;
                    let Some(next) = next else { return Ok(()) };
                    cursor = Some(next);
                }
                // One bucket holds more entries than there was room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => size *= 2,
                Err(error) => return Err(error),
            }
        }
    }

    fn batch(&self, cursor: Option<Cursor>, size: usize) -> io::Result<Batch<K, V>> {
        let mut keys = vec![K::zeroed(); size];
        let mut values = vec![V::zeroed(); size];
        let map = self.map.as_fd();
        // SAFETY: `open` has checked both sizes, and this is a hash.
        let (count, next) =
            unsafe { syscall::map_lookup_batch(map, cursor, &mut keys, &mut values) }?;
        Ok((keys.into_iter().zip(values).take(count).collect(), next))
    }

    fn walk(&self) -> io::Result<Vec<(K, V)>> {
        let mut entries = Vec::new();
        let mut previous = None;
        loop {
            // SAFETY: `open` has checked the key's size.
            let next = unsafe { syscall::map_next_key(self.map.as_fd(), previous.as_ref()) }?;
            let Some(key) = next else { return Ok(entries) };
            if let Some(value) = self.get(&key)? {
                entries.push((key, value));
            }
            previous = Some(key);
        }
    }
}
