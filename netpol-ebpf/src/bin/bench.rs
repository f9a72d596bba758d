//! What the programs are measured against, and what brings them one packet after the other. No part
//! of what is shipped.
//!
//! ```text
//! bench_walk        makes the packet one of another peer and port, then calls what is measured
//! bench_empty       does nothing: what is left when nothing is measured
//! bench_yardstick   one look-up in a hash, by a key of 16 bytes that is the packet's own
//! bench_absent      two of keys that are not there, in hashes as large as those of connections
//! bench_open        the same, and the key is put into the second
//! ```
#![no_std]
#![no_main]

use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST, TC_ACT_UNSPEC};
use aya_ebpf::macros::{classifier, map};
use aya_ebpf::maps::{Array, HashMap, ProgramArray};
use aya_ebpf::programs::TcContext;

/// How the packets of a walk follow one another; `netpol-bench` writes it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Walk {
    /// Where the address and the ports are: [`OFFSETS`].
    shape: u32,
    /// Peers, and the first one's address.
    peers: u32,
    first: u32,
    /// Source port << 16 | destination port of the next packet, and what is added for the one
    /// after.
    ports: u32,
    step: u32,
    /// Of the random order.
    seed: u32,
}

#[map]
static BENCH_WALK: Array<Walk> = Array::with_max_entries(1, 0);
#[map]
static BENCH_NEXT: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static BENCH_KEYS: HashMap<[u32; 4], u32> = HashMap::with_max_entries(131_072, BPF_F_NO_PREALLOC);

#[map]
static BENCH_REPLIED: HashMap<[u32; 4], [u32; 4]> = HashMap::with_max_entries(131_072, 0);
#[map]
static BENCH_NEW: HashMap<[u32; 4], [u32; 4]> = HashMap::with_max_entries(32_768, 0);

/// Offsets of the peer's address (of IPv6 its last word) and of the ports.
const FROM_PEER_V4: (usize, usize) = (26, 34);
const TO_PEER_V4: (usize, usize) = (30, 34);
const FROM_PEER_V6: (usize, usize) = (34, 54);
const TO_PEER_V6: (usize, usize) = (50, 54);

/// Writes address and ports over those of the packet.
#[inline(always)]
fn write(context: &TcContext, (address, ports): (usize, usize), values: (u32, u32)) -> bool {
    let (start, end) = (context.data(), context.data_end());
    if start + ports + 4 > end {
        return false;
    }
    // SAFETY: both words are in the packet; the machine stores words at any address, and the
    // verifier would not let it pass where it does not.
    unsafe {
        ((start + address) as *mut u32).write_volatile(values.0.to_be());
        ((start + ports) as *mut u32).write_volatile(values.1.to_be());
    }
    true
}

#[classifier]
fn bench_walk(context: TcContext) -> i32 {
    let Some(walk) = BENCH_WALK.get_ptr_mut(0) else {
        return TC_ACT_UNSPEC;
    };
    // SAFETY: the element is there as long as the map is, and one test runs at a time.
    let walk = unsafe { &mut *walk };
    // Each number once, in an order that no prefetcher follows (Numerical Recipes' constants).
    walk.seed = walk
        .seed
        .wrapping_mul(1_664_525)
        .wrapping_add(1_013_904_223);
    let peer = (u64::from(walk.seed) * u64::from(walk.peers)) >> 32;
    let values = (walk.first.wrapping_add(peer as u32), walk.ports);
    walk.ports = walk.ports.wrapping_add(walk.step);
    let written = match walk.shape {
        0 => write(&context, FROM_PEER_V4, values),
        1 => write(&context, TO_PEER_V4, values),
        2 => write(&context, FROM_PEER_V6, values),
        _ => write(&context, TO_PEER_V6, values),
    };
    if written {
        // It comes back only where there is nothing to call, and then the return value says so.
        // SAFETY: a program may call any of its kind.
        let _ = unsafe { BENCH_NEXT.tail_call(&context, 0) };
    }
    0
}

#[classifier]
fn bench_empty(_context: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

#[classifier]
fn bench_yardstick(context: TcContext) -> i32 {
    let Some(key) = key(&context, FROM_PEER_V4) else {
        return 0;
    };
    // SAFETY: an element lives at least as long as this run of the program (RCU).
    match unsafe { BENCH_KEYS.get(&key) } {
        Some(_) => TC_ACT_UNSPEC,
        None => 0,
    }
}

#[classifier]
fn bench_absent(context: TcContext) -> i32 {
    match absent(&context) {
        Some(_) => TC_ACT_UNSPEC,
        None => 0,
    }
}

#[classifier]
fn bench_open(context: TcContext) -> i32 {
    let Some(key) = absent(&context) else {
        return 0;
    };
    match BENCH_NEW.insert(&key, &key, BPF_NOEXIST.into()) {
        Ok(()) => TC_ACT_UNSPEC,
        Err(_) => 0,
    }
}

/// The packet's key, if it is in neither map.
#[inline(always)]
fn absent(context: &TcContext) -> Option<[u32; 4]> {
    let walk = BENCH_WALK.get(0)?;
    let key = match walk.shape {
        0 => key(context, FROM_PEER_V4),
        1 => key(context, TO_PEER_V4),
        2 => key(context, FROM_PEER_V6),
        _ => key(context, TO_PEER_V6),
    }?;
    // SAFETY: as in `bench_yardstick`.
    let there = unsafe { BENCH_REPLIED.get(&key).is_some() || BENCH_NEW.get(&key).is_some() };
    (!there).then_some(key)
}

/// The key of a packet's connection.
#[inline(always)]
fn key(context: &TcContext, (address, ports): (usize, usize)) -> Option<[u32; 4]> {
    let (start, end) = (context.data(), context.data_end());
    if start + ports + 4 > end {
        return None;
    }
    // SAFETY: as in `write`.
    let (address, ports) = unsafe {
        (
            ((start + address) as *const u32).read_volatile(),
            ((start + ports) as *const u32).read_volatile(),
        )
    };
    Some([1, address, ports, 6])
}

/// The ring buffer's licence is not needed here, but the kernel is told the same.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 7] = *b"GPL v2\0";

/// Never reached: a path to a panic would not pass the verifier.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
