//! Asking the kernel what it can, by trying. Nothing that is made outlives the call.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

use bytemuck::Zeroable;

use super::{
    Command, MapCreateAttr, NO_PREALLOC, ProgramLoadAttr, QueryAttr, TcxSide, address_of, call,
};

/// Kinds of maps that the programs use (`enum bpf_map_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MapKind {
    Hash = 1,
    Array = 2,
    PerCpuArray = 6,
    LongestPrefix = 11,
    RingBuffer = 27,
}

impl MapKind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Hash,
        Self::Array,
        Self::PerCpuArray,
        Self::LongestPrefix,
        Self::RingBuffer,
    ];

    /// The kind in words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Array => "array",
            Self::PerCpuArray => "per-CPU array",
            Self::LongestPrefix => "longest prefix match",
            Self::RingBuffer => "ring buffer",
        }
    }
}

/// Makes a small map of a kind.
pub(crate) fn map(kind: MapKind) -> io::Result<()> {
    let (key_size, value_size, max_entries, flags) = match kind {
        MapKind::Hash => (4, 4, 1, NO_PREALLOC),
        MapKind::Array | MapKind::PerCpuArray => (4, 4, 1, 0),
        MapKind::LongestPrefix => (8, 4, 1, NO_PREALLOC),
        // Whole pages, of any machine's size.
        MapKind::RingBuffer => (0, 0, 1 << 16, 0),
    };
    let mut attr = MapCreateAttr {
        kind: kind as u32,
        key_size,
        value_size,
        max_entries,
        flags,
        ..MapCreateAttr::zeroed()
    };
    // SAFETY: the attribute holds numbers only.
    let fd = unsafe { call(Command::MapCreate, &mut attr) }?;
    // SAFETY: BPF_MAP_CREATE returns a new descriptor that nobody else owns.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

/// `BPF_PROG_TYPE_SCHED_CLS`.
const SCHED_CLS: u32 = 3;

/// Loads a program for traffic control that does nothing.
pub(crate) fn classifier() -> io::Result<()> {
    // `r0 = 0; exit`
    let program: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
    let license = c"GPL";
    let mut attr = ProgramLoadAttr {
        kind: SCHED_CLS,
        instructions: program.len() as u32,
        program: address_of(program.as_ptr()),
        license: address_of(license.as_ptr()),
        ..ProgramLoadAttr::zeroed()
    };
    // SAFETY: `program` and `license` outlive the call and are as long as the attribute and the
    // final zero say.
    let fd = unsafe { call(Command::ProgramLoad, &mut attr) }?;
    // SAFETY: BPF_PROG_LOAD returns a new descriptor that nobody else owns.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

/// The numbers of the programs on one side of an interface, those of TCX alone.
pub(crate) fn tcx_programs(ifindex: u32, side: TcxSide) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; 64];
    let mut attr = QueryAttr {
        ifindex,
        attach_type: side as u32,
        programs: address_of(ids.as_mut_ptr()),
        count: ids.len() as u32,
        ..QueryAttr::zeroed()
    };
    // SAFETY: the kernel writes at most `count` numbers to `ids`, and otherwise within the attribute.
    unsafe { call(Command::ProgramQuery, &mut attr) }?;
    let count = (attr.count as usize).min(ids.len());
    Ok(ids[..count].to_vec())
}
