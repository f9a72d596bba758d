//! The `endpoint` maps: host interface index -> what is known of the pod behind it.
//!
//! ```text
//! endpoint_cache    interface index -> Slot       array, by its low bits; one word, read at once
//! endpoint          interface index -> Slot       hash: all of them
//! endpoint_entries  slot            -> Endpoint   array, never written while a slot is in use
//! ```
//! An array is looked into without a call, a hash is not, and every packet asks for its endpoint. So those endpoints
//! that have a place to themselves by the low bits of their index, nearly always all, are in the cache too.
//!
//! One update of the first map switches an endpoint to new policy sets in both directions. The
//! entry itself is in an array, since an element of a hash may be given to another key while a
//! program still reads it: a packet sees the old entry or the new one, whole. The agent writes a
//! slot again only after every program that may have read it has ended (an RCU grace period).

use bytemuck::{Pod, Zeroable};

use crate::{Direction, assert_words};

/// How many addresses of each family an endpoint can have. The Kubernetes API allows one of each
/// (`PodStatus.podIPs`: "Pods may be allocated at most 1 value for each of IPv4 and IPv6"); the
/// second place holds what other sources add.
pub const ADDRESSES: usize = 2;

/// Where the entry of an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Slot {
    /// Index into the entries.
    pub slot: u32,
    /// The interface it is for: the key again, to recognise an element that was given away.
    pub ifindex: u32,
}
assert_words!(Slot, 2);

/// Places of the `endpoint_cache` map. Interfaces are numbered one after the other, so that two share
/// a place only where one is this much younger than the other.
pub const CACHE_PLACES: u32 = 16_384;

/// The place of an interface in the `endpoint_cache` map.
#[must_use]
#[inline(always)]
pub const fn cache_place(ifindex: u32) -> u32 {
    ifindex % CACHE_PLACES
}

impl Slot {
    /// As the `endpoint_cache` map has it. Zero is none: no interface has the index zero.
    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u64 {
        (self.ifindex as u64) << 32 | self.slot as u64
    }

    /// What a word of the `endpoint_cache` map says.
    #[must_use]
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self {
            slot: word as u32,
            ifindex: (word >> 32) as u32,
        }
    }
}

/// What applies to an endpoint in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct EndpointDirection {
    /// Bits of [`flags`].
    pub flags: u32,
    /// The policy set that is asked; meaningful when [`flags::ISOLATED`].
    pub set: u32,
    /// The counter of the default deny: names the policies that isolate.
    pub deny_rule: u32,
    /// Another set of the policy map. Ingress: which sources may not send to the pod by their own
    /// egress policies, with [`flags::DENIES`]. Egress: the Services that the pod is an endpoint
    /// of itself, with [`flags::OWN_SERVICES`].
    pub second_set: u32,
}
assert_words!(EndpointDirection, 4);

/// Bits of [`EndpointDirection::flags`].
pub mod flags {
    /// A policy selects the endpoint in this direction: what no rule allows is denied.
    pub const ISOLATED: u32 = 1 << 0;
    /// The set has a term that is a CIDR: ask the prefix map when the exact hash misses.
    pub const CIDR: u32 = 1 << 1;
    /// The set has an entry for [`crate::identity::ANY_POD`].
    pub const ANY_POD: u32 = 1 << 2;
    /// The set has an entry for [`crate::identity::ANYONE`].
    pub const ANYONE: u32 = 1 << 3;
    /// Ingress, isolated or not: the second set denies some sources some ports. Only asked when
    /// nothing else denies.
    pub const DENIES: u32 = 1 << 4;
    /// Egress, isolated or not: the second set has the Services that lead back to the pod.
    pub const OWN_SERVICES: u32 = 1 << 5;
    /// Egress: a Service somewhere has a port on every node.
    pub const NODE_PORTS: u32 = 1 << 6;
    /// Egress: a Service of which not every backend is allowed is not allowed: other nodes may not
    /// know yet whose address the pod's is, and so cannot refuse for it.
    pub const EVERY_BACKEND: u32 = 1 << 7;
    /// What policy refuses is answered (RST, or ICMP), rather than dropped in silence.
    pub const REJECT: u32 = 1 << 8;
}

/// An entry of the `endpoint_entries` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Endpoint {
    /// Rises with every change of what this endpoint may do. A tracked connection of another
    /// generation is judged again. Never repeats for an interface index, whoever is behind it.
    pub generation: u32,
    /// Traffic to the pod.
    pub ingress: EndpointDirection,
    /// Traffic from the pod.
    pub egress: EndpointDirection,
    /// The pod's IPv4 addresses; unused places are zero.
    pub v4: [u32; ADDRESSES],
    /// The pod's IPv6 addresses; unused places are zero.
    pub v6: [[u32; 4]; ADDRESSES],
    /// Digest of the pod's name and UID, by which a new agent recognises the entry.
    pub pod: [u32; 2],
}
assert_words!(Endpoint, 21);

impl Endpoint {
    /// What applies in `direction`.
    #[must_use]
    #[inline(always)]
    pub const fn direction(&self, direction: Direction) -> &EndpointDirection {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// Whether anything is asked about the endpoint's connections: a policy selects it in some
    /// direction, or one of other pods denies them to send to it.
    #[must_use]
    #[inline(always)]
    pub const fn judged(&self) -> bool {
        (self.ingress.flags | self.egress.flags) & (flags::ISOLATED | flags::DENIES) != 0
    }
}

impl EndpointDirection {
    /// Whether a policy selects the endpoint in this direction.
    #[must_use]
    #[inline(always)]
    pub const fn isolated(&self) -> bool {
        self.flags & flags::ISOLATED != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{CACHE_PLACES, Slot, cache_place};

    #[test]
    fn a_slot_is_the_same_after_it_was_a_word() {
        let slot = Slot {
            slot: 7,
            ifindex: u32::MAX,
        };
        assert_eq!(Slot::from_word(slot.word()), slot);
    }

    #[test]
    fn no_interface_is_what_an_empty_place_says() {
        assert_eq!(Slot::from_word(0).ifindex, 0);
    }

    #[test]
    fn interfaces_share_a_place_only_a_whole_cache_apart() {
        assert_eq!(cache_place(5), cache_place(5 + CACHE_PLACES));
        assert_ne!(cache_place(5), cache_place(5 + CACHE_PLACES - 1));
    }
}
