//! What differs between IPv4 and IPv6: the header, and which maps an address is looked up in.

mod v4;
mod v6;

pub(crate) use v4::V4;
pub(crate) use v6::V6;

use netpol_common::counter::DropReason;
use netpol_common::endpoint::{ADDRESSES, Endpoint};
use netpol_common::identity::Address6;

use crate::{Packet, Tables};

/// Where the Ethernet payload starts.
pub(crate) const ETHERNET_LENGTH: usize = 14;

/// The largest length that the 16-bit length field of an IP header can say.
const LARGEST_LENGTH: u32 = 0xffff;

/// The place of a link-local address in a conntrack key, after the endpoint's own addresses.
pub(crate) const LINK_LOCAL_PLACE: u32 = ADDRESSES as u32;

/// What an IP header says.
#[derive(Clone, Copy)]
pub(crate) struct Header<A> {
    pub(crate) source: A,
    pub(crate) destination: A,
    /// IPv4 protocol, or the first IPv6 next header.
    pub(crate) protocol: u8,
    /// Time to live, or hop limit.
    pub(crate) hops: u8,
    /// IPv4: one fragment of several.
    pub(crate) fragment: bool,
    /// Offset in the frame of what follows the header.
    pub(crate) payload: usize,
    /// Offset in the frame where the IP packet ends.
    pub(crate) end: u32,
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

    /// Reads the header at [`ETHERNET_LENGTH`].
    fn read<P: Packet>(packet: &P) -> Result<Header<Self::Address>, DropReason>;

    /// Why a header cannot be followed to the transport header, if so.
    fn obstacle(header: &Header<Self::Address>) -> Option<DropReason>;

    /// Which of the endpoint's addresses `local` is, or none. `remote` is the other side.
    fn place(endpoint: &Endpoint, local: Self::Address, remote: Self::Address) -> Option<u32>;

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

/// Where an IP packet ends in the frame, given the length its header declares, from the start of
/// the IP header. A frame may be longer (Ethernet pads to 60 bytes), never shorter.
#[inline(always)]
fn end(declared: u32, frame: u32) -> Result<u32, DropReason> {
    let end = ETHERNET_LENGTH as u32 + declared;
    if end > frame {
        return Err(DropReason::Truncated);
    }
    Ok(end)
}
