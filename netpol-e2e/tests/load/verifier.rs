//! How many instructions the verifier walks, as every kernel from 5.2 on tells at a load that asks
//! for statistics. aya shows what the verifier says of a program that it refuses only, so the
//! program is linked and loaded once more, with the maps and the type information of the one that
//! aya has loaded: without types no function is global, and each is walked again for every call.

use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use aya::maps::Map;
use aya_obj::Object;
use bytemuck::{Pod, Zeroable};

use crate::load::Loaded;

/// `BPF_PROG_LOAD` of `enum bpf_cmd`.
const PROG_LOAD: libc::c_long = 5;
/// `BPF_BTF_GET_FD_BY_ID` of the same.
const BTF_GET_FD_BY_ID: libc::c_long = 19;
/// `BPF_PROG_TYPE_SCHED_CLS`.
const SCHED_CLS: u32 = 3;
/// `BPF_LOG_STATS`: statistics alone.
const LOG_STATS: u32 = 4;

/// The start of the member of `union bpf_attr` that loads a program.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct LoadAttr {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
    types: u32,
    function_size: u32,
    functions: u64,
    function_count: u32,
    line_size: u32,
}

/// The start of the member of `union bpf_attr` that opens something by its number.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct IdAttr {
    id: u32,
    start: u32,
    flags: u32,
}

/// Loads a program of the object again, with the maps of the loaded one.
pub(crate) fn walked(object: &[u8], loaded: &Loaded, program: &str) -> u32 {
    let log = load(object, loaded, program);
    let said = log.lines().find_map(|line| line.strip_prefix("processed "));
    let number = said.and_then(|said| said.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("the verifier says no number: {log:?}"))
}

fn load(object: &[u8], loaded: &Loaded, program: &str) -> String {
    let mut object = Object::parse(object).expect("an object");
    let maps: Vec<_> = object.maps.drain().collect();
    let fds = maps.iter().map(|(name, map)| {
        let created = loaded.ebpf.map(name).expect("aya made every map");
        (name.as_str(), descriptor(created), map)
    });
    let sections: HashSet<usize> = object
        .functions
        .keys()
        .map(|(section, _)| *section)
        .collect();
    object
        .relocate_maps(fds, &sections)
        .expect("the maps' places");
    object.relocate_calls(&sections).expect("the calls' places");
    let key = object.programs[program].function_key();
    let function = &object.functions[&key];
    let instructions = &function.instructions;
    let functions = &function.func_info.func_info;
    let types = types(loaded, program);
    let license = c"GPL";
    let mut log = vec![0_u8; 1 << 16];
    let attr = LoadAttr {
        kind: SCHED_CLS,
        count: u32::try_from(instructions.len()).expect("a program"),
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: LOG_STATS,
        log_size: u32::try_from(log.len()).expect("a log"),
        log: log.as_mut_ptr() as u64,
        types: u32::try_from(types.as_raw_fd()).expect("an open file"),
        function_size: u32::try_from(function.func_info_rec_size).expect("some bytes"),
        functions: functions.as_ptr() as u64,
        function_count: u32::try_from(functions.len()).expect("a program"),
        ..LoadAttr::zeroed()
    };
    // What the attribute points at outlives the call and is as long as it says; the kernel writes to
    // the log alone.
    let fd = bpf(PROG_LOAD, &attr);
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let log = String::from_utf8_lossy(&log[..end]).into_owned();
    assert!(fd >= 0, "{}: {log}", io::Error::last_os_error());
    // SAFETY: the descriptor is ours, and nobody else has it.
    unsafe { libc::close(fd as libc::c_int) };
    log
}

/// The type information of a loaded program.
fn types(loaded: &Loaded, program: &str) -> OwnedFd {
    let info = loaded.program(program).info().expect("program information");
    let attr = IdAttr {
        id: info.btf_id().expect("the object has types"),
        ..IdAttr::zeroed()
    };
    let fd = bpf(BTF_GET_FD_BY_ID, &attr);
    assert!(fd >= 0, "open the types: {}", io::Error::last_os_error());
    // SAFETY: the descriptor is new, and ours.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

fn bpf<A: Pod>(command: libc::c_long, attr: &A) -> libc::c_long {
    // SAFETY: the kernel reads as many bytes of the attribute as there are.
    unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attr),
            size_of_val(attr),
        )
    }
}

/// The descriptor of a map of a kind that programs here have.
fn descriptor(map: &Map) -> RawFd {
    match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuHashMap(data)
        | Map::PerCpuLruHashMap(data)
        | Map::LpmTrie(data)
        | Map::RingBuf(data) => data.fd().as_fd().as_raw_fd(),
        other => panic!("a map of another kind: {other:?}"),
    }
}
