//! Room for a connection: an endpoint's share of a table, and the table itself.
//!
//! Only the first packet of a connection and its first answer come this way.

use netpol_common::conntrack::Connection;
use netpol_common::counter::DropReason;

use crate::{Connections, Inserted, Table};

/// Whether a connection found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[repr(u32)]
pub(super) enum Room {
    Found = 0,
    /// The endpoint holds its share.
    ShareUsed,
    /// The table is full.
    Full,
    /// What the endpoint holds is not known.
    Unknown,
}

impl Room {
    /// Why a connection that found no room does not pass.
    #[inline(always)]
    pub(super) const fn found(self) -> Result<(), DropReason> {
        match self {
            Self::Found => Ok(()),
            Self::ShareUsed => Err(DropReason::EndpointShare),
            Self::Full => Err(DropReason::ConntrackFull),
            Self::Unknown => Err(DropReason::Inconsistent),
        }
    }
}

/// Tracks a new connection.
#[inline(never)]
pub(super) fn open<K, T: Connections<K>>(tables: &T, key: &K, connection: &Connection) -> Room {
    // Where another CPU was faster, its entry is as good as this one.
    let (room, _) = place(tables, Table::New, key, connection);
    if room != Room::Found {
        tables.refuse(key);
    }
    room
}

/// Moves a connection to the replied ones; false when it has to stay where it is.
#[inline(never)]
pub(super) fn promote<K, T: Connections<K>>(tables: &T, key: &K, connection: &Connection) -> bool {
    let (room, inserted) = place(tables, Table::Replied, key, connection);
    if room != Room::Found {
        return false;
    }
    if inserted == Inserted::There {
        let _ = tables.replace(Table::Replied, key, connection);
    }
    tables.remove(Table::New, key);
    true
}

#[inline(always)]
fn place<K, T: Connections<K>>(
    tables: &T,
    table: Table,
    key: &K,
    connection: &Connection,
) -> (Room, Inserted) {
    let Some(usage) = tables.usage(table, key) else {
        return (Room::Unknown, Inserted::Full);
    };
    if !usage.admits(table.weight()) {
        return (Room::ShareUsed, Inserted::Full);
    }
    let inserted = tables.insert(table, key, connection);
    match inserted {
        Inserted::Created | Inserted::There => (Room::Found, inserted),
        Inserted::Full => (Room::Full, inserted),
    }
}
