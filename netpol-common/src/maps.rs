//! Names of the maps, programs and globals, as the object file and the pins carry them.

use bytemuck::{Pod, Zeroable};

use crate::assert_words;

/// Interface index -> [`crate::endpoint::Slot`].
pub const ENDPOINT: &str = "ENDPOINT";
/// [`crate::endpoint::cache_place`] -> [`crate::endpoint::Slot::word`]; an array that the agent writes in memory.
pub const ENDPOINT_CACHE: &str = "ENDPOINT_CACHE";
/// Slot -> [`crate::endpoint::Endpoint`]; an array.
pub const ENDPOINT_ENTRIES: &str = "ENDPOINT_ENTRIES";
/// [`crate::identity::Address4`] -> identity.
pub const IDENTITY_V4: &str = "IDENTITY_V4";
/// [`crate::identity::Address6`] -> identity.
pub const IDENTITY_V6: &str = "IDENTITY_V6";
/// [`crate::identity::Prefix4`] -> identity.
pub const CIDR_V4: &str = "CIDR_V4";
/// [`crate::identity::Prefix6`] -> identity.
pub const CIDR_V6: &str = "CIDR_V6";
/// [`crate::policy::PolicyKey`] -> [`crate::policy::Grant`].
pub const POLICY: &str = "POLICY";
/// [`crate::policy::PortKey`] -> [`crate::policy::PortVerdict`].
pub const PORTS: &str = "PORTS";
/// Addresses of nodes ([`crate::identity::Address6`], IPv4 ones mapped) -> [`OWN_NODE`] or
/// [`OTHER_NODE`].
pub const NODE: &str = "NODE";
/// [`crate::service::ServiceKey`] -> identity.
pub const SERVICE: &str = "SERVICE";
/// Address ([`crate::identity::Address6`], IPv4 ones mapped) of a pod whose egress policies forbid
/// it something on this node -> the identity under which the second sets know it.
pub const SOURCE: &str = "SOURCE";
/// Place -> [`crate::note::Note`]; written by the programs alone.
pub const NOTES: &str = "NOTES";
/// Place -> [`crate::fragment::Fragment`]; an array, written by the programs alone.
pub const FRAGMENTS: &str = "FRAGMENTS";
/// [`crate::conntrack::Key4`] -> [`crate::conntrack::Connection`], replied.
pub const CONNTRACK_V4: &str = "CONNTRACK_V4";
/// [`crate::conntrack::Key6`] -> [`crate::conntrack::Connection`], replied.
pub const CONNTRACK_V6: &str = "CONNTRACK_V6";
/// [`crate::conntrack::Key4`] -> [`crate::conntrack::Connection`], not replied.
pub const CONNTRACK_NEW_V4: &str = "CONNTRACK_NEW_V4";
/// [`crate::conntrack::Key6`] -> [`crate::conntrack::Connection`], not replied.
pub const CONNTRACK_NEW_V6: &str = "CONNTRACK_NEW_V6";
/// Interface index -> [`crate::held::Held`]; the agent makes the entries, the programs count.
pub const HELD: &str = "HELD";
/// One [`crate::held::Held`]: of all endpoints together.
pub const HELD_TOTAL: &str = "HELD_TOTAL";
/// Interface index -> [`crate::held::Swept`]; written by the agent alone.
pub const SWEPT: &str = "SWEPT";
/// One [`crate::held::Swept`]: of all endpoints together.
pub const SWEPT_TOTAL: &str = "SWEPT_TOTAL";
/// Counter number -> connections that were cut under it, a `u64`; an array that all CPUs share.
pub const CUTS: &str = "CUTS";
/// Counter number -> [`crate::counter::Counter`], per CPU.
pub const COUNTERS: &str = "COUNTERS";
/// Ring buffer of [`crate::event::Event`].
pub const EVENTS: &str = "EVENTS";
/// One [`crate::limit::Bucket`] per CPU.
pub const EVENT_LIMIT: &str = "EVENT_LIMIT";
/// Two words per CPU, of no meaning outside of a program's run.
pub const SCRATCH: &str = "SCRATCH";
/// [`crate::answer::place`] -> [`crate::limit::Bucket`]; written by the programs alone.
pub const ANSWER_LIMIT: &str = "ANSWER_LIMIT";
/// [`Digest`] -> [`Number`]; read and written by the agent alone.
pub const NUMBERS: &str = "NUMBERS";

