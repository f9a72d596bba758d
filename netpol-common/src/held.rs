//! The `held` maps: how many connections each endpoint has in each conntrack table.
//!
//! ```text
//! held    interface index -> Held    counted by the programs, by atomic additions alone
//! swept   interface index -> Swept   counted by the agent alone: what it has removed
//! held_total, swept_total            the same of all endpoints together; arrays of one element
//! ```
//! What an endpoint holds is what was opened, less what was closed, less what was swept
//! ([`held`]). Kernels before 5.12 have no atomic operation that returns what it found, so each
//! number only rises, and has one kind of writer. The agent makes both entries before an endpoint's
//! own, and finds and repairs what drifts: it walks the tables anyhow.
//!
//! One rule shares a table ([`Usage::admits`]): an endpoint may hold as many connections as are
//! left free, times a weight. With a weight of one, a single endpoint gets half of the table, two
//! get a third each, and the next one always finds room.

use bytemuck::{Pod, Zeroable};

/// Which of the conntrack tables, an index into [`Held::tables`] and [`Swept::tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Place {
    /// IPv4, not replied.
    NewV4 = 0,
    /// IPv6, not replied.
    NewV6 = 1,
    /// IPv4, replied.
    RepliedV4 = 2,
    /// IPv6, replied.
    RepliedV6 = 3,
}

impl Place {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::NewV4, Self::NewV6, Self::RepliedV4, Self::RepliedV6];

    /// How many times what is left free an endpoint may hold.
    ///
    /// Of connections without a reply: once. Nothing good needs half of that table, and a flood
    /// takes what it can get. Of replied ones: eight times, so that a pod that serves many keeps
    /// eight ninths of the table while nobody else wants them.
    #[must_use]
    #[inline(always)]
    pub const fn weight(self) -> u64 {
        match self {
            Self::NewV4 | Self::NewV6 => 1,
            Self::RepliedV4 | Self::RepliedV6 => 8,
        }
    }
}

/// Entries that came and went in one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Moves {
    /// Entries that the programs created.
    pub opened: u64,
    /// Entries that the programs removed.
    pub closed: u64,
}

/// Value of the `held` map, and the one element of `held_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Held {
    /// By [`Place`].
    pub tables: [Moves; Place::COUNT],
    /// Connections that policy allowed and that found no room.
    pub refused: u64,
}
const _: () = assert!(size_of::<Held>() == 72);

/// Value of the `swept` map, and the one element of `swept_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Swept {
    /// Entries that the agent removed, by [`Place`].
    pub tables: [u64; Place::COUNT],
}
const _: () = assert!(size_of::<Swept>() == 32);

/// How many entries there are. Numbers that were read one after the other, or drifted, may come to
/// less than nothing, which is nothing.
#[must_use]
#[inline(always)]
pub const fn held(moves: Moves, swept: u64) -> u64 {
    let held = moves.opened.wrapping_sub(moves.closed).wrapping_sub(swept);
    if held > u64::MAX / 2 { 0 } else { held }
}

/// How a table is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Connections of the endpoint in question.
    pub own: u64,
    /// Connections of all endpoints.
    pub all: u64,
    /// Connections that the table holds.
    pub capacity: u64,
    /// Connections that one endpoint may hold, however much is free.
    pub most: u64,
}

impl Usage {
    /// Whether the endpoint may hold another connection. Where nothing is free the table itself
    /// refuses, so that a sum that has drifted closes nothing.
    #[must_use]
    #[inline(always)]
    pub const fn admits(&self, weight: u64) -> bool {
        let free = self.capacity.saturating_sub(self.all);
        free == 0 || (self.own < free.saturating_mul(weight) && self.own < self.most)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::{Moves, Place, Usage, held};

    /// What each endpoint holds when so many take what they can get, in turns.
    fn taken(endpoints: usize, place: Place) -> Vec<u64> {
        let mut own = vec![0_u64; endpoints];
        loop {
            let before = own.clone();
            for endpoint in 0..endpoints {
                let usage = Usage {
                    own: own[endpoint],
                    all: own.iter().sum(),
                    capacity: 9000,
                    most: u64::MAX,
                };
                own[endpoint] += u64::from(usage.all < 9000 && usage.admits(place.weight()));
            }
            if own == before {
                return own;
            }
        }
    }

    #[test]
    fn whoever_floods_leaves_as_much_as_each_of_them_holds() {
        assert_eq!(taken(1, Place::NewV4), [4500]);
        assert_eq!(taken(2, Place::NewV4), [3000; 2]);
        let many = taken(99, Place::NewV4);
        assert!(many.iter().all(|own| (89..=91).contains(own)), "{many:?}");
        assert!(many.iter().sum::<u64>() <= 9000 - 89);
    }

    #[test]
    fn one_endpoint_may_hold_nearly_all_that_is_replied() {
        assert_eq!(taken(1, Place::RepliedV6), [8000]);
        assert!(taken(2, Place::RepliedV6).iter().sum::<u64>() < 8600);
    }

    #[test]
    fn a_limit_of_its_own_holds_where_much_is_free() {
        let usage = |own| Usage {
            own,
            all: own,
            capacity: 9000,
            most: 10,
        };
        assert!(usage(9).admits(1));
        assert!(!usage(10).admits(1));
    }

    #[test]
    fn a_full_table_refuses_by_itself() {
        let usage = Usage {
            own: 5,
            all: 9001,
            capacity: 9000,
            most: u64::MAX,
        };
        assert!(usage.admits(1));
    }

    #[test]
    fn numbers_that_drifted_below_zero_are_zero() {
        let moves = Moves {
            opened: 3,
            closed: 5,
        };
        assert_eq!(held(moves, 0), 0);
        assert_eq!(held(Moves { opened: 9, ..moves }, 1), 3);
    }
}
