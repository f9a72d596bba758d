//! IPv6 (RFC 8200).

use netpol_common::conntrack::Key6;
use netpol_common::counter::DropReason;
use netpol_common::endpoint::Endpoint;
use netpol_common::identity::{Address6, Prefix6};
use netpol_common::protocol;

use super::{Chain, ETHERNET_LENGTH, Family, Header, LARGEST_LENGTH, LINK_LOCAL_PLACE, carried};
use crate::judge::{self, Judgement, Opening};
use crate::{Packet, Tables};

mod extension;

/// The fixed header (RFC 8200, 3), by its words of 32 bits.
type Wire = [u32; 10];

const HEADER_LENGTH: usize = 40;
const _: () = assert!(size_of::<Wire>() == HEADER_LENGTH);

/// Indices into [`Wire`].
mod word {
    /// Version, traffic class, flow label.
    pub(super) const VERSION: usize = 0;
    /// Payload length, next header, hop limit.
    pub(super) const LENGTH: usize = 1;
    /// The first of four.
    pub(super) const SOURCE: usize = 2;
}

pub(crate) enum V6 {}

impl Family for V6 {
    const VERSION: u32 = 6;
    const ICMP: u8 = protocol::ICMPV6;
    const LENGTH: usize = HEADER_LENGTH;
    const SOURCE: usize = word::SOURCE * 4;
    const DESTINATION: usize = Self::SOURCE + size_of::<[u32; 4]>();
    type Address = [u32; 4];
    type Key = Key6;

    #[inline(always)]
    fn read<P: Packet>(packet: &P, at: usize) -> Result<Header, DropReason> {
        let wire: Wire = packet.load(at).ok_or(DropReason::Truncated)?;
        let version = u32::from_be(wire[word::VERSION]);
        if version >> 28 != 6 {
            return Err(DropReason::MalformedHeader);
        }
        let length = u32::from_be(wire[word::LENGTH]);
        let protocol = (length >> 8) as u8;
        Ok(Header {
            protocol,
            hops: length as u8,
            plain: matches!(
                protocol,
                protocol::TCP | protocol::UDP | protocol::ICMPV6 | protocol::SCTP
            ),
            part: version,
            offset: (at + HEADER_LENGTH) as u32,
            end: at as u32 + total_length(length >> 16, carried(packet, at)),
        })
    }

    #[inline(always)]
    fn plain<P: Packet>(packet: &P) -> Option<(u8, u32)> {
        let wire: Wire = packet.load(ETHERNET_LENGTH)?;
        let word = u32::from_be(wire[word::LENGTH]);
        let length = word >> 16;
        let end = (ETHERNET_LENGTH + HEADER_LENGTH) as u32 + length;
        // As nobody asks for headers that are to be followed, all protocols are plain here.
        if u32::from_be(wire[word::VERSION]) >> 28 != 6 || length == 0 || end > packet.len() {
            return None;
        }
        Some(((word >> 8) as u8, length))
    }

    #[inline(always)]
    fn address<P: Packet>(packet: &P, at: usize) -> Result<[u32; 4], DropReason> {
        packet.load(at).ok_or(DropReason::Truncated)
    }

    #[inline(always)]
    fn follow<P: Packet, T: Tables>(packet: &P, tables: &T, _at: usize, header: &Header) -> Chain {
        let (first, end) = (header.protocol, header.end);
        extension::follow(packet, tables, header.payload(), first, end)
    }

    #[inline(always)]
    fn peek<P: Packet>(packet: &P, header: &mut Header) -> bool {
        extension::peek(packet, header)
    }

    #[inline(always)]
    fn first(part: u32) -> bool {
        // No first word of a header has this bit, since it begins with a 6.
        part & Chain::FIRST != 0
    }

    #[inline(always)]
    fn part(_header: &Header, chain: Chain) -> u32 {
        chain.word()
    }

    #[inline(always)]
    fn identification<P: Packet>(packet: &P, chain: Chain) -> Option<u32> {
        extension::identification(packet, chain)
    }

    #[inline(always)]
    fn fragment_protocol(_protocol: u8) -> u8 {
        0
    }

    #[inline(always)]
    fn own_place(endpoint: &Endpoint, local: [u32; 4]) -> Option<u32> {
        // `::` is an unused place, and no address of a pod.
        if unspecified(local) {
            None
        } else if same(local, endpoint.v6[0]) {
            Some(0)
        } else if same(local, endpoint.v6[1]) {
            Some(1)
        } else {
            None
        }
    }

    #[inline(always)]
    fn place(endpoint: &Endpoint, local: [u32; 4], remote: [u32; 4]) -> Option<u32> {
        let own = Self::own_place(endpoint, local);
        own.or_else(|| stays_on_link(local, remote).then_some(LINK_LOCAL_PLACE))
    }

    #[inline(always)]
    fn is_one_host(address: [u32; 4]) -> bool {
        // `ff00::/8` (RFC 4291, 2.7).
        !unspecified(address) && u32::from_be(address[0]) >> 24 != 0xff
    }

    #[inline(always)]
    fn owns(endpoint: &Endpoint, address: [u32; 4]) -> bool {
        Self::own_place(endpoint, address).is_some()
    }

    #[inline(always)]
    fn speaks_to_link(source: [u32; 4], destination: [u32; 4]) -> bool {
        (link_local(source) || unspecified(source)) && multicast(destination)
    }

