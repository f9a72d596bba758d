//! The TC programs: netpol-datapath on the kernel's packets and maps.
//!
//! ```text
//! tc_from_endpoint   ingress of a pod's host interface: what the pod sends
//! tc_to_endpoint     egress of a pod's host interface: what the pod receives
//! tc_clock           attached nowhere: the agent runs it to read the clock of the conntrack maps
//! ```
#![no_std]
#![no_main]
// Packet words are loaded by assembly (packet.rs).
#![feature(asm_experimental_arch)]

mod apart;
#[cfg(feature = "log")]
mod log;
mod maps;
mod packet;
mod reject;
mod tables;

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use netpol_common::Direction;
use netpol_datapath::{Decision, from_endpoint, to_endpoint};

use crate::packet::Frame;
use crate::tables::KernelMaps;

/// Packets from a pod.
#[classifier]
fn tc_from_endpoint(context: TcContext) -> i32 {
    let frame = Frame::new(context);
    let decision = from_endpoint(frame.ifindex(), &frame, &KernelMaps);
    verdict(decision, &frame, Direction::Egress)
}

/// Packets to a pod.
#[classifier]
fn tc_to_endpoint(context: TcContext) -> i32 {
    let frame = Frame::new(context);
    let decision = to_endpoint(frame.ifindex(), &frame, &KernelMaps);
    verdict(decision, &frame, Direction::Ingress)
}

/// The low half of `jiffies`, for the agent.
#[classifier]
fn tc_clock(_context: TcContext) -> i32 {
    // SAFETY: the helper has no arguments and only reads the clock.
    (unsafe { bpf_jiffies64() }) as i32
}

/// `TC_ACT_UNSPEC` is also `TCX_NEXT`: the next program on the hook decides.
#[inline(always)]
fn verdict(decision: Decision, frame: &Frame, direction: Direction) -> i32 {
    match decision {
        Decision::Next => TC_ACT_UNSPEC,
        Decision::Drop => TC_ACT_SHOT,
        Decision::Reject => reject::reject(frame, direction),
        Decision::Answer => {
            frame.clear_mark();
            TC_ACT_UNSPEC
        }
    }
}

/// Which of the crate's two licences holds in the kernel: some helpers (the ring buffer's) are for
/// GPL-compatible programs only, and the kernel knows no string that names Apache-2.0.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 7] = *b"GPL v2\0";

/// Never reached: a path to a panic would not pass the verifier.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
