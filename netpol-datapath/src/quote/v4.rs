//! Quotes of IPv4 packets.

use netpol_common::counter::DropReason;

use super::{Quote, Quoted, part};
use crate::Packet;
use crate::family::V4;

/// The header without options, by its words of 32 bits (RFC 791, 3.1).
type Wire = [u32; 5];

/// The fragment offset, in its word.
const FRAGMENT_OFFSET: u32 = 0x1fff;

impl Quoted for V4 {
    #[inline(always)]
    fn quoted<P: Packet>(packet: &P, offset: usize, end: u32) -> Result<Quote<u32>, DropReason> {
        let wire: Wire = part(packet, offset, end)?;
        let first = u32::from_be(wire[0]);
        let header_length = (first >> 24 & 0x0f) * 4;
        // RFC 1122, 3.2.2: no error is sent about "a non-initial fragment". It has no ports.
        let later = u32::from_be(wire[1]) & FRAGMENT_OFFSET != 0;
        if first >> 28 != 4 || header_length < size_of::<Wire>() as u32 || later {
            return Err(DropReason::QuoteMalformed);
        }
        Ok(Quote {
            source: wire[3],
            destination: wire[4],
            protocol: (u32::from_be(wire[2]) >> 16) as u8,
            payload: offset + header_length as usize,
        })
    }
}
