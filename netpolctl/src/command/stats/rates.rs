//! Rates: the difference of two looks over the time between them.

use std::collections::HashMap;
use std::time::Instant;

use netpol_api::{CounterRow, RuleRef, Verdict};
use serde::Serialize;

use super::merge::Row;
use crate::fleet::{OnNode, Unanswered};

/// One look of many, as machines read it.
#[derive(Debug, Serialize)]
pub(super) struct Sample<'a> {
    /// Seconds since the Unix epoch.
    pub(super) time: f64,
    /// The rows.
    pub(super) rows: &'a [Row],
    /// The nodes that did not answer.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) unanswered: &'a [Unanswered],
}

/// Per second; unknown at the first look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Rates {
    pub(super) packets_per_second: Option<f64>,
    pub(super) bytes_per_second: Option<f64>,
}

impl Rates {
    /// Both together, as far as they are known.
    pub(super) fn plus(self, other: Self) -> Self {
        let sum = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
        Self {
            packets_per_second: sum(self.packets_per_second, other.packets_per_second),
            bytes_per_second: sum(self.bytes_per_second, other.bytes_per_second),
        }
    }
}

/// Packets and bytes.
type Counts = HashMap<(RuleRef, Verdict), (u64, u64)>;

/// What the look before has shown, by node.
#[derive(Debug)]
pub(super) struct Previous {
    taken: Instant,
    nodes: HashMap<Option<String>, Counts>,
}

impl Previous {
    pub(super) fn new(rows: &[OnNode<CounterRow>], taken: Instant) -> Self {
        let mut nodes: HashMap<_, Counts> = HashMap::new();
        for OnNode { node, data: row } in rows {
            let counts = nodes.entry(node.clone()).or_default();
            let key = (row.rule.clone(), row.verdict);
            counts.insert(key, (row.packets, row.bytes));
        }
        Self { taken, nodes }
    }
}

/// The rates of each row since `previous`.
///
/// A rule that was not there before starts from zero; a node that did not answer then has no rates.
/// A count that has fallen was reset meanwhile: what it shows now is what has come since.
pub(super) fn rate(
    rows: &[OnNode<CounterRow>],
    previous: Option<&Previous>,
    now: Instant,
) -> Vec<Rates> {
    let rate = |on: &OnNode<CounterRow>| {
        let since = previous.and_then(|previous| {
            let counts = previous.nodes.get(&on.node)?;
            let seconds = now.duration_since(previous.taken).as_secs_f64().max(1e-3);
            let row = &on.data;
            let key = (row.rule.clone(), row.verdict);
            let (packets, bytes) = counts.get(&key).copied().unwrap_or_default();
            let since = |new: u64, old| new.checked_sub(old).unwrap_or(new) as f64 / seconds;
            Some((since(row.packets, packets), since(row.bytes, bytes)))
        });
        Rates {
            packets_per_second: since.map(|(packets, _)| packets),
            bytes_per_second: since.map(|(_, bytes)| bytes),
        }
    };
    rows.iter().map(rate).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(packets: u64, bytes: u64) -> OnNode<CounterRow> {
        OnNode {
            node: None,
            data: CounterRow {
                rule: RuleRef::Drop {
                    reason: "fragment".to_owned(),
                },
                verdict: Verdict::Deny,
                packets,
                bytes,
                connections_cut: 0,
                pods: Vec::new(),
            },
        }
    }

    fn another() -> OnNode<CounterRow> {
        let mut row = row(1, 1);
        row.data.verdict = Verdict::Allow;
        row
    }

    fn rates(
        before: &[OnNode<CounterRow>],
        after: &[OnNode<CounterRow>],
    ) -> (Option<f64>, Option<f64>) {
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
        assert_eq!(
            rates(&[another()], &[row(4, 400)]),
            (Some(2.0), Some(200.0))
        );
    }

    #[test]
    fn a_node_that_did_not_answer_before_has_no_rate_yet() {
        assert_eq!(rates(&[], &[row(4, 400)]), (None, None));
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
