//! IPv6 extension headers (RFC 8200, 4), walked as far as a bound.
//!
//! | next header | what becomes of it |
//! |---|---|
//! | hop-by-hop options | passed over, at the beginning of the chain alone |
//! | destination options, authentication | passed over |
//! | routing | passed over when no segment is left and it is not of type 0 (RFC 5095) |
//! | fragment | passed over when it holds the whole (RFC 6946) or its beginning; once |
//! | mobility, host identity, shim6, experiments | closed |
//! | anything else, ESP and "no next header" too | the end of the chain: a protocol |

use netpol_common::counter::DropReason;

use super::super::{ETHERNET_LENGTH, TRANSPORT};
use super::{Chain, HEADER_LENGTH, Header};
use crate::{Packet, Tables};

/// How many headers are passed over. RFC 8200, 4.1: "Each extension header should occur at most
/// once, except for the Destination Options header, which should occur at most twice": hop-by-hop,
/// destination options, routing, fragment, authentication, destination options.
const MOST: u32 = 6;

/// How many bytes of them: a routing header of a dozen addresses fits, and a packet with more has
/// little room left for anything else in the smallest MTU (1280).
const LONGEST: usize = 256;

/// A power of two above every offset here, less one: what the kernel's verifier believes.
const BOUND: usize = 0xfff;

/// The length of the fragment header.
const FRAGMENT_LENGTH: usize = 8;

/// The last two bytes of the fragment header's first word: offset, two reserved bits, "more".
const OFFSET: u16 = 0xfff8;
const RESERVED: u16 = 0b110;

/// Next headers that another header follows (IANA, "IPv6 Extension Header Types"). ESP (50) is
/// on that list too, but what follows it cannot be read.
mod next {
    pub(super) const HOP_BY_HOP: u32 = 0;
    pub(super) const ROUTING: u32 = 43;
    pub(super) const FRAGMENT: u32 = 44;
    pub(super) const AUTHENTICATION: u32 = 51;
    pub(super) const DESTINATION_OPTIONS: u32 = 60;
    pub(super) const MOBILITY: u32 = 135;
    pub(super) const HOST_IDENTITY: u32 = 139;
    pub(super) const SHIM6: u32 = 140;
    pub(super) const EXPERIMENT_1: u32 = 253;
    pub(super) const EXPERIMENT_2: u32 = 254;
}

/// Routing type 0, "deprecated" by RFC 5095: it lets one packet visit a host many times.
const SOURCE_ROUTE: u32 = 0;

/// Follows the chain that begins at an offset of the frame with a header of the type `first`, in a
/// packet that ends at `end`.
#[inline(never)]
pub(super) fn follow<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    at: usize,
    first: u8,
    end: u32,
) -> Chain {
    packet.reach(at + LONGEST + TRANSPORT);
    walk(packet, at, first, end).keep(tables)
}

/// As [`Family::peek`](crate::family::Family::peek).
#[inline(always)]
pub(super) fn peek<P: Packet>(packet: &P, header: &mut Header) -> bool {
    match u32::from(header.protocol) {
        next::FRAGMENT => {}
        next::HOP_BY_HOP
        | next::ROUTING
        | next::AUTHENTICATION
        | next::DESTINATION_OPTIONS
        | next::MOBILITY
        | next::HOST_IDENTITY
        | next::SHIM6
        | next::EXPERIMENT_1
        | next::EXPERIMENT_2 => return false,
        // Nothing stands between.
        _ => return true,
    }
    // What `header.payload()` is, too; the verifier loses sight of a number that was kept.
    const FIRST: usize = ETHERNET_LENGTH + HEADER_LENGTH;
    let Some([word]) = packet.load::<1>(FIRST) else {
        return false;
    };
    let word = u32::from_be(word);
    header.protocol = (word >> 24) as u8;
    header.set_payload(FIRST + FRAGMENT_LENGTH);
    word as u16 & OFFSET == 0
}

#[inline(always)]
fn walk<P: Packet>(packet: &P, at: usize, first: u8, end: u32) -> Chain {
    let mut kind = u32::from(first);
    let mut offset = at;
    // Of a fragment header: where its part of the whole begins, and its field.
    let mut base = 0;
    let mut field = 0;
    for count in 0..=MOST {
        match kind {
            next::HOP_BY_HOP if count == 0 => {}
            next::ROUTING | next::FRAGMENT | next::AUTHENTICATION | next::DESTINATION_OPTIONS => {}
            next::HOP_BY_HOP
            | next::MOBILITY
            | next::HOST_IDENTITY
            | next::SHIM6
            | next::EXPERIMENT_1
            | next::EXPERIMENT_2 => return Chain::broken(DropReason::ExtensionHeader),
            protocol => {
                // A header that says it is longer than the packet has nothing behind it. Of a
                // first fragment the rest would come in another (RFC 7112).
                if offset > end as usize {
                    return Chain::broken(if field == 0 {
                        DropReason::Truncated
                    } else {
                        DropReason::Fragment
                    });
                }
                let chain = Chain::to(protocol as u8, offset);
                // A fragment that holds the whole (RFC 6946) is none.
                if field == 0 {
                    return chain;
                }
                return chain.fragment(base, field, end);
            }
        }
        // Each is of eight bytes at least.
        if offset + 8 > end as usize {
            return Chain::broken(DropReason::Truncated);
        }
        let Some([word]) = packet.load::<1>(offset) else {
            return Chain::broken(DropReason::Truncated);
        };
        let word = u32::from_be(word);
        if kind == next::ROUTING && ((word >> 8) & 0xff == SOURCE_ROUTE || word & 0xff != 0) {
            return Chain::broken(DropReason::SourceRoute);
        }
        if kind == next::FRAGMENT {
            if base != 0 {
                return Chain::broken(DropReason::ExtensionHeader);
            }
            base = offset + FRAGMENT_LENGTH;
            // In units of eight bytes, so in bytes when the three bits below are taken for zero.
            field = word as u16 & !RESERVED;
            if field & OFFSET != 0 {
                // What follows is from the middle of something.
                return Chain::to((word >> 24) as u8, base).fragment(base, field, end);
            }
        }
        offset = (offset + length(kind, word)) & BOUND;
        if offset > at + LONGEST {
            return Chain::broken(DropReason::ExtensionHeader);
        }
        kind = word >> 24;
    }
    Chain::broken(DropReason::ExtensionHeader)
}

/// The length of an extension header whose first word is `word`.
#[inline(always)]
const fn length(kind: u32, word: u32) -> usize {
    let units = ((word >> 16) & 0xff) as usize;
    match kind {
        next::FRAGMENT => FRAGMENT_LENGTH,
        // RFC 4302, 2.2: "the length of this Authentication Header in 4-octet units, minus 2".
        next::AUTHENTICATION => (units + 2) * 4,
        _ => (units + 1) * 8,
    }
}

/// The identification in the fragment header of a chain.
#[inline(always)]
pub(super) fn identification<P: Packet>(packet: &P, chain: Chain) -> Option<u32> {
    let [identification] = packet.load((chain.base() as usize).wrapping_sub(4) & BOUND)?;
    Some(u32::from_be(identification))
}
