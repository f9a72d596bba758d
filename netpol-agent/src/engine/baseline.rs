//! Counters as differences from a moment that a client chose.

use std::collections::HashMap;

use netpol_common::counter::Counter;
use netpol_policy::Operation;

/// What the counters stood at.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    counters: HashMap<u32, Counter>,
}

impl Baseline {
    /// From now on, `counters` count as zero.
    pub(crate) fn set(&mut self, counters: impl IntoIterator<Item = (u32, Counter)>) {
        self.counters = counters.into_iter().collect();
    }

    /// A counter that is set to zero has no baseline any more.
    pub(crate) fn apply(&mut self, operation: &Operation) {
        if let Operation::ResetCounter(number) = operation {
            self.counters.remove(number);
        }
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
        baseline.set([(64, counter(5))]);
        assert_eq!(baseline.since(64, counter(7)), counter(2));
        baseline.apply(&Operation::ResetCounter(64));
        assert_eq!(baseline.since(64, counter(1)), counter(1));
    }
}
