//! Identities: node-local numbers for classes of addresses that satisfy the same used terms.
//!
//! ```text
//! identity_v4, identity_v6   address -> identity    exact hash
//! cidr_v4, cidr_v6           prefix  -> identity    longest prefix match, asked on a miss only
//! ```

use bytemuck::{Pod, Zeroable};

use crate::assert_words;

/// No term in use matches the address. Also the policy map's key for "anyone": what a policy set
/// grants to every address.
pub const ANYONE: u32 = 0;

/// Bit of an identity whose addresses satisfy the term "any pod".
pub const POD: u32 = 1 << 31;

/// The policy map's key for "any pod": what a policy set grants to every identity with [`POD`]
/// that has no entry of its own there. No address carries this number.
pub const ANY_POD: u32 = POD;

/// Bit of an identity that stands for a Service's address and port. What a policy set grants there
/// is what it grants to the backends, so no wildcard speaks for it, but one: an entry for
/// [`ANYONE`] whose rule allows everything.
pub const SERVICE: u32 = 1 << 30;

/// The identity of a Service's address and port that no set grants anything to.
pub const NOWHERE: u32 = SERVICE;

/// The number of an identity, without what its bits say.
#[must_use]
pub const fn number(identity: u32) -> u32 {
    identity & !(POD | SERVICE)
}

/// Key of the `identity_v6` map and of the exact hashes over IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Address6 {
    /// The address ([`crate::address::v6_words`]).
    pub words: [u32; 4],
}
assert_words!(Address6, 4);

/// Key of the `identity_v4` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Address4 {
    /// The address ([`crate::address::v4_word`]).
    pub word: u32,
}
assert_words!(Address4, 1);

/// Key of the `cidr_v4` map, laid out as the kernel's `struct bpf_lpm_trie_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Prefix4 {
    /// Prefix length in bits; 32 to look an address up.
    pub length: u32,
    /// The network address, host bits zero.
    pub word: u32,
}
assert_words!(Prefix4, 2);

/// Key of the `cidr_v6` map, laid out as the kernel's `struct bpf_lpm_trie_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Prefix6 {
    /// Prefix length in bits; 128 to look an address up.
    pub length: u32,
    /// The network address, host bits zero.
    pub words: [u32; 4],
}
assert_words!(Prefix6, 5);
