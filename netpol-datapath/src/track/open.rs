//! Packets without a tracked connection, or that start one over.

use netpol_common::Direction;
use netpol_common::conntrack::{Connection, state};
use netpol_common::counter::{DropReason, FROM_NODE, SELF};
use netpol_common::maps::OWN_NODE;

use super::{Entry, room};
use crate::context::Context;
use crate::family::Family;
use crate::flow::Flow;
use crate::judge::Judgement;
use crate::midstream;
use crate::note;
use crate::reject;
use crate::transport::Kind;
use crate::verdict::Verdict;
use crate::{Connections, Packet, Table, Tables};

/// The verdict on a packet as one that opens a connection in its own direction.
#[inline(always)]
pub(super) fn verdict<F, P, T>(
    context: &Context<'_, P, T>,
    flow: &Flow<F>,
    now: u32,
    entry: Entry,
) -> Result<Verdict, DropReason>
where
    F: Family,
    P: Packet,
    T: Tables + Connections<F::Key>,
{
    let judgement = if from_node(context, flow) {
        Judgement::allowed(FROM_NODE)
    } else {
        flow.judge(context, context.direction)
    };
    let judgement = if judgement.is_allowed() {
        judgement
    } else {
        if !note::expected(context, flow, now) {
            let denied = Verdict::deny(judgement.rule());
            return Ok(match entry {
                Entry::None => denied.answered(context.endpoint.direction(context.direction)),
                // A RST would end the connection of these ports, which may be allowed.
                _ => denied,
            });
        }
        Judgement::allowed(SELF)
    };
    let returns = judgement.is_own_service() && note::may_return(context);
    if entry == Entry::Leave || !opens_entry(context, flow) {
        let passed = Verdict::pass(judgement.rule()).noting(returns);
        return Ok(reject::passing(context, passed));
    }
    let connection = Connection {
        state: match context.direction {
            Direction::Egress if returns => state::FROM_ENDPOINT | state::OWN_SERVICE,
            Direction::Egress => state::FROM_ENDPOINT,
            Direction::Ingress => 0,
        },
        generation: context.endpoint.generation,
        rule: judgement.rule(),
        last_seen: now,
    };
    let replaced = entry == Entry::Over(Table::New)
        && context.tables.replace(Table::New, &flow.key, &connection);
    if !replaced {
        room::open(context.tables, &flow.key, &connection).found()?;
    }
    // One key is in one table: the connection that closed would be found first.
    if entry == Entry::Over(Table::Replied) {
        context.tables.remove(Table::Replied, &flow.key);
    }
    Ok(Verdict::open(judgement.rule()).noting(returns))
}

/// Whether a packet may open an entry.
#[inline(always)]
fn opens_entry<F: Family, P, T: Tables>(context: &Context<'_, P, T>, flow: &Flow<F>) -> bool {
    let kind = flow.kind;
    if kind.is_stream() && !kind.opens_stream() {
        return midstream::opens_entry(context, flow);
    }
    kind.is_stream() || kind == Kind::DATAGRAM || kind == Kind::ECHO_REQUEST
}

/// Whether the node itself sent the packet.
///
/// The API: "traffic to and from the node where a Pod is running is always allowed, regardless of
/// the IP address of the Pod or the node". A forwarded packet may carry the node's address too
/// (masquerading), but no socket of the node.
#[inline(always)]
fn from_node<F: Family, P: Packet, T: Tables>(context: &Context<'_, P, T>, flow: &Flow<F>) -> bool {
    context.direction == Direction::Ingress
        && context.packet.has_local_socket()
        && context.tables.node(&F::node_key(flow.remote())) == Some(OWN_NODE)
}
