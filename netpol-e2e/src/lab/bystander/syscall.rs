//! bpf(2), as far as a bystander needs it.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

/// Commands of bpf(2).
pub(super) mod command {
    pub(in super::super) const MAP_CREATE: i64 = 0;
    pub(in super::super) const MAP_LOOKUP_ELEM: i64 = 1;
    pub(in super::super) const PROG_LOAD: i64 = 5;
    pub(in super::super) const OBJ_PIN: i64 = 6;
    pub(in super::super) const OBJ_GET_INFO_BY_FD: i64 = 15;
    pub(in super::super) const PROG_QUERY: i64 = 16;
    pub(in super::super) const LINK_CREATE: i64 = 28;
}

/// Requests of bpf(2): starts of the members of `union bpf_attr` (linux/bpf.h). Plain words,
/// without padding.
#[repr(C)]
#[derive(Default)]
pub(super) struct MapCreate {
    pub(super) map_type: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct MapElement {
    pub(super) map_fd: u32,
    pub(super) pad: u32,
    pub(super) key: u64,
    pub(super) value: u64,
    pub(super) flags: u64,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct ProgramLoad {
    pub(super) prog_type: u32,
    pub(super) insn_cnt: u32,
    pub(super) insns: u64,
    pub(super) license: u64,
    pub(super) log_level: u32,
    pub(super) log_size: u32,
    pub(super) log_buf: u64,
    pub(super) kern_version: u32,
    pub(super) prog_flags: u32,
    pub(super) prog_name: [u8; 16],
}

#[repr(C)]
pub(super) struct ObjectPin {
    pub(super) path: u64,
    pub(super) fd: u32,
    pub(super) flags: u32,
}

#[repr(C)]
pub(super) struct ObjectInfo {
    pub(super) fd: u32,
    pub(super) length: u32,
    pub(super) info: u64,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct ProgramInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct ProgramQuery {
    pub(super) ifindex: u32,
    pub(super) attach_type: u32,
    pub(super) query_flags: u32,
    pub(super) attach_flags: u32,
    pub(super) prog_ids: u64,
    pub(super) prog_cnt: u32,
    pub(super) pad: u32,
    pub(super) prog_attach_flags: u64,
    pub(super) link_ids: u64,
    pub(super) link_attach_flags: u64,
    pub(super) revision: u64,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct LinkCreate {
    pub(super) prog_fd: u32,
    pub(super) ifindex: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
    pub(super) relative: u32,
    pub(super) pad: u32,
    pub(super) expected_revision: u64,
}

/// A request the kernel answers within.
pub(super) fn bpf_mut<T>(command: i64, request: &mut T) -> io::Result<i64> {
    // SAFETY: `request` is one of the structs above: the start of `union bpf_attr` for its command,
    // without padding, of the size passed. The kernel takes the rest of the union as zero. Pointers
    // in it are to buffers that the callers keep alive, of the sizes the commands write.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(request),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

pub(super) fn bpf<T>(command: i64, request: &T) -> io::Result<i64> {
    // SAFETY: as in `bpf_mut`; the commands used here only read the request.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(request),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

pub(super) fn bpf_fd<T>(command: i64, request: &T) -> io::Result<OwnedFd> {
    let fd = bpf(command, request)?;
    // SAFETY: the commands that create something return a descriptor that is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Index of an interface of this thread's network namespace.
pub(super) fn ifindex(interface: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(interface)?;
    // SAFETY: a C string, which the call only reads.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(index)
}
