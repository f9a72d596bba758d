//! Reading a packet of an isolated endpoint, up to what it is judged by.

use netpol_common::Direction;
use netpol_common::conntrack::{Key4, Key6};
use netpol_common::counter::{self, DropReason};

use crate::context::Context;
use crate::family::{Header, V4, V6};
use crate::flow::Flow;
use crate::quote::Quoted;
use crate::track;
use crate::transport;
use crate::verdict::Verdict;
use crate::{Connections, Packet, Tables};

/// Ethernet types (IANA, "IEEE 802 Numbers").
pub(crate) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    pub(crate) const IPV6: u16 = 0x86dd;
}

/// Offset of the word that ends the Ethernet header: two bytes of an address, then the type.
const ETHERTYPE_WORD: usize = 10;

/// The Ethernet type of a frame.
#[inline(always)]
pub(crate) fn ethertype<P: Packet>(packet: &P) -> Result<u16, DropReason> {
    let [word] = packet.load(ETHERTYPE_WORD).ok_or(DropReason::Truncated)?;
    Ok(u32::from_be(word) as u16)
}

/// The verdict at an endpoint that is isolated in at least one direction.
#[inline(always)]
pub(crate) fn isolated<P, T>(context: &Context<'_, P, T>) -> Result<Verdict, DropReason>
where
    P: Packet,
    T: Tables + Connections<Key4> + Connections<Key6>,
{
    match ethertype(context.packet)? {
        ethertype::IPV4 => ip::<V4, P, T>(context),
        ethertype::IPV6 => ip::<V6, P, T>(context),
        ethertype::ARP => Ok(Verdict::pass(counter::NEIGHBOUR)),
        _ => Err(DropReason::UnknownEtherType),
    }
}

#[inline(always)]
fn ip<F, P, T>(context: &Context<'_, P, T>) -> Result<Verdict, DropReason>
where
    F: Quoted,
    P: Packet,
    T: Tables + Connections<F::Key>,
{
    let header = F::read(context.packet)?;
    let (local, remote) = sides(&header, context.direction);
    let transport = match F::obstacle(&header) {
        Some(reason) => Err(reason),
        None => transport::read::<F, P>(context.packet, &header),
    };
    if matches!(&transport, Ok(transport) if transport.kind.is_of_link()) {
        return Ok(Verdict::pass(counter::NEIGHBOUR));
    }
    let place = F::place(context.endpoint, local, remote).ok_or(match context.direction {
        Direction::Egress => DropReason::Spoofed,
        Direction::Ingress => DropReason::NotForEndpoint,
    })?;
    // The documentation of the API: "a Pod cannot block access to itself". What comes *in* with
    // the pod's own address as its source is somebody else's.
    if context.direction == Direction::Egress
        && F::owns(context.endpoint, local)
        && F::owns(context.endpoint, remote)
    {
        return Ok(Verdict::pass(counter::SELF));
    }
    let transport = transport?;
    track::verdict::<F, P, T>(
        context,
        &Flow {
            place,
            remote,
            protocol: header.protocol,
            ports: transport.endpoint_ports(context.direction),
            kind: transport.kind,
        },
    )
}

/// The endpoint's address and the peer's.
#[inline(always)]
pub(crate) const fn sides<A: Copy>(header: &Header<A>, direction: Direction) -> (A, A) {
    match direction {
        Direction::Egress => (header.source, header.destination),
        Direction::Ingress => (header.destination, header.source),
    }
}
