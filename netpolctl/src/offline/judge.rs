//! A probe judged by the compiled maps and the datapath: the code that runs in the kernel.
//!
//! ```text
//! request   from_endpoint at the source's pod  ->  to_endpoint at the destination's
//! reply     to_endpoint at the source's pod    <-  from_endpoint at the destination's
//! ```
//! An address that is no pod's has nobody to judge there. Conntrack is empty before each probe.

use std::rc::Rc;

use netpol_api::Direction;
use netpol_common::counter::{EVENTS_LOST, FIRST_RULE};
use netpol_datapath::memory::{Full, Memory, SlicePacket};
use netpol_datapath::{Decision, from_endpoint, to_endpoint};

use super::addresses::{Addresses, node_key};
use super::maps;
use super::probe::Probe;

/// What is decided about a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What the source's end says of the request.
    pub(crate) egress: End,
    /// What the destination's end says of it.
    pub(crate) ingress: End,
    /// The end that drops the reply, with what it counted that under, although both ends let the
    /// request pass. A sound datapath never does.
    pub(crate) reply_dropped: Option<(Direction, Option<u32>)>,
}

/// What one end of a connection says of its first packet. The numbers are counters of the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The address is no pod's: nobody judges here.
    Outside,
    /// It passes, counted under a rule or an exemption, or uncounted since nothing isolates.
    Passed(Option<u32>),
    /// It is dropped.
    Dropped(Option<u32>),
    /// The pod cannot be understood, and is closed: why.
    Unknown(Rc<str>),
}

impl End {
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Outside | Self::Passed(_))
    }
}

impl Outcome {
    /// The end that denies the connection, if one does.
    pub(crate) fn denied_at(&self) -> Option<Direction> {
        if !self.egress.passes() {
            Some(Direction::Egress)
        } else if !self.ingress.passes() {
            Some(Direction::Ingress)
        } else {
            self.reply_dropped.map(|(at, _)| at)
        }
    }
}

/// Judges a probe as a fresh connection.
pub(super) fn judge(
    memory: &mut Memory,
    addresses: &Addresses,
    probe: &Probe,
) -> Result<Outcome, Full> {
    let source = addresses.endpoint(probe.from());
    let destination = addresses.endpoint(probe.to());
    // A source that is the destination's own node sends from a socket there. Another node's
    // address is one like any other.
    let from = node_key(probe.from());
    let node = destination.map_or(&[][..], |endpoint| &endpoint.node);
    let from_node = node.contains(&from);
    let own = if from_node { node } else { &[] };
    maps::set_node(memory, own, addresses.nodes())?;
    memory.clear_connections();

    let packet = probe.request();
    let packet = SlicePacket {
        local_socket: from_node,
        ..SlicePacket::new(&packet)
    };
    let mut outcome = Outcome {
        egress: End::Outside,
        ingress: End::Outside,
        reply_dropped: None,
    };
    if let Some(why) = addresses.unknown(probe.from()) {
        outcome.egress = End::Unknown(Rc::clone(why));
    } else if let Some(source) = source {
        outcome.egress = end(memory, || from_endpoint(source.ifindex, &packet, memory));
    }
    let itself = source.is_some_and(|s| destination.is_some_and(|d| s.ifindex == d.ifindex));
    if itself && outcome.egress.passes() {
        // It never leaves the pod.
        outcome.ingress = outcome.egress.clone();
        return Ok(outcome);
    }
    if let Some(why) = addresses.unknown(probe.to()) {
        outcome.ingress = End::Unknown(Rc::clone(why));
    } else if let Some(destination) = destination {
        outcome.ingress = end(memory, || to_endpoint(destination.ifindex, &packet, memory));
    }
    if outcome.denied_at().is_none() {
        let [source, destination] = [source, destination].map(|e| e.map(|e| e.ifindex));
        outcome.reply_dropped = reply(memory, source, destination, probe);
    }
    Ok(outcome)
}

/// What the destination's end says of a request, whatever the source's end did: the packet may have
/// been addressed to a Service there.
pub(super) fn destination(
    memory: &mut Memory,
    addresses: &Addresses,
    probe: &Probe,
) -> Result<End, Full> {
    if let Some(why) = addresses.unknown(probe.to()) {
        return Ok(End::Unknown(Rc::clone(why)));
    }
    let Some(destination) = addresses.endpoint(probe.to()) else {
        return Ok(End::Outside);
    };
    let from_node = destination.node.contains(&node_key(probe.from()));
    let own = if from_node {
        &destination.node[..]
    } else {
        &[]
    };
    maps::set_node(memory, own, addresses.nodes())?;
    memory.clear_connections();
    let packet = probe.request();
    let packet = SlicePacket {
        local_socket: from_node,
        ..SlicePacket::new(&packet)
    };
    Ok(end(memory, || {
        to_endpoint(destination.ifindex, &packet, memory)
    }))
}

/// The end that drops the reply, if one does.
fn reply(
    memory: &Memory,
    source: Option<u32>,
    destination: Option<u32>,
    probe: &Probe,
) -> Option<(Direction, Option<u32>)> {
    let packet = probe.reply();
    let packet = SlicePacket::new(&packet);
    let leaves = destination.map_or(End::Outside, |ifindex| {
        end(memory, || from_endpoint(ifindex, &packet, memory))
    });
    if let End::Dropped(counter) = leaves {
        return Some((Direction::Ingress, counter));
    }
    let arrives = source.map_or(End::Outside, |ifindex| {
        end(memory, || to_endpoint(ifindex, &packet, memory))
    });
    match arrives {
        End::Dropped(counter) => Some((Direction::Egress, counter)),
        End::Outside | End::Passed(_) | End::Unknown(_) => None,
    }
}

/// What an end decides about a packet, and what it counts that under.
fn end(memory: &Memory, judge: impl FnOnce() -> Decision) -> End {
    memory.clear_counters();
    let decision = judge();
    let counted = memory.counters().into_iter().map(|(number, _)| number);
    // The numbers between are no verdicts.
    let counted = counted
        .rev()
        .find(|n| !(EVENTS_LOST..FIRST_RULE).contains(n));
    match decision {
        Decision::Next | Decision::Answer => End::Passed(counted),
        Decision::Drop | Decision::Reject => End::Dropped(counted),
    }
}
