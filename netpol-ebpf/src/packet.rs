//! The packet by direct access: bounds-checked loads from the linear part of the socket buffer.

use core::arch::asm;
use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_skb_load_bytes;
use aya_ebpf::programs::TcContext;
use aya_ebpf::programs::sk_buff::SkBuff;
use netpol_common::Direction;
use netpol_common::conntrack::{Key4, Key6};
use netpol_datapath::{Connections, Decision, Hook, Packet, Stages, Tables};

use crate::apart;

/// The headers that are read, at their longest: Ethernet, IPv4 with all its options, TCP.
const HEADERS: u32 = 14 + 60 + 20;

/// A socket buffer whose headers are in its linear part, as far as the packet has them.
pub(crate) struct Frame {
    skb: SkBuff,
}

impl Frame {
    /// Takes the packet of a program.
    #[inline(always)]
    pub(crate) fn new(context: TcContext) -> Self {
        let frame = Self { skb: context.skb };
        frame.pull(HEADERS);
        frame
    }

    /// The packet of a program that has taken it by [`Frame::new`].
    #[inline(always)]
    pub(crate) const fn pulled(context: *mut __sk_buff) -> Self {
        Self {
            skb: SkBuff { skb: context },
        }
    }

    /// Moves the first bytes into the linear part, unless they are there.
    #[inline(always)]
    fn pull(&self, bytes: u32) {
        let wanted = self.skb.len().min(bytes);
        let (start, end) = self.bounds();
        if start + wanted as usize > end {
            // Received in pages (large packets of some drivers). Should it fail, the loads do.
            let _ = self.skb.pull_data(wanted);
        }
    }

    /// Where the linear part starts and ends.
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        // SAFETY: the kernel passes a valid context, and the verifier rewrites the access.
        unsafe {
            (
                (*self.skb.skb).data as usize,
                (*self.skb.skb).data_end as usize,
            )
        }
    }

    /// The interface on whose hook the program runs.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        // SAFETY: as in `bounds`.
        unsafe { (*self.skb.skb).ifindex }
    }
}

impl Frame {
    /// The program's context, for the helpers that change the packet.
    #[inline(always)]
    pub(crate) fn skb(&self) -> *mut __sk_buff {
        self.skb.skb
    }

    /// Takes the packet's mark off.
    #[inline(always)]
    pub(crate) fn clear_mark(&self) {
        // SAFETY: as in `bounds`; a program may write the mark.
        unsafe { (*self.skb.skb).mark = 0 };
    }
}

impl Stages for Frame {
    #[inline(always)]
    fn verdict_v4<T: Tables + Connections<Key4>>(&self, _: &T, hook: Hook) -> u64 {
        match hook.direction {
            Direction::Egress => apart::netpol_from_v4(self.skb(), hook.slot),
            Direction::Ingress => apart::netpol_to_v4(self.skb(), hook.slot),
        }
    }

    #[inline(always)]
    fn verdict_v6<T: Tables + Connections<Key6>>(&self, _: &T, hook: Hook) -> u64 {
        match hook.direction {
            Direction::Egress => apart::netpol_from_v6(self.skb(), hook.slot),
            Direction::Ingress => apart::netpol_to_v6(self.skb(), hook.slot),
        }
    }

    #[inline(always)]
    fn verdict_other<T: Tables>(&self, _: &T, hook: Hook) -> u64 {
        match hook.direction {
            Direction::Egress => apart::netpol_from_other(self.skb(), hook.slot),
            Direction::Ingress => apart::netpol_to_other(self.skb(), hook.slot),
        }
    }

    #[inline(always)]
    fn quote_v4<T: Tables + Connections<Key4>>(&self, _: &T, hook: Hook) -> u64 {
        match hook.direction {
            Direction::Egress => apart::netpol_quote_from_v4(self.skb(), hook.slot),
            Direction::Ingress => apart::netpol_quote_to_v4(self.skb(), hook.slot),
        }
    }

    #[inline(always)]
    fn quote_v6<T: Tables + Connections<Key6>>(&self, _: &T, hook: Hook) -> u64 {
        match hook.direction {
            Direction::Egress => apart::netpol_quote_from_v6(self.skb(), hook.slot),
            Direction::Ingress => apart::netpol_quote_to_v6(self.skb(), hook.slot),
        }
    }

    #[inline(always)]
    fn conclude<T: Tables>(&self, _: &T, hook: Hook, verdict: u64) -> Decision {
        Decision::from_word(match hook.direction {
            Direction::Egress => apart::netpol_conclude_from(self.skb(), verdict),
            Direction::Ingress => apart::netpol_conclude_to(self.skb(), verdict),
        })
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let (start, end) = self.bounds();
        let first = start + offset;
        if first + N * 4 > end {
            return None;
        }
        // SAFETY: the check above covers all N words.
        Some(core::array::from_fn(|word| unsafe {
            load_word(first + word * 4)
        }))
    }

    #[inline(always)]
    fn copy<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let mut words = MaybeUninit::<[u32; N]>::uninit();
        // SAFETY: the context is valid, and the helper writes no more than the size of `words`.
        let copied = unsafe {
            bpf_skb_load_bytes(
                self.skb.skb.cast(),
                offset as u32,
                words.as_mut_ptr().cast(),
                (N * 4) as u32,
            )
        };
        // SAFETY: the helper fills all of it, with zeros when it fails; every bit pattern is words.
        (copied == 0).then(|| unsafe { words.assume_init() })
    }

    #[inline(always)]
    fn reach(&self, bytes: usize) {
        self.pull(bytes as u32);
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        self.skb.len()
    }

    #[inline(always)]
    fn has_local_socket(&self) -> bool {
        // A packet that came in through an interface has its index. Over a bridge it may still
        // have its sender's socket too, one of another network namespace.
        // SAFETY: as in `bounds`; the socket is only compared with null.
        let (socket, came_in) = unsafe {
            let skb = self.skb.skb;
            ((*skb).__bindgen_anon_2.sk, (*skb).ingress_ifindex)
        };
        !socket.is_null() && came_in == 0
    }

    #[inline(always)]
    fn has_tag(&self) -> bool {
        // SAFETY: as in `bounds`.
        (unsafe { (*self.skb.skb).vlan_present }) != 0
    }

    #[inline(always)]
    fn mark(&self) -> u32 {
        // SAFETY: as in `bounds`.
        unsafe { (*self.skb.skb).mark }
    }
}

/// Loads a word of the packet.
///
/// By assembly, since an IP header in a frame is aligned to two bytes: the compiler would load
/// each byte by itself, ten instructions a word, where the kernel allows one.
///
/// # Safety
///
/// Four bytes at `address` must be inside the packet, checked against its end.
#[inline(always)]
unsafe fn load_word(address: usize) -> u32 {
    let word: u64;
    // SAFETY: the caller has checked the bounds, and the verifier checks the caller.
    unsafe {
        asm!(
            "{word} = *(u32 *)({address} + 0)",
            word = lateout(reg) word,
            address = in(reg) address,
            options(pure, readonly, nostack),
        );
    }
    word as u32
}
