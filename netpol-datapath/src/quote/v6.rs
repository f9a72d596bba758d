//! Quotes of IPv6 packets.

use netpol_common::counter::DropReason;

use super::{Quote, Quoted, part};
use crate::Packet;
use crate::family::V6;

/// The fixed header, by its words of 32 bits (RFC 8200, 3).
type Wire = [u32; 10];

impl Quoted for V6 {
    #[inline(always)]
    fn quoted<P: Packet>(
        packet: &P,
        offset: usize,
        end: u32,
    ) -> Result<Quote<[u32; 4]>, DropReason> {
        let wire: Wire = part(packet, offset, end)?;
        if u32::from_be(wire[0]) >> 28 != 6 {
            return Err(DropReason::QuoteMalformed);
        }
        Ok(Quote {
            source: [wire[2], wire[3], wire[4], wire[5]],
            destination: [wire[6], wire[7], wire[8], wire[9]],
            protocol: (u32::from_be(wire[1]) >> 8) as u8,
            payload: offset + size_of::<Wire>(),
        })
    }
}
