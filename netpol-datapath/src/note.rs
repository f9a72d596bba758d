//! A pod that reaches itself through its own Service.
//!
//! kube-proxy sends such a packet back to the pod, from an address of the node (and, it may be,
//! from another port), since an answer from the pod to itself would never leave it. Which backend
//! it chooses cannot be known beforehand, and the node's address proves nothing. So the outgoing
//! packet leaves a note of what NAT does not change, and the incoming one, which policy would
//! refuse, must match it.

use netpol_common::Direction;
use netpol_common::endpoint::flags;
use netpol_common::maps::OWN_NODE;
use netpol_common::note::{Note, SECONDS};
use netpol_common::protocol;

use crate::context::Context;
use crate::family::{Family, Header, V4, V6};
use crate::flow::Flow;
use crate::read::{ethertype, near};
use crate::transport::Kind;
use crate::{Packet, Tables};

/// Whether packets of the endpoint can come back to it and be refused.
#[inline(always)]
pub(crate) fn may_return<P, T>(context: &Context<'_, P, T>) -> bool {
    context.direction == Direction::Egress && context.endpoint.ingress.isolated()
}

/// Leaves a note of an outgoing packet that may come back.
#[inline(always)]
pub(crate) fn leave<P: Packet, T: Tables>(context: &Context<'_, P, T>) {
    let note = note(context, context.tables.ticks());
    context.tables.leave_note(note.place(), &note);
}

/// What becomes of an incoming packet that policy refuses: it passes when the pod itself sent it
/// a moment ago.
#[inline(always)]
pub(crate) fn expected<F: Family, P: Packet, T: Tables>(
    context: &Context<'_, P, T>,
    flow: &Flow<F>,
    now: u32,
) -> bool {
    let tables = context.tables;
    if context.direction != Direction::Ingress
        || context.endpoint.egress.flags & flags::OWN_SERVICES == 0
        || !(flow.kind.opens_stream() || flow.kind == Kind::DATAGRAM)
        || tables.node(&F::node_key(flow.remote())) != Some(OWN_NODE)
    {
        return false;
    }
    let note = note(context, now);
    let place = note.place();
    let Some(left) = tables.note(place) else {
        return false;
    };
    let age = now.wrapping_sub(left.ticks);
    if !left.is_of(&note) || age > SECONDS * tables.ticks_per_second() {
        return false;
    }
    tables.drop_note(place);
    true
}

#[inline(always)]
fn note<P: Packet, T>(context: &Context<'_, P, T>, now: u32) -> Note {
    let mut note = Note {
        endpoint: context.ifindex,
        ticks: now,
        ..Note::default()
    };
    mark(context.packet, &mut note);
    note
}

/// Reads a packet again, which was understood before, for what NAT leaves alone.
///
/// Not inlined, and for both families at once: it is off the way of every other packet.
#[inline(never)]
fn mark<P: Packet>(packet: &P, note: &mut Note) {
    match ethertype(packet) {
        Ok(ethertype::IPV4) => mark_ip::<V4, P>(packet, note),
        Ok(ethertype::IPV6) => mark_ip::<V6, P>(packet, note),
        _ => {}
    }
}

#[inline(always)]
fn mark_ip<F: Family, P: Packet>(packet: &P, note: &mut Note) {
    let Some(header) = near::<F, P>(packet) else {
        return;
    };
    note.protocol = F::VERSION << 8 | header.protocol as u32;
    note.mark = match header.protocol {
        // Ports; sequence number.
        protocol::TCP => [word(packet, &header, 1), 0],
        // Ports; length and checksum; data.
        protocol::UDP => {
            let length = u32::from_be(word(packet, &header, 1)) & 0xffff_0000;
            [
                length ^ word(packet, &header, 2).rotate_left(3),
                word(packet, &header, 3),
            ]
        }
        // Ports; verification tag; checksum; first chunk.
        _ => [word(packet, &header, 3), word(packet, &header, 4)],
    };
}

/// A word after the IP header; zero beyond the packet's end.
#[inline(always)]
fn word<P: Packet>(packet: &P, header: &Header, index: usize) -> u32 {
    let offset = header.payload() + index * 4;
    if offset as u32 + 4 > header.end {
        return 0;
    }
    match packet.load::<1>(offset) {
        Some([word]) => word,
        None => 0,
    }
}
