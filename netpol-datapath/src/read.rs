//! Reading a packet of an isolated endpoint, up to what it is judged by.

use netpol_common::Direction;
use netpol_common::conntrack::selector;
use netpol_common::counter::{self, DropReason};

use crate::context::Context;
use crate::family::{ETHERNET_LENGTH, Family, Header};
use crate::flow::Flow;
use crate::fragment;
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

/// The verdict on what is no IP packet.
#[inline(always)]
pub(crate) fn no_ip<P: Packet, T>(context: &Context<'_, P, T>) -> Verdict {
    if context.known && !context.endpoint.judged() {
        return Verdict::UNCOUNTED;
    }
    let reason = match ethertype(context.packet) {
        Err(reason) => reason,
        // Outside of the bytes or inside: the packet is of another network than the pod's own.
        Ok(_) if context.packet.has_tag() => DropReason::VlanTag,
        Ok(ethertype::ARP) => return Verdict::pass(counter::NEIGHBOUR),
        Ok(ethertype::TAG | ethertype::SERVICE_TAG) => DropReason::VlanTag,
        Ok(_) => DropReason::UnknownEtherType,
    };
    if context.known {
        context.refused(reason)
    } else {
        Verdict::drop(DropReason::UnknownEndpoint)
    }
}

/// Reads the IP header of a packet that is as long as the header says. A frame may be longer
/// (Ethernet pads to 60 bytes).
#[inline(always)]
pub(crate) fn header<F: Family, P: Packet>(packet: &P) -> Result<Header, DropReason> {
    let header = F::read(packet, ETHERNET_LENGTH)?;
    if header.end > packet.len() {
        return Err(DropReason::Truncated);
    }
    Ok(header)
}

/// Reads the header of a packet whose transport header is found without a walk. For what is not
/// on the way to a verdict.
#[inline(always)]
pub(crate) fn near<F: Family, P: Packet>(packet: &P) -> Option<Header> {
    let mut header = header::<F, P>(packet).ok()?;
    let near = header.plain || F::peek(packet, &mut header);
    near.then_some(header)
}

/// Follows a header that is not plain to the transport header, and reads that.
#[inline(always)]
fn follow<F: Family, P: Packet, T: Tables>(
    context: &Context<'_, P, T>,
    header: &mut Header,
) -> Result<Transport, DropReason> {
    let chain = F::follow(context.packet, context.tables, ETHERNET_LENGTH, header);
    header.protocol = chain.protocol();
    header.set_payload(chain.payload());
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
        // What an error quotes is cut so that the error needs no fragments: 576 bytes in all (RFC
        // 1812, 4.3.2.3), and 1280 (RFC 4443, 2.4).
        Ok(transport) if first && transport.kind == Kind::ERROR => Err(DropReason::Fragment),
        // RFC 7112: "the first fragment ... MUST include the entire IPv6 Header Chain"; RFC 1858
        // of IPv4. What is missing would come in a fragment that nobody judges.
        Err(_) if first => Err(DropReason::Fragment),
        other => other,
    }
}

/// The verdict on an IP packet of an endpoint that is isolated in at least one direction.
#[inline(always)]
pub(crate) fn isolated<F, P, T>(context: &Context<'_, P, T>) -> Result<Verdict, DropReason>
where
    F: Family,
    P: Packet,
    T: Tables + Connections<F::Key>,
{
    if context.packet.has_tag() {
        return Err(DropReason::VlanTag);
    }
    let mut header = header::<F, P>(context.packet)?;
    let (local, remote) = sides::<F, P>(context.packet, context.direction)?;
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
            key: F::key(
                context.ifindex,
                remote,
                transport.endpoint_ports(context.direction),
                selector(header.protocol, place),
            ),
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
pub(crate) fn sides<F: Family, P: Packet>(
    packet: &P,
    direction: Direction,
) -> Result<(F::Address, F::Address), DropReason> {
    Ok((
        local::<F, P>(packet, direction)?,
        remote::<F, P>(packet, direction)?,
    ))
}

/// The endpoint's address.
#[inline(always)]
pub(crate) fn local<F: Family, P: Packet>(
    packet: &P,
    direction: Direction,
) -> Result<F::Address, DropReason> {
    let at = match direction {
        Direction::Egress => F::SOURCE,
        Direction::Ingress => F::DESTINATION,
    };
    F::address(packet, ETHERNET_LENGTH + at)
}

/// The peer's address.
#[inline(always)]
pub(crate) fn remote<F: Family, P: Packet>(
    packet: &P,
    direction: Direction,
) -> Result<F::Address, DropReason> {
    local::<F, P>(packet, direction.opposite())
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
