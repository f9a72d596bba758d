//! The `policy` and `ports` maps: what a policy set grants to an identity.
//!
//! ```text
//! (set, identity)            -> Grant   everything it grants there, wildcards included
//! (set, ANY_POD), (set, ANYONE)         asked, in this order, when the identity has no entry
//! (port table, port key)     -> PortVerdict
//! ```
//! The same map holds the second sets of endpoints ([`crate::endpoint::EndpointDirection`]):
//! ```text
//! (denies, source)           -> Grant   the ports (all without a table) that are denied, and by
//!                                       which rule: the only entries that do not allow
//! (own Services, frontend)   -> Grant   the pod is among the frontend's backends; with a rule,
//!                                       that is enough to allow it
//! ```
//! An identity's own entry is complete: it contains what the wildcards grant. So at most three
//! look-ups here, then at most [`PORT_LEVELS`] there, whatever the number of rules.

use bytemuck::{Pod, Zeroable};

use crate::assert_words;

/// Key of the `policy` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct PolicyKey {
    /// Policy set.
    pub set: u32,
    /// Identity of the peer, or a wildcard.
    pub identity: u32,
}
assert_words!(PolicyKey, 2);

/// Value of the `policy` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Grant {
    /// The rule that allows everything, every protocol and port; zero when none does.
    pub rule: u32,
    /// The port table to ask when no rule allows everything; zero when there is none.
    pub table: u32,
    /// Which levels the port table uses: bit `n` for `PORT_LEVELS[n]`. The others are not asked.
    /// Of a Service: [`PARTIAL`] or nothing.
    pub levels: u32,
}
assert_words!(Grant, 3);

/// Bit of [`Grant::levels`]: some of a Service's backends are allowed, not all. The nodes of the
/// others refuse.
pub const PARTIAL: u32 = 1 << 31;

/// Prefix lengths, in bits of a port number, at which port tables have entries; a range is
/// written as the prefixes that cover it. Asked from the most to the least specific.
pub const PORT_LEVELS: [u32; 5] = [16, 12, 8, 4, 0];

/// Key of the `ports` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct PortKey {
    /// Port table.
    pub table: u32,
    /// Protocol, prefix length and port, packed by [`PortKey::new`].
    pub port: u32,
}
assert_words!(PortKey, 2);

impl PortKey {
    /// The key of `port`'s prefix of `length` bits (one of [`PORT_LEVELS`]).
    #[must_use]
    #[inline(always)]
    pub const fn new(table: u32, protocol: u8, length: u32, port: u16) -> Self {
        let prefix = (port as u32) & (0xffff_0000_u32 >> length);
        Self {
            table,
            port: (protocol as u32) << 24 | length << 16 | (prefix & 0xffff),
        }
    }

    /// Protocol, prefix length and first port of the key.
    #[must_use]
    pub const fn parts(self) -> (u8, u32, u16) {
        (
            (self.port >> 24) as u8,
            (self.port >> 16) & 0xff,
            self.port as u16,
        )
    }
}

/// Value of the `ports` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct PortVerdict {
    /// [`ALLOW`]; any other number denies.
    pub verdict: u32,
    /// The rule it is attributed to.
    pub rule: u32,
}
assert_words!(PortVerdict, 2);

/// [`PortVerdict::verdict`] of a rule that allows.
pub const ALLOW: u32 = 1;