    #[inline(always)]
    fn key(endpoint: u32, remote: [u32; 4], ports: u32, selector: u32) -> Key6 {
        Key6 {
            endpoint,
            remote,
            ports,
            selector,
        }
    }

    #[inline(always)]
    fn judge<T: Tables>(tables: &T, slot: u32, remote: [u32; 4], opening: Opening) -> Judgement {
        judge::ask_v6(tables, slot, remote, opening)
    }

    #[inline(always)]
    fn parts(key: &Key6) -> (&[u32; 4], u32, u32) {
        (&key.remote, key.ports, key.selector)
    }

    #[inline(always)]
    fn identity<T: Tables>(tables: &T, address: [u32; 4]) -> Option<u32> {
        tables.identity_v6(&Address6 { words: address })
    }

    #[inline(always)]
    fn cidr<T: Tables>(tables: &T, address: [u32; 4]) -> Option<u32> {
        tables.cidr_v6(&Prefix6 {
            length: 128,
            words: address,
        })
    }

    #[inline(always)]
    fn node_key(address: [u32; 4]) -> Address6 {
        Address6 { words: address }
    }

    #[inline(always)]
    fn event_words(address: [u32; 4]) -> [u32; 4] {
        address
    }
}

/// The packet's length as its header declares it, the header included. A segmentation-offload
/// packet of more than 64 KiB declares zero, and is as long as what the frame carries.
#[inline(always)]
fn total_length(declared: u32, carried: u32) -> u32 {
    if declared == 0 && carried > LARGEST_LENGTH {
        carried
    } else {
        HEADER_LENGTH as u32 + declared
    }
}

/// Whether two addresses are one. By words, as they come from the packet: the compiler would put
/// them together in pairs first, for three times as many instructions.
#[inline(always)]
const fn same(one: [u32; 4], other: [u32; 4]) -> bool {
    let differ = (one[0] ^ other[0]) | (one[1] ^ other[1]);
    differ | (one[2] ^ other[2]) | (one[3] ^ other[3]) == 0
}

/// Whether no router forwards a packet between the two addresses.
///
/// RFC 4291, 2.5.6: "Routers must not forward any packets with Link-Local source or destination
/// addresses to other links." A link-local address belongs to an interface, not to the pod's
/// entry, so it is the endpoint's when the other side is on the link too. The unspecified address
/// is what a pod has before it has any (RFC 4862, 5.4; RFC 3590): it may speak to the link.
#[inline(always)]
fn stays_on_link(local: [u32; 4], remote: [u32; 4]) -> bool {
    let to_group = link_local_group(remote);
    link_local(local) && (link_local(remote) || to_group) || unspecified(local) && to_group
}

/// `fe80::/10`.
#[inline(always)]
fn link_local(address: [u32; 4]) -> bool {
    address[0] & u32::from_be(0xffc0_0000) == u32::from_be(0xfe80_0000)
}

/// `ff00::/8`.
#[inline(always)]
fn multicast(address: [u32; 4]) -> bool {
    address[0] & u32::from_be(0xff00_0000) == u32::from_be(0xff00_0000)
}

/// `ff02::/16`.
#[inline(always)]
fn link_local_group(address: [u32; 4]) -> bool {
    address[0] & u32::from_be(0xffff_0000) == u32::from_be(0xff02_0000)
}

#[inline(always)]
fn unspecified(address: [u32; 4]) -> bool {
    address[0] | address[1] | address[2] | address[3] == 0
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use netpol_common::address::v6_words;
    use netpol_common::endpoint::Endpoint;

    use super::{Family, LINK_LOCAL_PLACE, V6, total_length};

    fn words(address: &str) -> [u32; 4] {
        v6_words(address.parse::<Ipv6Addr>().expect("an address"))
    }

    #[test]
    fn zero_declares_the_whole_frame_only_beyond_64_kib() {
        assert_eq!(total_length(20, 60), 60);
        assert_eq!(total_length(0, 40), 40);
        assert_eq!(total_length(0, 70_000), 70_000);
    }

    #[test]
    fn an_address_is_the_pods_or_stays_on_the_link() {
        let endpoint = Endpoint {
            v6: [words("fd00::2"), words("fd00::3")],
            ..Endpoint::default()
        };
        let place = |local, remote| V6::place(&endpoint, words(local), words(remote));
        assert_eq!(place("fd00::2", "2001:db8::1"), Some(0));
        assert_eq!(place("fd00::3", "2001:db8::1"), Some(1));
        assert_eq!(place("fd00::4", "2001:db8::1"), None);
        for (local, remote) in [
            ("fe80::2", "fe80::1"),
            ("febf::2", "fe80::1"),
            ("fe80::2", "ff02::1:ff00:1"),
            ("::", "ff02::16"),
        ] {
            assert_eq!(
                place(local, remote),
                Some(LINK_LOCAL_PLACE),
                "{local} {remote}"
            );
        }
        for (local, remote) in [
            ("fe80::2", "fd00::1"),
            ("fec0::2", "fe80::1"),
            ("fe80::2", "ff05::1"),
            ("::", "fe80::1"),
            ("::", "::"),
            ("::1", "ff02::1"),
        ] {
            assert_eq!(place(local, remote), None, "{local} {remote}");
        }
    }

    #[test]
    fn an_unused_place_is_nobodys_address() {
        assert!(!V6::owns(&Endpoint::default(), [0; 4]));
    }
}
