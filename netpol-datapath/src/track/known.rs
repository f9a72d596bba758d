//! Packets of a tracked connection.

use netpol_common::Direction;
use netpol_common::conntrack::{Connection, state};
use netpol_common::counter::{CONNTRACK_NOT_PROMOTED, COUNTS_LOST, FROM_NODE, SELF};
use netpol_common::maps::OWN_NODE;

use super::{Entry, Found, room};
use crate::context::Context;
use crate::family::Family;
use crate::flow::Flow;
use crate::judge::Judgement;
use crate::note;
use crate::report::note;
use crate::transport::Kind;
use crate::verdict::Verdict;
use crate::{Connections, Packet, Table, Tables};

/// What a tracked connection is to a packet of its key.
#[inline(always)]
pub(super) fn entry<F: Family, P, T, L>(
    context: &Context<'_, P, T>,
    flow: &Flow<F>,
    found: &Found<L>,
) -> Entry {
    let connection = &found.connection;
    if flow.kind.opens_stream() && connection.state & (state::CLOSING | state::CUT) != 0 {
        // The ports are used again: a new connection, whatever became of the last one.
        return Entry::Over(found.table);
    }
    if flow.kind.opens() && connection.initiator() != context.direction {
        // The other side opens a connection of its own between the same ports.
        return Entry::Leave;
    }
    Entry::Same
}

/// The verdict on a packet of a tracked connection.
#[inline(always)]
pub(super) fn verdict<F, P, T>(
    context: &Context<'_, P, T>,
    flow: &Flow<F>,
    now: u32,
    found: &Found<T::Place>,
) -> Verdict
where
    F: Family,
    P: Packet,
    T: Tables + Connections<F::Key>,
{
    let was = found.connection;
    let mut connection = was;
    if was.generation != context.endpoint.generation {
        let judgement = judge_again(context, flow, &was);
        if judgement.is_inconsistent() {
            return Verdict::deny(judgement.rule());
        }
        connection.generation = context.endpoint.generation;
        connection.rule = judgement.rule();
        connection.state &= !state::CUT;
        if !judgement.is_allowed() {
            connection.state |= state::CUT;
            connection.last_seen = now;
            return cut(context, &flow.key, found.table, &was, &connection);
        }
    } else if was.state & state::CUT != 0 {
        touch(context.tables, &flow.key, found, now);
        return Verdict::deny(was.rule).answered(context.endpoint.direction(was.initiator()));
    }
    // Sent again before an answer came: the first packet's note may be used up or too old.
    let returns = was.state & (state::REPLIED | state::OWN_SERVICE) == state::OWN_SERVICE
        && note::may_return(context);
    connection.state |= flow.kind.closing(context.direction);
    if was.initiator() != context.direction {
        if !flow.kind.resets() {
            connection.state |= state::REPLIED;
        }
    } else if was.state & state::REPLIED != 0 && flow.kind == Kind::DATAGRAM {
        connection.state |= state::STREAM;
    }
    if connection == was {
        touch(context.tables, &flow.key, found, now);
    } else {
        connection.last_seen = now;
        write(context.tables, &flow.key, found.table, &was, &connection);
    }
    Verdict::pass(connection.rule).noting(returns)
}

/// Judges a connection again, in the direction in which it was opened, by the policy sets in
/// force now.
#[inline(always)]
fn judge_again<F: Family, P, T: Tables>(
    context: &Context<'_, P, T>,
    flow: &Flow<F>,
    was: &Connection,
) -> Judgement {
    let remote = flow.remote();
    if outlives_policy::<F, T>(context.tables, was, &remote) {
        return Judgement::allowed(was.rule);
    }
    flow.judge(context, was.initiator())
}

/// Whether a connection is one that no policy is asked about: the node's own, or the pod's to
/// itself.
#[inline(always)]
pub(crate) fn outlives_policy<F: Family, T: Tables>(
    tables: &T,
    was: &Connection,
    remote: &F::Address,
) -> bool {
    // The packet at hand may be the pod's answer, so the socket that opened the connection is
    // not there to be asked; the address is.
    // So it is with what the pod sent to itself through a Service: it opened the connection, once.
    let from_node = was.rule == FROM_NODE;
    let from_itself = was.rule == SELF && was.initiator() == Direction::Ingress;
    (from_node || from_itself) && tables.node(&F::node_key(*remote)) == Some(OWN_NODE)
}

/// Marks a connection that is no longer allowed. It is counted once, under what forbade it: one
/// that another change forbids too is cut already. (Two CPUs that meet it at the same moment may
/// both count it.)
#[inline(always)]
fn cut<K, P, T: Tables + Connections<K>>(
    context: &Context<'_, P, T>,
    key: &K,
    table: Table,
    was: &Connection,
    connection: &Connection,
) -> Verdict {
    // Should the entry have gone meanwhile, the next packet is judged as one without an entry.
    let _ = context.tables.replace(table, key, connection);
    if was.state & state::CUT == 0 && !context.tables.count_cut(connection.rule) {
        note(context.tables, COUNTS_LOST);
    }
    let rules = context.endpoint.direction(connection.initiator());
    Verdict::deny(connection.rule).answered(rules)
}

/// Notes the time of a packet, if it is another than the last one's.
#[inline(always)]
fn touch<K, T: Connections<K>>(tables: &T, key: &K, found: &Found<T::Place>, now: u32) {
    if found.connection.last_seen == now {
        return;
    }
    if found.table == Table::New && waits(&found.connection) {
        let connection = Connection {
            last_seen: now,
            ..found.connection
        };
        if room::promote(tables, key, &connection) {
            return;
        }
    }
    tables.touch(found.place, now);
}

/// Whether a connection belongs among the replied ones, where it found no room.
#[inline(always)]
const fn waits(connection: &Connection) -> bool {
    connection.state & (state::REPLIED | state::CUT) == state::REPLIED
}

/// Writes a connection that has changed, and moves it at its first reply.
#[inline(always)]
fn write<K, T: Tables + Connections<K>>(
    tables: &T,
    key: &K,
    table: Table,
    was: &Connection,
    connection: &Connection,
) {
    let first_reply = was.state & state::REPLIED == 0 && connection.state & state::REPLIED != 0;
    if table == Table::New && first_reply {
        if room::promote(tables, key, connection) {
            return;
        }
        // It stays where it is, with the longer time-out of a replied one, and tries again.
        note(tables, CONNTRACK_NOT_PROMOTED);
    }
    // As in `cut`.
    let _ = tables.replace(table, key, connection);
}
