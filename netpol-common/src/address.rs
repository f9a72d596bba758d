//! Addresses as map words: network byte order in memory, so `from_ne_bytes` of the octets.

use core::net::{Ipv4Addr, Ipv6Addr};

/// An IPv4 address as one word.
#[must_use]
pub const fn v4_word(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

/// The IPv4 address of a word.
#[must_use]
pub const fn v4_from_word(word: u32) -> Ipv4Addr {
    let [a, b, c, d] = word.to_ne_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// An IPv6 address as four words.
#[must_use]
pub fn v6_words(address: Ipv6Addr) -> [u32; 4] {
    bytemuck::cast(address.octets())
}

/// The IPv6 address of four words.
#[must_use]
pub fn v6_from_words(words: [u32; 4]) -> Ipv6Addr {
    Ipv6Addr::from(bytemuck::cast::<[u32; 4], [u8; 16]>(words))
}
