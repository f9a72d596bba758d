//! Rates: the difference of two looks over the time between them.

use std::collections::HashMap;
use std::time::Instant;

use netpol_api::{CounterRow, RuleRef, Verdict};
use serde::Serialize;

/// One look of many, as machines read it.
#[derive(Debug, Serialize)]
pub(super) struct Sample<'a> {
    /// Seconds since the Unix epoch.
    pub(super) time: f64,
    /// The rows.
    pub(super) rows: &'a [RatedRow<'a>],
}

/// A row with its rates; none at the first look.
#[derive(Debug, Serialize)]
pub(super) struct RatedRow<'a> {
    #[serde(flatten)]
    pub(super) row: &'a CounterRow,
    pub(super) packets_per_second: Option<f64>,
    pub(super) bytes_per_second: Option<f64>,
}

/// What the look before has shown.
#[derive(Debug)]
pub(super) struct Previous {
    taken: Instant,
    counts: HashMap<(RuleRef, Verdict), (u64, u64)>,
}

impl Previous {
    pub(super) fn new(rows: &[CounterRow], taken: Instant) -> Self {
        let counts = rows
            .iter()
            .map(|r| ((r.rule.clone(), r.verdict), (r.packets, r.bytes)))
            .collect();
        Self { taken, counts }
    }
}

/// The rows with their rates since `previous`.
///
/// A rule that was not there before starts from zero. A count that has fallen was reset meanwhile:
/// what it shows now is what has come since.
pub(super) fn rate<'a>(
    rows: &'a [CounterRow],
    previous: Option<&Previous>,
    now: Instant,
) -> Vec<RatedRow<'a>> {
    let rated = |row: &'a CounterRow| {
        let rates = previous.map(|previous| {
            let seconds = now.duration_since(previous.taken).as_secs_f64().max(1e-3);
            let key = (row.rule.clone(), row.verdict);
            let (packets, bytes) = previous.counts.get(&key).copied().unwrap_or_default();
            let since = |new: u64, old| new.checked_sub(old).unwrap_or(new) as f64 / seconds;
            (since(row.packets, packets), since(row.bytes, bytes))
        });
        RatedRow {
            row,
            packets_per_second: rates.map(|(packets, _)| packets),
            bytes_per_second: rates.map(|(_, bytes)| bytes),
        }
    };
    rows.iter().map(rated).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(packets: u64, bytes: u64) -> CounterRow {
        CounterRow {
            rule: RuleRef::Drop {
                reason: "fragment".to_owned(),
            },
            verdict: Verdict::Deny,
            packets,
            bytes,
            pods: Vec::new(),
        }
    }

    fn rates(before: &[CounterRow], after: &[CounterRow]) -> (Option<f64>, Option<f64>) {
        let start = Instant::now();
        let previous = Previous::new(before, start);
        let rated = rate(after, Some(&previous), start + Duration::from_secs(2));
        (rated[0].packets_per_second, rated[0].bytes_per_second)
    }

    #[test]
    fn a_rate_is_the_difference_over_the_time_between() {
        let rates = rates(&[row(10, 1000)], &[row(30, 2000)]);
        assert_eq!(rates, (Some(10.0), Some(500.0)));
    }

    #[test]
    fn a_count_that_fell_was_reset_and_starts_from_zero() {
        let rates = rates(&[row(10, 1000)], &[row(4, 400)]);
        assert_eq!(rates, (Some(2.0), Some(200.0)));
    }

    #[test]
    fn a_rule_that_is_new_starts_from_zero() {
        assert_eq!(rates(&[], &[row(4, 400)]), (Some(2.0), Some(200.0)));
    }

    #[test]
    fn the_first_look_has_no_rate() {
        let rows = [row(4, 400)];
        assert_eq!(
            rate(&rows, None, Instant::now())[0].packets_per_second,
            None
        );
    }
}
