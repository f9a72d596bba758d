//! Counters of many nodes: a row for each rule, or for each rule of each node.

use std::collections::BTreeMap;

use netpol_api::{CounterRow, RuleRef, Verdict};
use serde::Serialize;

use super::rates::Rates;
use crate::fleet::OnNode;

/// What is shown of a rule.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Row {
    /// The node that counted, when each has a row of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    /// The sum.
    #[serde(flatten)]
    pub(super) counter: CounterRow,
    /// What each node counted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) nodes: BTreeMap<String, Count>,
    /// When looked at again and again.
    #[serde(flatten)]
    pub(super) rates: Option<Rates>,
}

/// What one node counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    packets: u64,
    bytes: u64,
}

/// Rows with their rates, if there are any, as rows to show: one a rule, or with `per_node` one for
/// each rule of each node.
pub(super) fn merge(
    counters: Vec<OnNode<CounterRow>>,
    rates: Option<Vec<Rates>>,
    per_node: bool,
) -> Vec<Row> {
    let mut rates = rates.map(Vec::into_iter);
    let mut rows: BTreeMap<(RuleRef, Verdict, Option<String>), Row> = BTreeMap::new();
    for OnNode {
        node,
        data: counter,
    } in counters
    {
        let rates = rates.as_mut().and_then(Iterator::next);
        let own = node.clone().filter(|_| per_node);
        let key = (counter.rule.clone(), counter.verdict, own.clone());
        let count = Count {
            packets: counter.packets,
            bytes: counter.bytes,
        };
        let row = match rows.get_mut(&key) {
            Some(row) => {
                row.add(counter, rates);
                row
            }
            None => rows.entry(key).or_insert(Row {
                node: own,
                counter,
                nodes: BTreeMap::new(),
                rates,
            }),
        };
        if let (Some(node), false) = (node, per_node) {
            row.nodes.insert(node, count);
        }
    }
    rows.into_values().collect()
}

impl Row {
    fn add(&mut self, counter: CounterRow, rates: Option<Rates>) {
        self.counter.packets += counter.packets;
        self.counter.bytes += counter.bytes;
        self.counter.connections_cut += counter.connections_cut;
        self.counter.pods.extend(counter.pods);
        self.counter.pods.sort();
        self.counter.pods.dedup();
        self.rates = match (self.rates.take(), rates) {
            (Some(one), Some(other)) => Some(one.plus(other)),
            (one, other) => one.or(other),
        };
    }
}

#[cfg(test)]
mod tests {
    use netpol_api::ObjectName;

    use super::*;

    fn counted(node: &str, packets: u64) -> OnNode<CounterRow> {
        OnNode {
            node: Some(node.to_owned()),
            data: CounterRow {
                rule: RuleRef::Drop {
                    reason: "fragment".to_owned(),
                },
                verdict: Verdict::Deny,
                packets,
                bytes: packets * 100,
                connections_cut: 0,
                pods: vec![ObjectName {
                    namespace: "shop".to_owned(),
                    name: format!("web-{node}"),
                }],
            },
        }
    }

    #[test]
    fn a_rule_of_two_nodes_is_one_row_with_the_sum_and_each_ones_part() {
        let rows = merge(vec![counted("b", 3), counted("a", 4)], None, false);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].counter.packets, 7);
        assert_eq!(rows[0].counter.bytes, 700);
        assert_eq!(rows[0].counter.pods[0].name, "web-a");
        assert_eq!(rows[0].nodes["b"].packets, 3);
        assert_eq!(rows[0].node, None);
    }

    #[test]
    fn per_node_nothing_is_added_up() {
        let rows = merge(vec![counted("b", 3), counted("a", 4)], None, true);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].node.as_deref(), Some("a"));
        assert!(rows[0].nodes.is_empty());
    }

    #[test]
    fn rates_add_up_as_far_as_they_are_known() {
        let rates = |packets| Rates {
            packets_per_second: packets,
            bytes_per_second: packets,
        };
        let known = vec![rates(Some(1.0)), rates(Some(2.5))];
        let rows = merge(vec![counted("a", 1), counted("b", 1)], Some(known), false);
        assert_eq!(rows[0].rates, Some(rates(Some(3.5))));
        let half = vec![rates(None), rates(Some(2.5))];
        let rows = merge(vec![counted("a", 1), counted("b", 1)], Some(half), false);
        assert_eq!(rows[0].rates, Some(rates(Some(2.5))));
    }
}
