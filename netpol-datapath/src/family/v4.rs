//! IPv4 (RFC 791).

use netpol_common::conntrack::Key4;
use netpol_common::counter::DropReason;
use netpol_common::endpoint::Endpoint;
use netpol_common::identity::{Address4, Address6, Prefix4};
use netpol_common::protocol;

use super::{Chain, ETHERNET_LENGTH, Family, Header, LARGEST_LENGTH, TRANSPORT, carried};
use crate::judge::{self, Judgement, Opening};
use crate::{Packet, Tables};

mod options;

/// The header without options (RFC 791, 3.1), by its words of 32 bits.
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
}

/// Version 4, and a header of five words: no options.
const PLAIN: u32 = 0x45;

/// "More fragments" and the fragment offset, in their word; set in any fragment of a whole. The
/// two bits before them are the reserved one and "don't fragment".
const FRAGMENT: u32 = MORE_FRAGMENTS | OFFSET;
const MORE_FRAGMENTS: u32 = 0x2000;
const OFFSET: u32 = 0x1fff;

/// The prefix of an IPv4-mapped IPv6 address, `::ffff:0:0/96`.
const MAPPED: [u32; 3] = [0, 0, u32::from_be(0xffff)];

pub(crate) enum V4 {}

impl Family for V4 {
    const VERSION: u32 = 4;
    const ICMP: u8 = protocol::ICMP;
    const LENGTH: usize = HEADER_LENGTH;
    const SOURCE: usize = word::SOURCE * 4;
    const DESTINATION: usize = Self::SOURCE + size_of::<u32>();
    type Address = u32;
    type Key = Key4;

    #[inline(always)]
    fn read<P: Packet>(packet: &P, at: usize) -> Result<Header, DropReason> {
        let wire: Wire = packet.load(at).ok_or(DropReason::Truncated)?;
        let lengths = u32::from_be(wire[word::LENGTHS]);
        let length = total_length(lengths & 0xffff, carried(packet, at));
        if length < HEADER_LENGTH as u32 {
            return Err(DropReason::MalformedHeader);
        }
        let protocol = u32::from_be(wire[word::PROTOCOL]);
        let part = u32::from_be(wire[word::FRAGMENT]);
        let mut header = Header {
            protocol: (protocol >> 16) as u8,
            hops: (protocol >> 24) as u8,
            plain: true,
            part,
            offset: (at + HEADER_LENGTH) as u32,
            end: at as u32 + length,
        };
        if lengths >> 24 != PLAIN || part & FRAGMENT != 0 {
            // RFC 791: "IHL ... is the length of the internet header in 32 bit words ... the
            // minimum value for a correct header is 5."
            let header_length = ((lengths >> 24) & 0x0f) * 4;
            if lengths >> 28 != 4 || header_length < HEADER_LENGTH as u32 || length < header_length
            {
                return Err(DropReason::MalformedHeader);
            }
            header.set_payload(at + header_length as usize);
            header.plain = false;
        }
        Ok(header)
    }

    #[inline(always)]
    fn plain<P: Packet>(packet: &P) -> Option<(u8, u32)> {
        let wire: Wire = packet.load(ETHERNET_LENGTH)?;
        let lengths = u32::from_be(wire[word::LENGTHS]);
        let length = lengths & 0xffff;
        if lengths >> 24 != PLAIN
            || wire[word::FRAGMENT] & FRAGMENT.to_be() != 0
            || length < HEADER_LENGTH as u32
            || ETHERNET_LENGTH as u32 + length > packet.len()
        {
            return None;
        }
        let protocol = (u32::from_be(wire[word::PROTOCOL]) >> 16) as u8;
        Some((protocol, length - HEADER_LENGTH as u32))
    }

    #[inline(always)]
    fn address<P: Packet>(packet: &P, at: usize) -> Result<u32, DropReason> {
        match packet.load(at) {
            Some([address]) => Ok(address),
            None => Err(DropReason::Truncated),
        }
    }

    #[inline(always)]
    fn follow<P: Packet, T: Tables>(packet: &P, tables: &T, at: usize, header: &Header) -> Chain {
        follow(packet, tables, at, header.payload(), header.end)
    }

    #[inline(always)]
    fn peek<P: Packet>(_packet: &P, header: &mut Header) -> bool {
        header.part & OFFSET == 0
    }

    #[inline(always)]
    fn first(part: u32) -> bool {
        // A later one, which may have this bit too, was not followed.
        part & MORE_FRAGMENTS != 0
    }

    #[inline(always)]
    fn part(header: &Header, _chain: Chain) -> u32 {
        header.part
    }

    #[inline(always)]
    fn identification<P: Packet>(packet: &P, _chain: Chain) -> Option<u32> {
        let [fragment] = packet.load(ETHERNET_LENGTH + word::FRAGMENT * 4)?;
        Some(u32::from_be(fragment) >> 16)
    }

    #[inline(always)]
    fn fragment_protocol(protocol: u8) -> u8 {
        protocol
    }

    #[inline(always)]
    fn own_place(endpoint: &Endpoint, local: u32) -> Option<u32> {
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
    fn place(endpoint: &Endpoint, local: u32, _remote: u32) -> Option<u32> {
        Self::own_place(endpoint, local)
    }

    #[inline(always)]
    fn is_one_host(address: u32) -> bool {
        // RFC 6890: 0.0.0.0/8 "this host", 127.0.0.0/8 loopback; from 224.0.0.0 on groups,
        // reserved addresses and the broadcast.
        let first = u32::from_be(address) >> 24;
        first != 0 && first != 127 && first < 224
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
    fn judge<T: Tables>(tables: &T, slot: u32, remote: u32, opening: Opening) -> Judgement {
        judge::ask_v4(tables, slot, remote, opening)
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

/// What stands in the way of the transport header: options, a fragment's place, or both.
#[inline(never)]
fn follow<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    at: usize,
    payload: usize,
    end: u32,
) -> Chain {
    packet.reach(payload + TRANSPORT);
    walk(packet, at, payload, end).keep(tables)
}

#[inline(always)]
fn walk<P: Packet>(packet: &P, at: usize, payload: usize, end: u32) -> Chain {
    const FIRST: usize = word::FRAGMENT;
    let Some([part, protocol]) = packet.load(at + FIRST * 4) else {
        return Chain::broken(DropReason::Truncated);
    };
    let first_option = at + HEADER_LENGTH;
    if payload > first_option {
        let options = options::read(packet, first_option, payload - first_option);
        if options != Chain::NOTHING {
            return options;
        }
    }
    let chain = Chain::to((u32::from_be(protocol) >> 16) as u8, payload);
    let part = u32::from_be(part);
    if part & FRAGMENT == 0 {
        return chain;
    }
    // The offset is in units of eight bytes; the flags before it fall off.
    let more = u16::from(part & MORE_FRAGMENTS != 0);
    chain.fragment(payload, (part << 3) as u16 | more, end)
}

/// The packet's length as its header declares it. A segmentation-offload packet of more than
/// 64 KiB (Linux 6.3: "BIG TCP") declares zero, and is as long as what the frame carries.
#[inline(always)]
fn total_length(declared: u32, carried: u32) -> u32 {
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
        assert_eq!(total_length(40, 40), 40);
        assert_eq!(total_length(0, 40), 0);
        assert_eq!(total_length(0, 65_535), 0);
        assert_eq!(total_length(0, 65_536), 65_536);
        assert_eq!(total_length(40, 65_536), 40);
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
