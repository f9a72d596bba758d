//! Answers to refused packets.

/// Places of the `answer_limit` map; a power of two.
pub const PLACES: u32 = 4096;

/// Where the bucket of an endpoint is. Interface indices are given out one after the other, so two
/// endpoints share a bucket only where thousands of interfaces came and went between them.
#[must_use]
#[inline(always)]
pub const fn place(ifindex: u32) -> u32 {
    ifindex & (PLACES - 1)
}

/// The mark (`skb->mark`) of an answer between the program that makes it, on the way to the pod,
/// and the one that lets it pass, on the way from the pod. The kernel takes every mark off a packet
/// that comes out of another network namespace, so no pod can send one. No bit of it is one of
/// kube-proxy's (`0x4000`, `0x8000`), although it is gone before those are asked for.
pub const MARK: u32 = 0x6e05_1a2e;
const _: () = assert!(MARK & 0xc000 == 0);
