//! The bpf(2) commands the agent needs, over file descriptors.
//!
//! aya loads the object; from then on maps and links are read and written here, for three things
//! aya 0.14 does not have: batches, attaching to an interface by *index* (a name may be another
//! interface's by the time it is looked up) and the interface a link is attached to.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

use bytemuck::{Pod, Zeroable};

pub(crate) mod probe;

/// `enum bpf_cmd`, the commands used here.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    ProgramLoad = 5,
    ObjectPin = 6,
    ObjectGet = 7,
    ObjectInfo = 15,
    ProgramQuery = 16,
    MapLookupBatch = 24,
    MapDeleteBatch = 27,
    LinkCreate = 28,
    LinkUpdate = 29,
}

/// `BPF_TCX_INGRESS` and `BPF_TCX_EGRESS` of `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum TcxSide {
    Ingress = 46,
    Egress = 47,
}

/// `BPF_LINK_TYPE_TCX` of `enum bpf_link_type`.
const LINK_TYPE_TCX: u32 = 11;
/// `BPF_F_BEFORE`: without a relative program, before all others.
const BEFORE: u32 = 1 << 3;
/// `BPF_MAP_TYPE_HASH`.
pub(crate) const MAP_TYPE_HASH: u32 = 1;
/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;

/// What is known of a pinned map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct MapInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
}

/// What is known of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcxLink {
    pub(crate) program: u32,
    /// Zero once the interface is gone, or the link was detached by force.
    pub(crate) ifindex: u32,
}

/// Opens a pinned map or link.
pub(crate) fn object_get(path: &Path) -> io::Result<OwnedFd> {
    let path = path_string(path)?;
    let mut attr = ObjectAttr {
        path: address_of(path.as_ptr()),
        ..ObjectAttr::zeroed()
    };
    // SAFETY: `path` is NUL-terminated and outlives the call.
    let fd = unsafe { call(Command::ObjectGet, &mut attr) }?;
    // SAFETY: BPF_OBJ_GET returns a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins a map or link.
pub(crate) fn object_pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = path_string(path)?;
    let mut attr = ObjectAttr {
        path: address_of(path.as_ptr()),
        fd: number(object),
        ..ObjectAttr::zeroed()
    };
    // SAFETY: `path` is NUL-terminated and outlives the call.
    unsafe { call(Command::ObjectPin, &mut attr) }.map(drop)
}

/// Reads what is known of a map.
pub(crate) fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    object_info(map)
}

/// Reads where a TCX link is attached; an error if it is a link of another type.
pub(crate) fn tcx_link(link: BorrowedFd<'_>) -> io::Result<TcxLink> {
    let info: LinkInfo = object_info(link)?;
    if info.kind != LINK_TYPE_TCX {
        return Err(io::Error::other(format!(
            "the link is of type {}, not TCX",
            info.kind
        )));
    }
    Ok(TcxLink {
        program: info.program,
        ifindex: info.ifindex,
    })
}

/// Attaches a program before all others of that hook.
pub(crate) fn tcx_attach(
    program: BorrowedFd<'_>,
    ifindex: u32,
    side: TcxSide,
) -> io::Result<OwnedFd> {
    let mut attr = LinkCreateAttr {
        program: number(program),
        ifindex,
        attach_type: side as u32,
        flags: BEFORE,
        ..LinkCreateAttr::zeroed()
    };
    // SAFETY: the attribute holds numbers only.
    let fd = unsafe { call(Command::LinkCreate, &mut attr) }?;
    // SAFETY: BPF_LINK_CREATE returns a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Replaces the program of a link: each packet sees the old one or the new one.
pub(crate) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdateAttr {
        link: number(link),
        program: number(program),
        ..LinkUpdateAttr::zeroed()
    };
    // SAFETY: the attribute holds numbers only.
    unsafe { call(Command::LinkUpdate, &mut attr) }.map(drop)
}

/// Whether the kernel has TCX: asks for the programs of the loopback interface (index 1 in every
/// network namespace), which a kernel without it answers with EINVAL. Changes nothing.
pub(crate) fn has_tcx() -> bool {
    let mut attr = QueryAttr {
        ifindex: 1,
        attach_type: TcxSide::Ingress as u32,
        ..QueryAttr::zeroed()
    };
    // SAFETY: no buffer is given, so the kernel counts, and writes inside the attribute only.
    unsafe { call(Command::ProgramQuery, &mut attr) }.is_ok()
}

