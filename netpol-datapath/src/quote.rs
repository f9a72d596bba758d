//! ICMP errors: judged by the packet that they quote.
//!
//! ```text
//!                outer             quote
//! to the pod     router ─> pod     pod ─> peer     what the pod sent
//! from the pod   pod ─> peer       peer ─> pod     what came to the pod
//! ```
//!
//! An error passes exactly when the quoted packet is one of a tracked connection of the endpoint:
//! the router that sends it is nobody whom a policy knows, and what it says is about a connection
//! that one allows. So it passes under that connection's rule. Nothing is written on the way: who
//! forges errors keeps no connection alive, nor changes one.

mod v4;
mod v6;

use netpol_common::Direction;
use netpol_common::conntrack::{selector, selector_protocol, state};
use netpol_common::counter::DropReason;
use netpol_common::endpoint::Endpoint;
use netpol_common::protocol;

use crate::context::Context;
use crate::family::{ETHERNET_LENGTH, Family};
use crate::judge::{Judgement, Opening};
use crate::read::near;
use crate::transport::{Transport, datagram, icmp};
use crate::verdict::Verdict;
use crate::{Connections, Packet, Tables, track};

/// The IP header of a quoted packet.
pub(crate) struct Quote<A> {
    source: A,
    destination: A,
    protocol: u8,
    /// Offset in the frame of what follows the header.
    payload: usize,
}

/// Reads the header of a quoted packet.
pub(crate) trait Quoted: Family {
    /// Of a quote at `offset`, in a frame whose IP packet ends at `end`. What the header says of
    /// its packet's length means nothing here: the quote is cut.
    fn quoted<P: Packet>(
        packet: &P,
        offset: usize,
        end: u32,
    ) -> Result<Quote<Self::Address>, DropReason>;
}

/// Words that follow the IP header in the shortest quote (RFC 792: "64 bits of Data Datagram").
const QUOTED_WORDS: usize = 2;
/// Bytes of an error before its quote, the same in all of them.
const ERROR_HEADER: usize = icmp::WORDS * 4;

/// There is no such connection.
const UNKNOWN: Judgement = Judgement::denied(DropReason::QuoteUnknown.counter());

/// The verdict on an ICMP error.
#[inline(always)]
pub(crate) fn verdict<F, P, T>(context: &Context<'_, P, T>) -> Verdict
where
    F: Quoted,
    P: Packet,
    T: Tables + Connections<F::Key>,
{
    let mut key = F::key(context.ifindex, F::Address::default(), 0, 0);
    let read = read::<F, P>(
        context.packet,
        context.endpoint,
        context.ifindex,
        context.direction,
        &mut key,
    );
    let reason = match read {
        Ok(()) => match of_connection::<F, T>(context.tables, context.slot, &key) {
            UNKNOWN => DropReason::QuoteUnknown,
            judgement if judgement.is_allowed() => return Verdict::pass(judgement.rule()),
            judgement => return Verdict::deny(judgement.rule()),
        },
        Err(reason) => reason,
    };
    context.refused(reason)
}

/// The key of the quoted packet's connection.
///
/// Not inlined, nor is what follows: what the one has on the stack is gone before the other.
#[inline(never)]
fn read<F: Quoted, P: Packet>(
    packet: &P,
    endpoint: &Endpoint,
    ifindex: u32,
    direction: Direction,
    key: &mut F::Key,
) -> Result<(), DropReason> {
    // Nobody sends errors behind extension headers.
    let outer = near::<F, P>(packet).ok_or(DropReason::QuoteMalformed)?;
    // Behind a fragment header and more, what was found is not the error: what would be taken for
    // its quote may be of anybody's making.
    if outer.protocol != F::ICMP {
        return Err(DropReason::QuoteMalformed);
    }
    let quote = F::quoted(packet, outer.payload() + ERROR_HEADER, outer.end)?;
    let transport = transport::<F, P>(packet, &quote, outer.end)?;
    let destination = F::address(packet, ETHERNET_LENGTH + F::DESTINATION)?;
    // RFC 1122, 3.2.2, and RFC 4443, 2.2: an error goes to who sent the packet. From the pod that is
    // the peer of the connection, and nobody else; to the pod it is the address that the connection
    // has here.
    if destination != quote.source {
        return Err(DropReason::QuoteUnknown);
    }
    // The quoted packet went the other way.
    let (local, remote) = match direction {
        Direction::Egress => (quote.destination, quote.source),
        Direction::Ingress => (quote.source, quote.destination),
    };
    let place = F::place(endpoint, local, remote).ok_or(DropReason::QuoteUnknown)?;
    let ports = transport.endpoint_ports(direction.opposite());
    *key = F::key(ifindex, remote, ports, selector(quote.protocol, place));
    Ok(())
}

/// Ports of a quoted packet, or the identifier of a ping.
#[inline(always)]
fn transport<F: Family, P: Packet>(
    packet: &P,
    quote: &Quote<F::Address>,
    end: u32,
) -> Result<Transport, DropReason> {
    let icmp = quote.protocol == F::ICMP;
    let ports = matches!(
        quote.protocol,
        protocol::TCP | protocol::UDP | protocol::SCTP
    );
    if !icmp && !ports {
        return Ok(datagram(0));
    }
    let words: [u32; QUOTED_WORDS] = part(packet, quote.payload, end)?;
    if icmp {
        // RFC 1122, 3.2.2: no error is sent about an error; and nothing else is tracked.
        return icmp::echo::<F>(words).ok_or(DropReason::QuoteUnknown);
    }
    Ok(datagram(u32::from_be(words[0])))
}

/// Words of a quote.
#[inline(always)]
fn part<P: Packet, const N: usize>(
    packet: &P,
    offset: usize,
    end: u32,
) -> Result<[u32; N], DropReason> {
    if offset as u32 + N as u32 * 4 > end {
        return Err(DropReason::QuoteMalformed);
    }
    packet.copy(offset).ok_or(DropReason::Truncated)
}

/// What the connection of a key says.
#[inline(never)]
fn of_connection<F: Family, T: Tables + Connections<F::Key>>(
    tables: &T,
    slot: u32,
    key: &F::Key,
) -> Judgement {
    let Some(endpoint) = tables.entry(slot) else {
        return UNKNOWN;
    };
    let (remote, ports, selector) = F::parts(key);
    let Some(was) = track::peek(tables, key, selector) else {
        return UNKNOWN;
    };
    if was.generation == endpoint.generation {
        return if was.state & state::CUT != 0 {
            Judgement::denied(was.rule)
        } else {
            Judgement::allowed(was.rule)
        };
    }
    if track::outlives_policy::<F, T>(tables, &was, remote) {
        return Judgement::allowed(was.rule);
    }
    let initiator = was.initiator();
    let port = match initiator {
        Direction::Egress => (ports >> 16) as u16,
        Direction::Ingress => ports as u16,
    };
    let opening = Opening::new(initiator, selector_protocol(selector), port);
    F::judge(tables, slot, *remote, opening)
}
