//! Functions that the kernel's verifier looks at once, by themselves.
//!
//! A function that is only called is walked again for every state in which a program may call it;
//! with a few such calls behind one another the walk passes the million instructions that the
//! kernel allows. A *global* function is walked once for all: its arguments are any numbers, and so is
//! its result. Linux 5.10 lets it take numbers and the program's context, no other pointers. So
//! each finds the endpoint's entry again by its slot, an index of an array.
//!
//! Each is there once for each direction: what differs between the two is then decided by the
//! compiler, and a program has nothing of the other's.

use aya_ebpf::bindings::__sk_buff;
use netpol_common::Direction;
use netpol_datapath::{
    Hook, conclude, judge_v4, judge_v6, quote_v4, quote_v6, verdict_other, verdict_v4, verdict_v6,
};

use crate::packet::Frame;
use crate::tables::KernelMaps;

/// A hook's functions.
macro_rules! stages {
    ($direction:expr, $v4:ident, $v6:ident, $other:ident, $quote_v4:ident, $quote_v6:ident, $conclude:ident) => {
        /// The verdict on an IPv4 packet.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $v4(context: *mut __sk_buff, slot: u32) -> u64 {
            let frame = Frame::pulled(context);
            verdict_v4(&frame, &KernelMaps, hook(&frame, $direction, slot))
        }

        /// The verdict on an IPv6 packet.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $v6(context: *mut __sk_buff, slot: u32) -> u64 {
            let frame = Frame::pulled(context);
            verdict_v6(&frame, &KernelMaps, hook(&frame, $direction, slot))
        }

        /// The verdict on what is no IP packet.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $other(context: *mut __sk_buff, slot: u32) -> u64 {
            let frame = Frame::pulled(context);
            verdict_other(&frame, &KernelMaps, hook(&frame, $direction, slot))
        }

        /// The verdict on an ICMP error.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $quote_v4(context: *mut __sk_buff, slot: u32) -> u64 {
            let frame = Frame::pulled(context);
            quote_v4(&frame, &KernelMaps, hook(&frame, $direction, slot))
        }

        /// The verdict on an ICMPv6 error.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $quote_v6(context: *mut __sk_buff, slot: u32) -> u64 {
            let frame = Frame::pulled(context);
            quote_v6(&frame, &KernelMaps, hook(&frame, $direction, slot))
        }

        /// What becomes of a packet after its verdict.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $conclude(context: *mut __sk_buff, verdict: u64) -> u64 {
            let frame = Frame::pulled(context);
            let hook = hook(&frame, $direction, Hook::NO_SLOT);
            conclude(&frame, &KernelMaps, hook, verdict) as u64
        }
    };
}

stages!(
    Direction::Egress,
    netpol_from_v4,
    netpol_from_v6,
    netpol_from_other,
    netpol_quote_from_v4,
    netpol_quote_from_v6,
    netpol_conclude_from
);
stages!(
    Direction::Ingress,
    netpol_to_v4,
    netpol_to_v6,
    netpol_to_other,
    netpol_quote_to_v4,
    netpol_quote_to_v6,
    netpol_conclude_to
);

#[inline(always)]
fn hook(frame: &Frame, direction: Direction, slot: u32) -> Hook {
    Hook {
        direction,
        ifindex: frame.ifindex(),
        slot,
    }
}

/// Judges a connection to or from an IPv4 peer.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn netpol_judge_v4(slot: u32, remote: u32, opening: u32) -> u64 {
    judge_v4(&KernelMaps, slot, remote, opening)
}

/// Judges a connection to or from an IPv6 peer, whose address comes in halves.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn netpol_judge_v6(slot: u32, first: u64, last: u64, opening: u32) -> u64 {
    let remote = [
        first as u32,
        (first >> 32) as u32,
        last as u32,
        (last >> 32) as u32,
    ];
    judge_v6(&KernelMaps, slot, remote, opening)
}
