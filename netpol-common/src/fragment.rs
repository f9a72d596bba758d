//! The `fragments` map: first fragments that passed, whose verdict the later ones take.
//!
//! ```text
//! slot of the endpoint x direction x one of PLACES     an array, so one endpoint's fragments
//!                                                      never take another's places
//! ```
//! An element is written while other CPUs may read it, so it carries a [`seal`](Fragment::seal):
//! what was read half old and half new is not taken for either.

use bytemuck::{Pod, Zeroable};

use crate::{Direction, assert_words};

/// Places of an endpoint in one direction; a power of two. A fragmented packet is on its way for
/// as long as its sender needs to send it, so hardly more at a time than there are processors.
pub const PLACES: u32 = 32;

/// Elements of the map for each slot of an endpoint.
pub const PLACES_PER_SLOT: u32 = 2 * PLACES;

/// Places that a fragment may be at: they differ in the lowest bits.
pub const WAYS: u32 = 2;

/// How long the later fragments may stay behind the first, in seconds. Senders send them in one
/// go; receivers wait longer (Linux 30 s, RFC 8200 60 s), but for what is lost.
pub const SECONDS: u32 = 5;

/// Value of the `fragments` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Fragment {
    /// Host interface index of the endpoint; zero in a place that was never used.
    pub endpoint: u32,
    /// [`selector`] of family, direction, protocol and local address.
    pub selector: u32,
    /// The peer's address; an IPv4 address is in the first word.
    pub remote: [u32; 4],
    /// Identification, as in the header's (16 bits) or extension header's field.
    pub id: u32,
    /// The endpoint's generation when the first fragment was judged.
    pub generation: u32,
    /// What it passed under: the counter of a rule, or another that allows.
    pub rule: u32,
    /// Where the first fragment ends, in bytes of the whole: nothing later may begin before.
    pub end: u32,
    /// Kernel ticks (low half of `jiffies`) of the first fragment.
    pub ticks: u32,
    /// A digest of all the others.
    pub seal: u32,
}
assert_words!(Fragment, 12);

/// Which packets an identification is for, apart from the peer's address. `version` is 4 or 6.
///
/// RFC 791: fragments belong together that agree in "identification, source, destination, and
/// protocol"; RFC 8200, 4.5: in "Source Address, Destination Address, and Fragment
/// Identification", so for IPv6 the protocol is zero.
#[must_use]
#[inline(always)]
pub const fn selector(version: u32, direction: Direction, protocol: u8, local_index: u32) -> u32 {
    protocol as u32 | local_index << 8 | (direction as u32) << 16 | version << 24
}

impl Fragment {
    /// Whether two are of one packet.
    #[must_use]
    #[inline(always)]
    pub const fn is_of(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint
            && self.selector == other.selector
            && self.remote[0] == other.remote[0]
            && self.remote[1] == other.remote[1]
            && self.remote[2] == other.remote[2]
            && self.remote[3] == other.remote[3]
            && self.id == other.id
    }

    /// The first of its [`WAYS`] places among those of its endpoint and direction.
    #[must_use]
    #[inline(always)]
    pub const fn place(&self) -> u32 {
        let direction = (self.selector >> 16) & 1;
        let mixed = mix(
            mix(mix(self.selector, self.remote[0]), self.remote[3]),
            self.id,
        );
        direction * PLACES + (mixed >> (32 - PLACES.trailing_zeros())) / WAYS * WAYS
    }

    /// The digest that [`Fragment::seal`] must be.
    #[must_use]
    #[inline(always)]
    pub const fn digest(&self) -> u32 {
        let mut digest = mix(self.endpoint, self.selector);
        digest = mix(digest, self.remote[0]);
        digest = mix(digest, self.remote[1]);
        digest = mix(digest, self.remote[2]);
        digest = mix(digest, self.remote[3]);
        digest = mix(digest, self.id);
        digest = mix(digest, self.generation);
        digest = mix(digest, self.rule);
        digest = mix(digest, self.end);
        mix(digest, self.ticks)
    }
}

/// Takes a word into a digest. Knuth's multiplicative hash: the high bits are the mixed ones.
#[inline(always)]
const fn mix(digest: u32, word: u32) -> u32 {
    (digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b1)
}