/// Creates a hash map that takes memory as it fills.
pub(crate) fn create_hash<K: Pod, V: Pod>(name: &str, max_entries: u32) -> io::Result<OwnedFd> {
    let mut attr = MapCreateAttr {
        kind: MAP_TYPE_HASH,
        key_size: size_of::<K>() as u32,
        value_size: size_of::<V>() as u32,
        max_entries,
        flags: NO_PREALLOC,
        ..MapCreateAttr::zeroed()
    };
    // The last byte stays zero.
    for (place, byte) in attr.name[..15].iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    // SAFETY: the attribute holds numbers only.
    let fd = unsafe { call(Command::MapCreate, &mut attr) }?;
    // SAFETY: BPF_MAP_CREATE returns a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads the value of a key: one `V`, or one for each possible CPU of a map per CPU. False if
/// the key is not there.
///
/// # Safety
/// The map's keys have the size of `K`, its values that of `value`.
pub(crate) unsafe fn map_lookup<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &mut [V],
) -> io::Result<bool> {
    let mut attr = ElementAttr {
        map: number(map),
        key: address_of(key),
        value: address_of(value.as_mut_ptr()),
        ..ElementAttr::zeroed()
    };
    // SAFETY: by this function's contract the kernel reads a whole `K` and writes within `value`;
    // every bit pattern is a `V`.
    found(unsafe { call(Command::MapLookup, &mut attr) })
}

/// Which keys an entry is written to: `BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Write {
    Always = 0,
    New = 1,
    There = 2,
}

/// Writes an entry.
///
/// # Safety
/// The map's keys have the size of `K`, its values that of `value`.
pub(crate) unsafe fn map_update<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &[V],
    write: Write,
) -> io::Result<()> {
    let mut attr = ElementAttr {
        map: number(map),
        key: address_of(key),
        value: address_of(value.as_ptr()),
        flags: write as u64,
        ..ElementAttr::zeroed()
    };
    // SAFETY: by this function's contract the kernel reads a whole `K` and the whole of `value`.
    unsafe { call(Command::MapUpdate, &mut attr) }.map(drop)
}

/// Removes an entry; false if there was none.
///
/// # Safety
/// The map's keys have the size of `K`.
pub(crate) unsafe fn map_delete<K: Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<bool> {
    let mut attr = ElementAttr {
        map: number(map),
        key: address_of(key),
        ..ElementAttr::zeroed()
    };
    // SAFETY: by this function's contract the kernel reads a whole `K`.
    found(unsafe { call(Command::MapDelete, &mut attr) })
}

/// The key after `previous`, the first one without it.
///
/// # Safety
/// The map's keys have the size of `K`.
pub(crate) unsafe fn map_next_key<K: Pod>(
    map: BorrowedFd<'_>,
    previous: Option<&K>,
) -> io::Result<Option<K>> {
    let mut next = K::zeroed();
    let mut attr = ElementAttr {
        map: number(map),
        key: previous.map_or(0, |key| address_of(key)),
        value: address_of(&raw mut next),
        ..ElementAttr::zeroed()
    };
    // SAFETY: by this function's contract the kernel reads and writes a whole `K`.
    let there = found(unsafe { call(Command::MapNextKey, &mut attr) })?;
    Ok(there.then_some(next))
}

/// Where a look-up in batches stands: a number of the kernel's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor(u32);

/// Fills `keys` and `values` from where `cursor` stands. Returns how many and where to go on,
/// none at the end.
///
/// # Safety
/// The map is a hash; its keys have the size of `K`, its values that of `V`.
pub(crate) unsafe fn map_lookup_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    cursor: Option<Cursor>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<(usize, Option<Cursor>)> {
    let start = cursor.map_or(0, |Cursor(bucket)| bucket);
    let mut next = 0_u32;
    let mut attr = BatchAttr {
        map: number(map),
        from: cursor.map_or(0, |_| address_of(&raw const start)),
        to: address_of(&raw mut next),
        keys: address_of(keys.as_mut_ptr()),
        values: address_of(values.as_mut_ptr()),
        count: keys.len().min(values.len()) as u32,
        ..BatchAttr::zeroed()
    };
    // SAFETY: the kernel writes at most `count` keys and values, for which there is room by this
    // function's contract; a hash's cursor is one u32, as `start` and `next` are.
    let result = unsafe { call(Command::MapLookupBatch, &mut attr) };
    match found(result) {
        Ok(more) => Ok((attr.count as usize, more.then_some(Cursor(next)))),
        Err(error) => Err(error),
    }
}

