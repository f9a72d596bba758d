//! The way of nearly every packet: one of an established connection, of which it changes nothing
//! but the time.
//!
//! It is a shortcut through `track`, and its verdict is the one that `track` has: whatever
//! is not certain here goes there. It is inlined into the program, alone, so that what it needs
//! stays in registers: half of the instructions that it takes with everything else beside it
//! (ADR 40; `cargo xtask bench check`).

use netpol_common::Direction;
use netpol_common::conntrack::{selector, state};
use netpol_common::endpoint::Endpoint;
use netpol_common::protocol;

use crate::family::{ETHERNET_LENGTH, Family};
use crate::read::{local, remote};
use crate::stage::Hook;
use crate::track::over;
use crate::transport::{PORTS_WORD, UDP_WORDS, datagram, tcp};
use crate::{Connections, Packet, Table, Tables};

/// The counter that a packet passes under, if that is certain; zero for what is not counted.
#[inline(always)]
pub(crate) fn counter<F, P, T>(
    packet: &P,
    tables: &T,
    hook: Hook,
    endpoint: Option<&Endpoint>,
) -> Option<u32>
where
    F: Family,
    P: Packet,
    T: Tables + Connections<F::Key>,
{
    let endpoint = endpoint?;
    // Each part is read when it is needed, for the same reason.
    let place = F::own_place(endpoint, local::<F, P>(packet, hook.direction).ok()?)?;
    if !endpoint.judged() {
        return Some(0);
    }
    if packet.has_tag() {
        return None;
    }
    let (protocol, ports) = ports::<F, P>(packet, hook.direction)?;
    let remote = remote::<F, P>(packet, hook.direction).ok()?;
    // What the pod sends to itself is tracked nowhere, so no answer of it makes a connection that is
    // found here.
    let selector = selector(protocol, place);
    let key = F::key(hook.ifindex, remote, ports, selector);
    let (connection, place) = tables.find(Table::Replied, &key)?;
    let settled = connection.state & (state::REPLIED | state::CUT | state::CLOSING);
    if settled != state::REPLIED || connection.generation != endpoint.generation {
        return None;
    }
    // One question and one answer: the next packet makes it more than that.
    if protocol == protocol::UDP && connection.state & state::STREAM == 0 {
        return None;
    }
    let now = tables.ticks();
    if over(tables, &connection, selector, now) {
        return None;
    }
    if connection.last_seen != now {
        tables.touch(place, now);
    }
    Some(connection.rule)
}

/// Protocol and ports of a packet that neither opens nor closes anything.
#[inline(always)]
fn ports<F: Family, P: Packet>(packet: &P, direction: Direction) -> Option<(u8, u32)> {
    let (protocol, length) = F::plain(packet)?;
    let payload = ETHERNET_LENGTH + F::LENGTH;
    let ports = match protocol {
        protocol::TCP if length >= tcp::WORDS as u32 * 4 => {
            let segment: [u32; tcp::WORDS] = packet.load(payload)?;
            if tcp::kind(&segment).turns() {
                return None;
            }
            segment[PORTS_WORD]
        }
        protocol::UDP if length >= UDP_WORDS as u32 * 4 => {
            let datagram: [u32; UDP_WORDS] = packet.load(payload)?;
            datagram[PORTS_WORD]
        }
        _ => return None,
    };
    let transport = datagram(u32::from_be(ports));
    Some((protocol, transport.endpoint_ports(direction)))
}
