//! Connections: what a packet means to the one that is tracked, or to the one it may open.
//!
//! ```text
//! find ─ none, or idle for too long ────────────────────────────> open.rs: judge, maybe track
//!  │
//!  ├─ SYN, and the connection is closing or cut ───────────────> open.rs: judge, start over
//!  ├─ SYN or ping against the direction of the connection ─────> open.rs: judge, leave it alone
//!  ├─ older generation ── judge again ─ denied ─ mark CUT ─────> drop
//!  ├─ CUT ─────────────────────────────────────────────────────> drop
//!  └─ note FIN, RST, first reply, time ────────────────────────> pass
//! ```

mod known;
mod open;
mod room;

pub(crate) use known::outlives_policy;

use netpol_common::conntrack::{Connection, timeout_class};
use netpol_common::counter::DropReason;

use crate::context::Context;
use crate::family::Family;
use crate::flow::Flow;
use crate::transport::Kind;
use crate::verdict::Verdict;
use crate::{Connections, Packet, Table, Tables};

/// What the tracked connection of a packet's key, if any, is to the packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// The packet's own connection.
    Same,
    /// There is none.
    None,
    /// One that has ended, in this table: the packet starts over.
    Over(Table),
    /// One that the packet has no part in.
    Leave,
}

/// A tracked connection, and where it is.
struct Found<L> {
    connection: Connection,
    place: L,
    table: Table,
}

/// The verdict on a packet that was understood.
#[inline(always)]
pub(crate) fn verdict<F, P, T>(
    context: &Context<'_, P, T>,
    flow: &Flow<F>,
) -> Result<Verdict, DropReason>
where
    F: Family,
    P: Packet,
    T: Tables + Connections<F::Key>,
{
    let now = context.tables.ticks();
    if flow.kind.is_message() {
        if flow.kind == Kind::ERROR {
            return Ok(Verdict::QUOTED);
        }
        return open::verdict(context, flow, now, Entry::Leave);
    }
    let entry = match find(context.tables, &flow.key, flow.selector(), now) {
        Some(found) => match known::entry(context, flow, &found) {
            Entry::Same => return Ok(known::verdict(context, flow, now, &found)),
            other => other,
        },
        None => Entry::None,
    };
    open::verdict(context, flow, now, entry)
}

/// The connection of a key, unless it is idle for longer than its time-out. An established
/// connection is found by the first look-up.
#[inline(always)]
fn find<K, T: Tables + Connections<K>>(
    tables: &T,
    key: &K,
    selector: u32,
    now: u32,
) -> Option<Found<T::Place>> {
    find_in(tables, Table::Replied, key, selector, now)
        .or_else(|| find_in(tables, Table::New, key, selector, now))
}

#[inline(always)]
fn find_in<K, T: Tables + Connections<K>>(
    tables: &T,
    table: Table,
    key: &K,
    selector: u32,
    now: u32,
) -> Option<Found<T::Place>> {
    let (connection, place) = tables.find(table, key)?;
    if over(tables, &connection, selector, now) {
        // Removed rather than written over: what comes next may be of the other table.
        tables.remove(table, key);
        return None;
    }
    Some(Found {
        connection,
        place,
        table,
    })
}

/// The connection of a key, for a packet that has no part in it.
#[inline(always)]
pub(crate) fn peek<K, T: Tables + Connections<K>>(
    tables: &T,
    key: &K,
    selector: u32,
) -> Option<Connection> {
    let now = tables.ticks();
    let peek_in = |table| {
        let (connection, _) = tables.find(table, key)?;
        (!over(tables, &connection, selector, now)).then_some(connection)
    };
    peek_in(Table::Replied).or_else(|| peek_in(Table::New))
}

/// Whether a connection is idle for longer than its time-out.
#[inline(always)]
pub(crate) fn over<T: Tables>(
    tables: &T,
    connection: &Connection,
    selector: u32,
    now: u32,
) -> bool {
    let timeout = tables.timeout(timeout_class(selector, connection.state));
    expired(connection.last_seen, now, timeout)
}

/// How far another CPU's idea of "now" may be ahead of this one's, in ticks.
const AHEAD: u32 = 16;

/// Whether a connection was last seen longer ago than its time-out.
#[inline(always)]
const fn expired(last_seen: u32, now: u32, timeout: u32) -> bool {
    // Another CPU may have written a later tick than the one this CPU has read.
    now.wrapping_sub(last_seen).wrapping_add(AHEAD) > timeout.saturating_add(AHEAD)
}

#[cfg(test)]
mod tests {
    use super::expired;

    const TIMEOUT: u32 = 7500;

    #[test]
    fn a_connection_expires_after_its_time_out_and_not_at_it() {
        assert!(!expired(1000, 1000, TIMEOUT));
        assert!(!expired(1000, 1000 + TIMEOUT, TIMEOUT));
        assert!(expired(1000, 1001 + TIMEOUT, TIMEOUT));
    }

    #[test]
    fn the_clock_may_wrap_meanwhile() {
        let before_wrap = 0_u32.wrapping_sub(100);
        assert!(!expired(before_wrap, TIMEOUT - 100, TIMEOUT));
        assert!(expired(before_wrap, TIMEOUT - 99, TIMEOUT));
    }

    #[test]
    fn another_cpu_may_have_written_a_later_tick() {
        assert!(!expired(1001, 1000, TIMEOUT));
        assert!(!expired(3, 0_u32.wrapping_sub(3), TIMEOUT));
        // A whole turn of the clock is not "a little later".
        assert!(expired(1100, 1000, TIMEOUT));
    }
}
