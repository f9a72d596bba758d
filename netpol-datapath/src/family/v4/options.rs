//! IPv4 options (RFC 791, 3.1): passed over, but for those that lead the packet elsewhere.

use netpol_common::counter::DropReason;

use super::Chain;
use crate::Packet;

/// Option types. All but the first two are followed by a length, which counts both bytes.
mod kind {
    pub(super) const END: u32 = 0;
    pub(super) const NO_OPERATION: u32 = 1;
    pub(super) const LOOSE_SOURCE_ROUTE: u32 = 131;
    pub(super) const STRICT_SOURCE_ROUTE: u32 = 137;
}

/// The longest options: a header has at most 15 words.
const LONGEST: usize = 40;

/// A power of two above every offset here, less one: what the kernel's verifier believes.
const BOUND: usize = 0x3f;

/// Reads options at an offset of the frame, `length` bytes of them. [`Chain::NOTHING`] when nothing
/// is wrong with them.
///
/// RFC 791: a source route is "the recorded route ... in which the destination address field" is
/// not the last one; policy would be asked about a stop on the way.
#[inline(always)]
pub(super) fn read<P: Packet>(packet: &P, at: usize, length: usize) -> Chain {
    let mut offset = 0;
    // Each option has at least one byte.
    for _ in 0..LONGEST {
        if offset >= length {
            break;
        }
        // A byte is read as the last of its word: the header is before the options.
        let Some([word]) = packet.load::<1>(at + offset - 3) else {
            return Chain::broken(DropReason::Truncated);
        };
        let kind = u32::from_be(word) & 0xff;
        if kind == kind::END {
            break;
        }
        if kind == kind::LOOSE_SOURCE_ROUTE || kind == kind::STRICT_SOURCE_ROUTE {
            return Chain::broken(DropReason::SourceRoute);
        }
        // Without a branch: the verifier walks each branch of each option by itself. The length is
        // the byte after the type; "no operation" has none, and is its own.
        let with_length = ((kind ^ kind::NO_OPERATION) + 0xff) >> 8;
        let Some([word]) = packet.load::<1>(at + offset - 3 + with_length as usize) else {
            return Chain::broken(DropReason::Truncated);
        };
        let taken = u32::from_be(word) & 0xff;
        if taken < 1 + with_length || taken as usize > length - offset {
            return Chain::broken(DropReason::MalformedHeader);
        }
        offset = (offset + taken as usize) & BOUND;
    }
    Chain::NOTHING
}
