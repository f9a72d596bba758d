//! How many connections each endpoint holds: the maps of [`netpol_common::held`].
//!
//! The engine makes and removes an endpoint's entries, the programs count in the one, the sweeper
//! in the other.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
};

use netpol_common::{
    held::{self, Held, Moves, Place, Swept},
    maps,
};

use super::{error::LoadError, table::Table};

/// The maps.
#[derive(Debug)]
pub(crate) struct Shares {
    held: Table<u32, Held>,
    held_total: Table<u32, Held>,
    swept: Table<u32, Swept>,
    swept_total: Table<u32, Swept>,
}

/// What was counted, of one endpoint or of all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) held: Held,
    pub(crate) swept: Swept,
}

impl Count {
    /// How many connections there are in a table.
    pub(crate) fn now(&self, place: Place) -> u64 {
        held::held(self.moves(place), self.swept.tables[place as usize])
    }

    /// The same, where it may have drifted below zero.
    pub(crate) fn signed(&self, place: Place) -> i64 {
        let Moves { opened, closed } = self.moves(place);
        let swept = self.swept.tables[place as usize];
        opened
            .wrapping_sub(closed)
            .wrapping_sub(swept)
            .cast_signed()
    }

    /// What came and went in a table by the programs' hands.
    pub(crate) fn moves(&self, place: Place) -> Moves {
        self.held.tables[place as usize]
    }
}

impl Shares {
    /// Opens the maps pinned in a directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, LoadError> {
        Ok(Self {
            held: Table::open(directory, maps::HELD)?,
            held_total: Table::open(directory, maps::HELD_TOTAL)?,
            swept: Table::open(directory, maps::SWEPT)?,
            swept_total: Table::open(directory, maps::SWEPT_TOTAL)?,
        })
    }

    /// How many endpoints there can be.
    pub(crate) fn capacity(&self) -> u32 {
        self.held.capacity().min(self.swept.capacity())
    }

    /// Makes an endpoint's entries, if they are not there.
    pub(crate) fn add(&self, ifindex: u32) -> io::Result<()> {
        self.swept.put_new(&ifindex, &Swept::default())?;
        self.held.put_new(&ifindex, &Held::default())
    }

    /// Makes the entries of these endpoints, and removes those of others.
    pub(crate) fn keep(&self, endpoints: &HashSet<u32>) -> io::Result<()> {
        for ifindex in self.all()?.keys() {
            if !endpoints.contains(ifindex) {
                self.remove(*ifindex)?;
            }
        }
        endpoints.iter().try_for_each(|ifindex| self.add(*ifindex))
    }

    /// Removes an endpoint's entries.
    pub(crate) fn remove(&self, ifindex: u32) -> io::Result<()> {
        self.held.delete(&ifindex)?;
        self.swept.delete(&ifindex)
    }

    /// What was counted of an endpoint.
    pub(crate) fn of(&self, ifindex: u32) -> io::Result<Option<Count>> {
        let (held, swept) = (self.held.get(&ifindex)?, self.swept.get(&ifindex)?);
        Ok(held.zip(swept).map(|(held, swept)| Count { held, swept }))
    }

    /// What was counted of each endpoint.
    pub(crate) fn all(&self) -> io::Result<HashMap<u32, Count>> {
        let swept: HashMap<u32, Swept> = self.swept.entries()?.into_iter().collect();
        let held = self.held.entries()?.into_iter();
        Ok(held
            .filter_map(|(ifindex, held)| {
                let swept = *swept.get(&ifindex)?;
                Some((ifindex, Count { held, swept }))
            })
            .collect())
    }

    /// What was counted of all endpoints together.
    pub(crate) fn total(&self) -> io::Result<Count> {
        Ok(Count {
            held: self.held_total.get(&0)?.unwrap_or_default(),
            swept: self.swept_total.get(&0)?.unwrap_or_default(),
        })
    }

    /// Counts entries of an endpoint that were removed; less than nothing repairs a drift. For the
    /// sweeper alone: nobody else writes these.
    pub(crate) fn sweep(&self, ifindex: u32, place: Place, removed: i64) -> io::Result<()> {
        let Some(mut swept) = self.swept.get(&ifindex)? else {
            return Ok(());
        };
        add(&mut swept, place, removed);
        self.swept.put_there(&ifindex, &swept)
    }

    /// The same of all endpoints together.
    pub(crate) fn sweep_total(&self, place: Place, removed: i64) -> io::Result<()> {
        let mut swept = self.swept_total.get(&0)?.unwrap_or_default();
        add(&mut swept, place, removed);
        self.swept_total.put(&0, &swept)
    }
}

fn add(swept: &mut Swept, place: Place, removed: i64) {
    let number = &mut swept.tables[place as usize];
    *number = number.wrapping_add_signed(removed);
}
