//! The `counters` map: counter number -> packets and bytes, an array per CPU.
//!
//! A verdict is counted under one number: the rule that allowed, the default deny that denied, or
//! one of the numbers below [`FIRST_RULE`] that every node has.

use bytemuck::{Pod, Zeroable};

/// Value of the `counters` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes, the link-layer header included.
    pub bytes: u64,
}
const _: () = assert!(size_of::<Counter>() == 16);

/// The first counter number that belongs to a rule; those below are fixed.
pub const FIRST_RULE: u32 = 64;

/// Why a packet was dropped, other than by a policy's default deny. The number is its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum DropReason {
    /// The packet ends before its headers do, or before its IP header says.
    Truncated = 1,
    /// Neither IPv4, IPv6 nor ARP.
    UnknownEtherType = 2,
    /// A header whose version or length fields contradict themselves.
    MalformedHeader = 3,
    /// A fragment that no honest sender makes: too small to hold the transport header, overlapping
    /// the first one, or beyond the largest packet.
    Fragment = 4,
    /// An IPv6 extension header that is not followed, or more of them than are.
    ExtensionHeader = 5,
    /// From a pod, with a source address that is not the pod's.
    Spoofed = 6,
    /// To a pod's interface, with a destination address that is not the pod's.
    NotForEndpoint = 7,
    /// The connection is allowed, but the table of new connections is full.
    ConntrackFull = 8,
    /// The policies of the endpoint do not fit the maps: it is closed until they do.
    PolicyTooLarge = 9,
    /// A map entry that another one refers to is missing. A bug, never passed.
    Inconsistent = 10,
    /// The interface has our program, but no entry.
    UnknownEndpoint = 11,
    /// The pod has more addresses of one family than an endpoint can have: it is closed.
    TooManyAddresses = 12,
    /// A later fragment, and none that passed a moment ago was its first one.
    FirstFragmentNotSeen = 13,
    /// The packet names further stops, so its destination address is not the last one.
    SourceRoute = 14,
    /// A frame with a VLAN tag: it is of another network than the pod's.
    VlanTag = 15,
    /// An ICMP error about a packet of no tracked connection.
    QuoteUnknown = 17,
    /// An ICMP error whose quote is too short, or no packet that has ports.
    QuoteMalformed = 18,
    /// An ICMP redirect.
    IcmpRedirect = 19,
    /// The connection is allowed, but the endpoint holds its share of the table of new
    /// connections: other endpoints' still find room.
    EndpointShare = 21,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 19] = [
        Self::Truncated,
        Self::UnknownEtherType,
        Self::MalformedHeader,
        Self::Fragment,
        Self::ExtensionHeader,
        Self::Spoofed,
        Self::NotForEndpoint,
        Self::ConntrackFull,
        Self::PolicyTooLarge,
        Self::Inconsistent,
        Self::UnknownEndpoint,
        Self::TooManyAddresses,
        Self::FirstFragmentNotSeen,
        Self::SourceRoute,
        Self::VlanTag,
        Self::QuoteUnknown,
        Self::QuoteMalformed,
        Self::IcmpRedirect,
        Self::EndpointShare,
    ];

    /// The reason of a counter number.
    #[must_use]
    pub fn from_counter(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.counter() == number)
    }

    /// The counter of the reason.
    #[must_use]
    #[inline(always)]
    pub const fn counter(self) -> u32 {
        self as u32
    }

    /// The reason in words, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Truncated => "truncated packet",
            Self::UnknownEtherType => "neither IPv4, IPv6 nor ARP",
            Self::MalformedHeader => "malformed header",
            Self::Fragment => "malformed fragment",
            Self::ExtensionHeader => "IPv6 extension header that is not followed",
            Self::Spoofed => "spoofed source address",
            Self::NotForEndpoint => "not addressed to the pod",
            Self::ConntrackFull => "connection table full",
            Self::PolicyTooLarge => "policies of the pod do not fit the maps",
            Self::Inconsistent => "inconsistent maps",
            Self::UnknownEndpoint => "no entry for this interface",
            Self::TooManyAddresses => "the pod has more than two addresses of one family",
            Self::FirstFragmentNotSeen => "fragment whose first one was not seen",
            Self::SourceRoute => "source route",
            Self::VlanTag => "VLAN tag",
            Self::QuoteUnknown => "ICMP error about no connection of the pod",
            Self::QuoteMalformed => "ICMP error whose quote cannot be followed",
            Self::IcmpRedirect => "ICMP redirect",
            Self::EndpointShare => "the pod's share of the connection table is used up",
        }
    }
}

/// Allowed: no policy isolates the endpoint in this direction (but one does in the other).
pub const NOT_ISOLATED: u32 = 32;
/// Allowed: the pod's own node, from a local socket.
pub const FROM_NODE: u32 = 33;
/// Allowed: the pod itself, by its address or by a Service that leads back to it.
pub const SELF: u32 = 34;
/// Allowed: neighbour discovery and ARP of an isolated endpoint.
pub const NEIGHBOUR: u32 = 35;
/// Allowed: netpol's own answer to a packet that it refused, on its way to who sent that.
pub const ANSWER: u32 = 40;

/// Not a verdict: events that did not fit the ring buffer.
pub const EVENTS_LOST: u32 = 48;
/// Not a verdict: events held back by the rate limit.
pub const EVENTS_LIMITED: u32 = 49;
/// Not a verdict: replied connections that stay among the new ones, their own table being full.
pub const CONNTRACK_NOT_PROMOTED: u32 = 50;
/// Not a verdict: verdicts whose own counter is beyond the map.
pub const COUNTS_LOST: u32 = 51;
/// Not a verdict: refused packets that were dropped without an answer, by the rate limit.
pub const ANSWERS_LIMITED: u32 = 56;
/// Not a verdict: refused packets that were to be answered, and of which the kernel would not make
/// an answer.
pub const ANSWERS_FAILED: u32 = 57;
