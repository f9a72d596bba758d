//! What differs between IPv4 and IPv6: the header, and which maps an address is looked up in.

mod chain;
mod v4;
mod v6;

pub(crate) use chain::Chain;
pub(crate) use v4::V4;
pub(crate) use v6::V6;

use netpol_common::counter::DropReason;
use netpol_common::endpoint::{ADDRESSES, Endpoint};
use netpol_common::identity::Address6;

use crate::judge::{Judgement, Opening};
use crate::{Packet, Tables};

/// Where the Ethernet payload starts.
pub(crate) const ETHERNET_LENGTH: usize = 14;

/// Bytes of a transport header that are read at most.
const TRANSPORT: usize = 20;

/// The largest length that the 16-bit length field of an IP header can say.
const LARGEST_LENGTH: u32 = 0xffff;

/// The place of a link-local address in a conntrack key, after the endpoint's own addresses.
pub(crate) const LINK_LOCAL_PLACE: u32 = ADDRESSES as u32;

/// What an IP header says, but for its addresses: those are read where they are asked for, and not
/// kept on the stack until then.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    /// The protocol of what is at `payload`.
    pub(crate) protocol: u8,
    /// Time to live, or hop limit.
    pub(crate) hops: u8,
    /// Whether the transport header follows at once. Otherwise [`Family::follow`] finds it, or
    /// [`Family::peek`] where that is not worth it.
    pub(crate) plain: bool,
    /// A word that [`Family::first`] asks. A word of the packet, so that the verifier of the kernel
    /// takes fragments and whole packets for the same, and walks what follows once.
    pub(crate) part: u32,
    /// Offset in the frame of what follows the header.
    offset: u32,
    /// Offset in the frame where the IP packet ends, as the header says.
    pub(crate) end: u32,
}

impl Header {
    /// Offset in the frame of what follows the header.
    #[inline(always)]
    pub(crate) const fn payload(&self) -> usize {
        self.offset as usize
    }

    /// What follows the header is elsewhere.
    #[inline(always)]
    pub(crate) const fn set_payload(&mut self, offset: usize) {
        self.offset = offset as u32;
    }
}

/// IPv4 or IPv6.
pub(crate) trait Family {
    /// 4 or 6.
    const VERSION: u32;
    /// The family's ICMP, as a protocol number.
    const ICMP: u8;
    type Address: Copy + PartialEq + Default;
    /// Key of the conntrack maps.
    type Key: Copy;

    /// Bytes of a plain header.
    const LENGTH: usize;
    /// Offset in the header of the source address.
    const SOURCE: usize;
    /// Offset in the header of the destination address.
    const DESTINATION: usize;

    /// Reads the header at an offset of the frame. The packet may end before the header says.
    fn read<P: Packet>(packet: &P, at: usize) -> Result<Header, DropReason>;

    /// Protocol and length of what follows the header at [`ETHERNET_LENGTH`], if it is plain and says
    /// a length that the frame has: what [`Family::read`] says, in fewer steps, or nothing.
    fn plain<P: Packet>(packet: &P) -> Option<(u8, u32)>;

    /// Reads an address at an offset of the frame.
    fn address<P: Packet>(packet: &P, at: usize) -> Result<Self::Address, DropReason>;

    /// Follows options or extension headers of a header at an offset of the frame, which is not
    /// plain, to the transport header.
    fn follow<P: Packet, T: Tables>(packet: &P, tables: &T, at: usize, header: &Header) -> Chain;

    /// Finds the transport header of a header that is not plain, at [`ETHERNET_LENGTH`], without a walk: behind any
    /// options, or behind a fragment header alone. False when it is not there.
    fn peek<P: Packet>(packet: &P, header: &mut Header) -> bool;

    /// Whether a packet that is plain, or that could be followed, is a first fragment.
    fn first(part: u32) -> bool;

    /// [`Header::part`] of a header that was followed.
    fn part(header: &Header, chain: Chain) -> u32;

    /// The identification of a fragment whose header is at [`ETHERNET_LENGTH`].
    fn identification<P: Packet>(packet: &P, chain: Chain) -> Option<u32>;

    /// The protocol, if it tells fragments of one packet from another's.
    fn fragment_protocol(protocol: u8) -> u8;

    /// Which of the addresses in the endpoint's entry one is, if any.
    fn own_place(endpoint: &Endpoint, local: Self::Address) -> Option<u32>;

    /// Which of the endpoint's addresses `local` is, or none. `remote` is the other side.
    fn place(endpoint: &Endpoint, local: Self::Address, remote: Self::Address) -> Option<u32>;

    /// Judges a connection.
    fn judge<T: Tables>(
        tables: &T,
        slot: u32,
        remote: Self::Address,
        opening: Opening,
    ) -> Judgement;

    /// Whether an address may be one host's: no group's, no broadcast, not unspecified.
    fn is_one_host(address: Self::Address) -> bool;

    /// Whether an address is one of the endpoint's.
    fn owns(endpoint: &Endpoint, address: Self::Address) -> bool;

    /// Whether a packet between two addresses is one of a host to all on its link.
    fn speaks_to_link(source: Self::Address, destination: Self::Address) -> bool;

    fn key(endpoint: u32, remote: Self::Address, ports: u32, selector: u32) -> Self::Key;
    /// The peer, ports and selector of a key.
    fn parts(key: &Self::Key) -> (&Self::Address, u32, u32);
    fn identity<T: Tables>(tables: &T, address: Self::Address) -> Option<u32>;
    fn cidr<T: Tables>(tables: &T, address: Self::Address) -> Option<u32>;
    fn node_key(address: Self::Address) -> Address6;

    /// The address as in [`netpol_common::event::Event`].
    fn event_words(address: Self::Address) -> [u32; 4];
}

/// Bytes of a frame from an offset on; none where it is shorter.
#[inline(always)]
fn carried<P: Packet>(packet: &P, at: usize) -> u32 {
    packet.len().saturating_sub(at as u32)
}
