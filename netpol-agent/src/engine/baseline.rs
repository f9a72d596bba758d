//! Counters as differences from a moment that a client chose.

use std::collections::HashMap;

use netpol_common::counter::Counter;
use netpol_policy::Operation;

/// What the counters stood at.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    counters: HashMap<u32, Counter>,
    cuts: HashMap<u32, u64>,
}

impl Baseline {
    /// From now on, `counters` count as zero.
    pub(crate) fn set(
        &mut self,
        counters: impl IntoIterator<Item = (u32, Counter)>,
        cuts: impl IntoIterator<Item = (u32, u64)>,
    ) {
        self.counters = counters.into_iter().collect();
        self.cuts = cuts.into_iter().collect();
    }

    /// A counter that is set to zero has no baseline any more.
    pub(crate) fn apply(&mut self, operation: &Operation) {
        if let Operation::ResetCounter(number) = operation {
            self.counters.remove(number);
            self.cuts.remove(number);
        }
    }

    /// Connections that were cut since.
    pub(crate) fn cuts_since(&self, number: u32, now: u64) -> u64 {
        now.saturating_sub(self.cuts.get(&number).copied().unwrap_or_default())
    }

    /// What was counted since.
    pub(crate) fn since(&self, number: u32, now: Counter) -> Counter {
        let base = self.counters.get(&number).copied().unwrap_or_default();
        Counter {
            packets: now.packets.saturating_sub(base.packets),
            bytes: now.bytes.saturating_sub(base.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(packets: u64) -> Counter {
        Counter {
            packets,
            bytes: packets * 100,
        }
    }

    #[test]
    fn counters_count_from_the_baseline_until_their_number_is_reused() {
        let mut baseline = Baseline::default();
        assert_eq!(baseline.since(64, counter(5)), counter(5));
        baseline.set([(64, counter(5))], [(64, 3)]);
        assert_eq!(baseline.cuts_since(64, 4), 1);
        assert_eq!(baseline.since(64, counter(7)), counter(2));
        baseline.apply(&Operation::ResetCounter(64));
        assert_eq!(baseline.since(64, counter(1)), counter(1));
        assert_eq!(baseline.cuts_since(64, 1), 1);
    }
}
