//! IPv4 (RFC 791).

use netpol_common::conntrack::Key4;
use netpol_common::counter::DropReason;
use netpol_common::endpoint::Endpoint;
use netpol_common::identity::{Address4, Address6, Prefix4};
use netpol_common::protocol;

use super::{ETHERNET_LENGTH, Family, Header, LARGEST_LENGTH, end};
use crate::{Packet, Tables};

/// The header without options (RFC 791, 3.1), by its words of 32 bits.
///
type Wire = [u32; 5];

const HEADER_LENGTH: usize = 20;
const _: () = assert!(size_of::<Wire>() == HEADER_LENGTH);

/// Indices into [`Wire`].
mod word {
    /// Version, header length, type of service, total length.
    pub(super) const LENGTHS: usize = 0;
    /// Identification, flags, fragment offset.
    pub(super) const FRAGMENT: usize = 1;
    /// Time to live, protocol, checksum.
    pub(super) const PROTOCOL: usize = 2;
    pub(super) const SOURCE: usize = 3;
    pub(super) const DESTINATION: usize = 4;
}

/// "More fragments" and the fragment offset, in their word; set in any fragment of a whole. The
/// two bits before them are the reserved one and "don't fragment".
const FRAGMENT: u32 = 0x3fff;

/// The prefix of an IPv4-mapped IPv6 address, `::ffff:0:0/96`.
const MAPPED: [u32; 3] = [0, 0, u32::from_be(0xffff)];

pub(crate) enum V4 {}

impl Family for V4 {
    const VERSION: u32 = 4;
    const ICMP: u8 = protocol::ICMP;
    type Address = u32;
    type Key = Key4;

    #[inline(always)]
    fn read<P: Packet>(packet: &P) -> Result<Header<u32>, DropReason> {
        let wire: Wire = packet.load(ETHERNET_LENGTH).ok_or(DropReason::Truncated)?;
        let lengths = u32::from_be(wire[word::LENGTHS]);
        // RFC 791: "IHL ... is the length of the internet header in 32 bit words ... the minimum
        // value for a correct header is 5."
        let header_length = ((lengths >> 24) & 0x0f) * 4;
        if lengths >> 28 != 4 || header_length < HEADER_LENGTH as u32 {
            return Err(DropReason::MalformedHeader);
        }
        let length = total_length(lengths & 0xffff, packet.len());
        if length < header_length {
            return Err(DropReason::MalformedHeader);
        }
        let protocol = u32::from_be(wire[word::PROTOCOL]);
        Ok(Header {
            source: wire[word::SOURCE],
            destination: wire[word::DESTINATION],
            protocol: (protocol >> 16) as u8,
            hops: (protocol >> 24) as u8,
            fragment: u32::from_be(wire[word::FRAGMENT]) & FRAGMENT != 0,
            payload: ETHERNET_LENGTH + header_length as usize,
            end: end(length, packet.len())?,
        })
    }

    #[inline(always)]
    fn obstacle(header: &Header<u32>) -> Option<DropReason> {
        header.fragment.then_some(DropReason::Fragment)
    }

    #[inline(always)]
    fn place(endpoint: &Endpoint, local: u32, _remote: u32) -> Option<u32> {
        // Zero is an unused place, and no address of a pod.
        if local == 0 {
            None
        } else if local == endpoint.v4[0] {
            Some(0)
        } else if local == endpoint.v4[1] {
            Some(1)
        } else {
            None
        }
    }

    #[inline(always)]
    fn owns(endpoint: &Endpoint, address: u32) -> bool {
        Self::place(endpoint, address, 0).is_some()
    }

    #[inline(always)]
    fn speaks_to_link(_source: u32, _destination: u32) -> bool {
        false
    }

    #[inline(always)]
    fn key(endpoint: u32, remote: u32, ports: u32, selector: u32) -> Key4 {
        Key4 {
            endpoint,
            remote,
            ports,
            selector,
        }
    }

    #[inline(always)]
    fn parts(key: &Key4) -> (&u32, u32, u32) {
        (&key.remote, key.ports, key.selector)
    }

    #[inline(always)]
    fn identity<T: Tables>(tables: &T, address: u32) -> Option<u32> {
        tables.identity_v4(&Address4 { word: address })
    }

    #[inline(always)]
    fn cidr<T: Tables>(tables: &T, address: u32) -> Option<u32> {
        tables.cidr_v4(&Prefix4 {
            length: 32,
            word: address,
        })
    }

    #[inline(always)]
    fn node_key(address: u32) -> Address6 {
        Address6 {
            words: [MAPPED[0], MAPPED[1], MAPPED[2], address],
        }
    }

    #[inline(always)]
    fn event_words(address: u32) -> [u32; 4] {
        [address, 0, 0, 0]
    }
}

/// The packet's length as its header declares it. A segmentation-offload packet of more than
/// 64 KiB (Linux 6.3: "BIG TCP") declares zero, and is as long as its frame.
#[inline(always)]
fn total_length(declared: u32, frame: u32) -> u32 {
    let carried = frame.wrapping_sub(ETHERNET_LENGTH as u32);
    if declared == 0 && carried > LARGEST_LENGTH {
        carried
    } else {
        declared
    }
}

#[cfg(test)]
mod tests {
    use netpol_common::endpoint::Endpoint;

    use super::{Family, V4, total_length};

    #[test]
    fn zero_declares_the_whole_frame_only_beyond_64_kib() {
        assert_eq!(total_length(40, 54), 40);
        assert_eq!(total_length(0, 54), 0);
        assert_eq!(total_length(0, 14 + 65_535), 0);
        assert_eq!(total_length(0, 14 + 65_536), 65_536);
        assert_eq!(total_length(40, 14 + 65_536), 40);
    }

    #[test]
    fn an_unused_place_is_nobodys_address() {
        let endpoint = Endpoint {
            v4: [7, 0],
            ..Endpoint::default()
        };
        assert_eq!(V4::place(&endpoint, 7, 1), Some(0));
        assert_eq!(V4::place(&endpoint, 0, 1), None);
        assert_eq!(V4::place(&endpoint, 8, 1), None);
        assert!(!V4::owns(&endpoint, 0));
    }
}