/// Every map that the programs use.
pub const PROGRAM_MAPS: [&str; 28] = [
    ENDPOINT,
    ENDPOINT_CACHE,
    ENDPOINT_ENTRIES,
    IDENTITY_V4,
    IDENTITY_V6,
    CIDR_V4,
    CIDR_V6,
    POLICY,
    PORTS,
    NODE,
    SERVICE,
    SOURCE,
    NOTES,
    FRAGMENTS,
    CONNTRACK_V4,
    CONNTRACK_V6,
    CONNTRACK_NEW_V4,
    CONNTRACK_NEW_V6,
    HELD,
    HELD_TOTAL,
    SWEPT,
    SWEPT_TOTAL,
    CUTS,
    COUNTERS,
    EVENTS,
    EVENT_LIMIT,
    SCRATCH,
    ANSWER_LIMIT,
];

/// Value of [`NODE`]: an address of this node, its interfaces' included.
pub const OWN_NODE: u32 = 1;
/// Value of [`NODE`]: an address of another node's object.
pub const OTHER_NODE: u32 = 2;

/// The program on packets that come from an endpoint (ingress of its host interface).
pub const FROM_ENDPOINT: &str = "tc_from_endpoint";
/// The program on packets that go to an endpoint (egress of its host interface).
pub const TO_ENDPOINT: &str = "tc_to_endpoint";
/// The program that returns the low half of `jiffies`, run by the agent to read that clock.
pub const CLOCK: &str = "tc_clock";

/// Global: idle time-outs in kernel ticks, by [`crate::conntrack::Timeout`].
pub const TIMEOUTS: &str = "TIMEOUTS";
/// Global: kernel ticks a second.
pub const TICKS_PER_SECOND: &str = "TICKS_PER_SECOND";
/// Global: how many entries each conntrack map holds, by [`crate::held::Place`].
pub const CAPACITIES: &str = "CAPACITIES";
/// Global: new connections that one endpoint may hold in each family, however much is free.
pub const NEW_PER_ENDPOINT: &str = "NEW_PER_ENDPOINT";
/// Global: events a second and CPU that are sent at most.
pub const EVENTS_PER_SECOND: &str = "EVENTS_PER_SECOND";
/// Global: answers to refused packets a second and endpoint that are sent at most.
pub const ANSWERS_PER_SECOND: &str = "ANSWERS_PER_SECOND";

/// Key of the `NUMBERS` map: the first 128 bits of the SHA-256 of what a number stands for
/// (an identity, a policy set, a port table, a rule). A new agent that comes to the same content
/// finds the same number, so that it changes only what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Digest {
    /// The digest's bytes, four at a time.
    pub words: [u32; 4],
}
assert_words!(Digest, 4);

/// Value of the `NUMBERS` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Number {
    /// [`NumberKind`] as a word.
    pub kind: u32,
    /// The number.
    pub number: u32,
}
assert_words!(Number, 2);

/// What a number of the `NUMBERS` map counts. Each kind has its own space of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum NumberKind {
    /// An identity.
    Identity = 1,
    /// A policy set.
    PolicySet = 2,
    /// A port table.
    PortTable = 3,
    /// A rule, or the default deny of a set of policies: a counter number.
    Rule = 4,
    /// No content: the highest generation any endpoint was given, under the digest of zeros.
    Generation = 5,
}

impl NumberKind {
    /// The kind of a word.
    #[must_use]
    pub const fn from_word(word: u32) -> Option<Self> {
        match word {
            1 => Some(Self::Identity),
            2 => Some(Self::PolicySet),
            3 => Some(Self::PortTable),
            4 => Some(Self::Rule),
            5 => Some(Self::Generation),
            _ => None,
        }
    }
}
