//! The `notes` map: packets that a pod has sent to a Service of its own, and that may come back to
//! it from an address of the node.
//!
//! kube-proxy masquerades a packet that it sends back to its sender. What NAT leaves alone is the
//! packet's [`Note::mark`]. The place of a note is a hash of all that it says, so that a note takes
//! the place of an older one rather than being refused.

use bytemuck::{Pod, Zeroable};

use crate::assert_words;

/// Places for notes; a power of two.
pub const PLACES: u32 = 4096;

/// How long a note is good for, in seconds: the way through one node's routing takes microseconds.
pub const SECONDS: u32 = 1;

/// Value of the `notes` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Note {
    /// Host interface index of the endpoint that sent the packet.
    pub endpoint: u32,
    /// IP version << 8 | protocol.
    pub protocol: u32,
    /// What of the packet NAT leaves alone. TCP: the sequence number of the SYN, and zero. UDP:
    /// its length mixed with the first word of its data, and the second one. SCTP: the first two
    /// words of its first chunk, an INIT's initiate tag among them.
    pub mark: [u32; 2],
    /// Kernel ticks (low half of `jiffies`) when the packet went out.
    pub ticks: u32,
}
assert_words!(Note, 5);

impl Note {
    /// Whether two notes are of one packet, whenever it was seen.
    #[must_use]
    #[inline(always)]
    pub const fn is_of(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint
            && self.protocol == other.protocol
            && self.mark[0] == other.mark[0]
            && self.mark[1] == other.mark[1]
    }

    /// Where the note of a packet is kept.
    #[must_use]
    #[inline(always)]
    pub const fn place(&self) -> u32 {
        // Knuth's multiplicative hash: the high bits are the mixed ones.
        let mixed = self.mark[0] ^ self.mark[1].rotate_left(7);
        let mixed = mixed ^ self.endpoint.rotate_left(16) ^ self.protocol;
        mixed.wrapping_mul(0x9e37_79b1) >> (32 - PLACES.trailing_zeros())
    }
}