/// Removes the entries of `keys`. Returns how many were removed before one was not there, which
/// the kernel takes for the end.
///
/// # Safety
/// The map is a hash; its keys have the size of `K`.
pub(crate) unsafe fn map_delete_batch<K: Pod>(
    map: BorrowedFd<'_>,
    keys: &[K],
) -> io::Result<usize> {
    let mut attr = BatchAttr {
        map: number(map),
        keys: address_of(keys.as_ptr()),
        count: keys.len() as u32,
        ..BatchAttr::zeroed()
    };
    // SAFETY: the kernel reads `count` keys, all of them in `keys` by this function's contract.
    let result = unsafe { call(Command::MapDeleteBatch, &mut attr) };
    found(result).map(|_| attr.count as usize)
}

fn object_info<I: Pod>(object: BorrowedFd<'_>) -> io::Result<I> {
    let mut info = I::zeroed();
    let mut attr = InfoAttr {
        fd: number(object),
        length: size_of::<I>() as u32,
        info: address_of(&raw mut info),
    };
    // SAFETY: the kernel writes at most `length` bytes, the size of `info`, of which every bit
    // pattern is valid.
    unsafe { call(Command::ObjectInfo, &mut attr) }?;
    Ok(info)
}

/// Runs a command.
///
/// # Safety
/// Every address in `attr` is valid for what the command reads and writes there.
unsafe fn call<A: Pod>(command: Command, attr: &mut A) -> io::Result<i32> {
    // SAFETY: `attr` is readable and writable for its size and has no uninitialised bytes (Pod);
    // what it points at is the caller's contract.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            ptr::from_mut(attr),
            size_of::<A>() as libc::c_uint,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as i32)
    }
}

/// Takes "no such entry" for an answer.
fn found(result: io::Result<i32>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn path_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

fn number(fd: impl AsFd) -> u32 {
    // A descriptor is never negative.
    fd.as_fd().as_raw_fd() as u32
}

fn address_of<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

macro_rules! attributes {
    ($($(#[$doc:meta])* struct $name:ident { $($field:ident: $type:ty),+ $(,)? })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Pod, Zeroable)]
            #[repr(C)]
            struct $name { $($field: $type),+ }
        )+
    };
}

// Members of `union bpf_attr`, as far as they are used. The kernel takes what is beyond for zero.
attributes! {
    struct ElementAttr { map: u32, pad: u32, key: u64, value: u64, flags: u64 }
    struct BatchAttr {
        from: u64, to: u64, keys: u64, values: u64,
        count: u32, map: u32, element_flags: u64, flags: u64,
    }
    struct ObjectAttr { path: u64, fd: u32, flags: u32 }
    struct InfoAttr { fd: u32, length: u32, info: u64 }
    /// With the member `tcx` of its union.
    struct LinkCreateAttr {
        program: u32, ifindex: u32, attach_type: u32, flags: u32,
        relative: u32, pad: u32, revision: u64,
    }
    struct LinkUpdateAttr { link: u32, program: u32, flags: u32, old_program: u32 }
    /// Whole: the kernel writes `revision`, the last member, back.
    struct QueryAttr {
        ifindex: u32, attach_type: u32, query_flags: u32, attach_flags: u32,
        programs: u64, count: u32, pad: u32,
        program_flags: u64, links: u64, link_flags: u64, revision: u64,
    }
    struct MapCreateAttr {
        kind: u32, key_size: u32, value_size: u32, max_entries: u32, flags: u32,
        inner: u32, numa: u32, name: [u8; 16],
    }
    struct ProgramLoadAttr {
        kind: u32, instructions: u32, program: u64, license: u64,
        log_level: u32, log_size: u32, log: u64, kernel_version: u32, flags: u32, name: [u8; 16],
    }
    /// `struct bpf_link_info` with the member `tcx` of its union.
    struct LinkInfo {
        kind: u32, id: u32, program: u32, pad: u32, ifindex: u32, attach_type: u32,
    }
}
