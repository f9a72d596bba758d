//! Reading a packet of an isolated endpoint, up to what it is judged by.

use netpol_common::Direction;
use netpol_common::conntrack::{Key4, Key6};
use netpol_common::counter::{self, DropReason};

use crate::context::Context;
use crate::family::{ETHERNET_LENGTH, Family, Header, V4, V6};
use crate::flow::Flow;
use crate::fragment;
use crate::quote::Quoted;
use crate::track;
use crate::transport::{self, Kind, Transport};
use crate::verdict::{Decision, Verdict};
use crate::{Connections, Packet, Tables};

/// Ethernet types (IANA, "IEEE 802 Numbers").
pub(crate) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    pub(crate) const IPV6: u16 = 0x86dd;
    /// A customer's VLAN tag (IEEE 802.1Q), and a provider's.
    pub(crate) const TAG: u16 = 0x8100;
    pub(crate) const SERVICE_TAG: u16 = 0x88a8;
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
    // Outside of the bytes or inside: the packet is of another network than the pod's own.
    if context.packet.has_tag() {
        return Err(DropReason::VlanTag);
    }
    match ethertype(context.packet)? {
        ethertype::IPV4 => ip::<V4, P, T>(context),
        ethertype::IPV6 => ip::<V6, P, T>(context),
        ethertype::ARP => Ok(Verdict::pass(counter::NEIGHBOUR)),
        ethertype::TAG | ethertype::SERVICE_TAG => Err(DropReason::VlanTag),
        _ => Err(DropReason::UnknownEtherType),
    }
}

/// Reads the IP header of a packet that is as long as the header says. A frame may be longer
/// (Ethernet pads to 60 bytes).
#[inline(always)]
pub(crate) fn header<F: Family, P: Packet>(packet: &P) -> Result<Header<F::Address>, DropReason> {
    let header = F::read(packet, ETHERNET_LENGTH)?;
    if header.end > packet.len() {
        return Err(DropReason::Truncated);
    }
    Ok(header)
}

/// Reads the header of a packet whose transport header is found without a walk. For what is not
/// on the way to a verdict.
#[inline(always)]
pub(crate) fn near<F: Family, P: Packet>(packet: &P) -> Option<Header<F::Address>> {
    let mut header = header::<F, P>(packet).ok()?;
    let near = header.plain || F::peek(packet, &mut header);
    near.then_some(header)
}

/// Follows a header that is not plain to the transport header, and reads that.
#[inline(always)]
fn follow<F: Family, P: Packet, T: Tables>(
    context: &Context<'_, P, T>,
    header: &mut Header<F::Address>,
) -> Result<Transport, DropReason> {
    let chain = F::follow(context.packet, context.tables, ETHERNET_LENGTH, header);
    header.protocol = chain.protocol();
    header.payload = chain.payload();
    if let Some(reason) = chain.obstacle() {
        return Err(reason);
    }
    header.part = F::part(header, chain);
    let transport = transport::read::<F, P>(context.packet, header);
    let first = F::first(header.part);
    match transport {
        // RFC 6980: "Nodes MUST silently ignore" neighbour discovery in fragments; and nobody
        // sends it behind other extension headers. What listens to groups is behind hop-by-hop
        // options.
        Ok(Transport { ports, kind })
            if kind == Kind::NEIGHBOUR || (first && kind == Kind::LISTENER) =>
        {
            Ok(Transport {
                ports,
                kind: Kind::ICMP_OTHER,
            })
        }
        // RFC 7112: "the first fragment ... MUST include the entire IPv6 Header Chain"; RFC 1858
        // of IPv4. What is missing would come in a fragment that nobody judges.
        Err(_) if first => Err(DropReason::Fragment),
        other => other,
    }
}

#[inline(always)]
fn ip<F, P, T>(context: &Context<'_, P, T>) -> Result<Verdict, DropReason>
where
    F: Quoted,
    P: Packet,
    T: Tables + Connections<F::Key>,
{
    let mut header = header::<F, P>(context.packet)?;
    let (local, remote) = sides(&header, context.direction);
    let transport = if header.plain {
        transport::read::<F, P>(context.packet, &header)
    } else {
        follow::<F, P, T>(context, &mut header)
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
    let transport = match transport {
        Err(DropReason::FirstFragmentNotSeen) => {
            return fragment::later::<F, P, T>(context, place, remote);
        }
        other => other?,
    };
    let verdict = track::verdict::<F, P, T>(
        context,
        &Flow {
            place,
            remote,
            protocol: header.protocol,
            ports: transport.endpoint_ports(context.direction),
            kind: transport.kind,
        },
    )?;
    if F::first(header.part) && verdict.decision == Decision::Next {
        fragment::first::<F, P, T>(context, place, remote, verdict.counter);
    }
    Ok(verdict)
}

/// The endpoint's address and the peer's.
#[inline(always)]
pub(crate) const fn sides<A: Copy>(header: &Header<A>, direction: Direction) -> (A, A) {
    match direction {
        Direction::Egress => (header.source, header.destination),
        Direction::Ingress => (header.destination, header.source),
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use netpol_common::counter::DropReason;
    use netpol_common::endpoint::{Endpoint, EndpointDirection, flags};

    use crate::build::arp;
    use crate::memory::{Memory, SlicePacket};
    use crate::{Decision, from_endpoint, to_endpoint};

    #[test]
    fn a_tag_that_the_kernel_keeps_beside_the_frame_is_seen() {
        let mut memory = Memory::default();
        let endpoint = Endpoint {
            ingress: EndpointDirection {
                flags: flags::ISOLATED,
                ..EndpointDirection::default()
            },
            ..Endpoint::default()
        };
        memory.endpoint.insert(1, endpoint).expect("room");
        let frame = arp();
        let mut packet = SlicePacket::new(&frame);
        assert_eq!(to_endpoint(1, &packet, &memory), Decision::Next);
        packet.tag = true;
        assert_eq!(to_endpoint(1, &packet, &memory), Decision::Drop);
        let tagged = memory.counter(DropReason::VlanTag.counter());
        assert_eq!(tagged.packets, 1);
        // The direction that is not isolated.
        assert_eq!(from_endpoint(1, &packet, &memory), Decision::Next);
    }
}
