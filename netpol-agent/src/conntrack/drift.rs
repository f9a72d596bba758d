//! Whether what was counted for an endpoint is what is there.
//!
//! An agent that is killed between removing entries and counting them leaves the count too high; a
//! program that adds to an element just given to another endpoint leaves one too high and one too
//! low. A count that only drifts up would close an endpoint for good.
//!
//! A walk sees every entry that was there from its start to its end, and of those that came or
//! went meanwhile some. So the number at its start is known but for what the programs opened and
//! closed during the walk, and a drift is what is left beyond that. A program may have written an
//! entry and not counted it yet: only what two walks in a row find is corrected.

use std::collections::HashMap;

use netpol_common::held::Place;

use crate::bpf::shares::Count;

/// What the last walks found, by endpoint (none: all together) and map.
#[derive(Debug, Default)]
pub(super) struct Drift(HashMap<(Option<u32>, usize), i64>);

impl Drift {
    /// What has to be taken off a count, if the last two walks agree that it has drifted.
    pub(super) fn of(
        &mut self,
        endpoint: Option<u32>,
        place: Place,
        before: &Count,
        after: &Count,
        seen: u64,
    ) -> Option<i64> {
        let found = drift(place, before, after, seen);
        let last = self
            .0
            .remove(&(endpoint, place as usize))
            .unwrap_or_default();
        if found == 0 {
            return None;
        }
        if last.signum() == found.signum() {
            return Some(if found > 0 {
                found.min(last)
            } else {
                found.max(last)
            });
        }
        self.0.insert((endpoint, place as usize), found);
        None
    }

    /// Forgets endpoints that are gone.
    pub(super) fn retain(&mut self, there: impl Fn(u32) -> bool) {
        self.0
            .retain(|(endpoint, _), _| endpoint.is_none_or(&there));
    }
}

/// How much a count is too high, at least (or too low, less than nothing).
fn drift(place: Place, before: &Count, after: &Count, seen: u64) -> i64 {
    let (start, end) = (before.moves(place), after.moves(place));
    let opened = end.opened.wrapping_sub(start.opened).cast_signed();
    let closed = end.closed.wrapping_sub(start.closed).cast_signed();
    let beyond = before.signed(place).wrapping_sub(seen.cast_signed());
    if beyond > closed {
        beyond - closed
    } else if beyond < -opened {
        beyond + opened
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place::NewV6;

    fn count(opened: u64, closed: u64, swept: u64) -> Count {
        let mut count = Count::default();
        count.held.tables[PLACE as usize].opened = opened;
        count.held.tables[PLACE as usize].closed = closed;
        count.swept.tables[PLACE as usize] = swept;
        count
    }

    #[test]
    fn what_moved_during_the_walk_is_no_drift() {
        let before = count(100, 20, 30);
        for seen in 45..=53 {
            let after = count(103, 25, 40);
            assert_eq!(drift(PLACE, &before, &after, seen), 0, "{seen}");
        }
        assert_eq!(drift(PLACE, &before, &count(103, 25, 40), 44), 1);
        assert_eq!(drift(PLACE, &before, &count(103, 25, 40), 54), -1);
    }

    #[test]
    fn two_walks_have_to_agree_and_the_lesser_word_counts() {
        let mut drift = Drift::default();
        let mut walk = |counted, seen| {
            let counted = count(counted, 0, 0);
            drift.of(Some(7), PLACE, &counted, &counted, seen)
        };
        assert_eq!(walk(64, 0), None);
        assert_eq!(walk(70, 10), Some(60));
        assert_eq!(walk(10, 10), None);
        assert_eq!(walk(10, 12), None);
        assert_eq!(walk(10, 9), None);
        assert_eq!(walk(10, 10), None);
        assert_eq!(walk(10, 14), None);
        assert_eq!(walk(10, 13), Some(-3));
    }

    #[test]
    fn a_count_below_zero_is_seen_as_such() {
        let counted = count(0, 5, 0);
        assert_eq!(drift(PLACE, &counted, &counted, 0), -5);
    }
}
