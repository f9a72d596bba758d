//! Turning a refused packet into its answer, and sending that.
//!
//! ```text
//! from a pod   the answer goes into the pod's namespace: past every program and filter of the node,
//!              as the pod is all that may hear of it
//! to a pod     the answer comes out of the pod's interface, as if the pod had sent it: past
//!              tc_from_endpoint, which knows it by its mark, to who asked
//! ```

use aya_ebpf::bindings::{__sk_buff, BPF_F_INGRESS, TC_ACT_SHOT};
use aya_ebpf::cty::c_long;
use aya_ebpf::helpers::{
    bpf_redirect, bpf_redirect_peer, bpf_set_hash_invalid, bpf_skb_change_tail,
    bpf_skb_change_type, bpf_skb_store_bytes,
};
use netpol_common::Direction;
use netpol_common::answer::MARK;
use netpol_common::counter::ANSWERS_FAILED;
use netpol_datapath::{Answer, Tables};

use crate::maps;
use crate::packet::Frame;
use crate::tables::KernelMaps;

/// Where the Ethernet payload starts.
const ETHERNET_LENGTH: u32 = 14;

/// `PACKET_HOST` of `linux/if_packet.h`: the frame is for who receives it. What a bridge is to
/// forward is for another, which matters no more once it is in the pod's namespace.
const PACKET_HOST: u32 = 0;

/// Answers a packet; its verdict.
#[inline(always)]
pub(crate) fn reject(frame: &Frame, direction: Direction) -> i32 {
    if !rewrite(frame) {
        // Nowhere is left to say that this one is missing too.
        let _ = KernelMaps.count(ANSWERS_FAILED, 0);
        return TC_ACT_SHOT;
    }
    let skb = frame.skb();
    let interface = frame.ifindex();
    // SAFETY: `skb` is the program's context, and the verifier checks what is done with it.
    unsafe {
        bpf_set_hash_invalid(skb);
        match direction {
            Direction::Egress => {
                if bpf_skb_change_type(skb, PACKET_HOST) != 0 {
                    let _ = KernelMaps.count(ANSWERS_FAILED, 0);
                    return TC_ACT_SHOT;
                }
                bpf_redirect_peer(interface, 0) as i32
            }
            Direction::Ingress => {
                (*skb).mark = MARK;
                bpf_redirect(interface, u64::from(BPF_F_INGRESS)) as i32
            }
        }
    }
}

/// Makes the packet its answer. False when it could not be; the packet may be half of either then.
#[inline(never)]
fn rewrite(frame: &Frame) -> bool {
    let Some(answer) = maps::ANSWER.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: the slot is this CPU's own, and a TC program runs on it to its end. Zeros, as the
    // kernel makes it, are an answer, and nothing but answers is written to it.
    let answer: &mut Answer = unsafe { &mut *answer };
    if !answer.make(frame) {
        return false;
    }
    let skb = frame.skb();
    // The kernel shortens no packet that waits for its checksum to less than holds the checksum,
    // which is how to tell; and all that is needed of the packet is in the answer already.
    let shortened = resize(skb, answer.transport())
        || (answer.unfinished() && resize(skb, answer.checksum_end()));
    if !shortened {
        return false;
    }
    // As long as the longest answer first: 5.10 wants to know how much is stored.
    let (link, ip) = (answer.link(), answer.ip());
    resize(skb, ETHERNET_LENGTH + size_of_val(ip) as u32)
        && store(skb, 0, link.as_ptr(), size_of_val(link) as u32)
        && store(skb, ETHERNET_LENGTH, ip.as_ptr(), size_of_val(ip) as u32)
        && resize(skb, ETHERNET_LENGTH + answer.length())
}

/// Makes the packet shorter or longer. It ends segmentation offload, too, and what the kernel knows
/// of a sum over the whole packet.
#[inline(always)]
fn resize(skb: *mut __sk_buff, length: u32) -> bool {
    // SAFETY: `skb` is the program's context.
    succeeded(unsafe { bpf_skb_change_tail(skb, length, 0) })
}

#[inline(always)]
fn store(skb: *mut __sk_buff, offset: u32, words: *const u32, length: u32) -> bool {
    // SAFETY: `skb` is the program's context; `words` is the start of an array with as many bytes,
    // which the verifier checks.
    succeeded(unsafe { bpf_skb_store_bytes(skb, offset, words.cast(), length, 0) })
}

#[inline(always)]
const fn succeeded(result: c_long) -> bool {
    result == 0
}
