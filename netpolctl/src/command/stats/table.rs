//! Verdict counters as a table.

use netpol_api::{CounterRow, RuleRef, Verdict};

use super::merge::Row;
use crate::output::table::{Column, Sheet, bad, cell, good};
use crate::output::{Detail, units};
use crate::wording;

/// Where a row stands: by namespace; there the rules by policy and place, then the default denies;
/// what no policy owns comes last.
pub(super) fn order(row: &CounterRow) -> (u8, String, u8, RuleRef) {
    let (last, namespace, kind) = match &row.rule {
        RuleRef::Rule { policy, .. } => (0, policy.namespace.clone(), 0),
        RuleRef::DefaultDeny { policies, .. } => {
            let namespace = policies.first().map(|p| p.namespace.clone());
            (0, namespace.unwrap_or_default(), 1)
        }
        RuleRef::SourceDeny { policies } => {
            let namespace = policies.first().map(|p| p.namespace.clone());
            (0, namespace.unwrap_or_default(), 2)
        }
        RuleRef::Exemption { .. } => (1, String::new(), 0),
        RuleRef::Drop { .. } => (1, String::new(), 1),
    };
    (last, namespace, kind, row.rule.clone())
}

/// Which columns there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    pub(super) node: bool,
    pub(super) rates: bool,
}

/// The table of one look.
pub(super) fn text(rows: &[Row], columns: Columns, detail: Detail) -> String {
    let bytes = |bytes: u64| match detail {
        Detail::Table => units::bytes(bytes as f64),
        Detail::Wide => bytes.to_string(),
    };
    let any_cut = rows.iter().any(|row| row.counter.connections_cut > 0);
    let place = |row: &Row| Place::of(&row.counter.rule, detail);
    let rate = |rate: Option<f64>, text: fn(f64) -> String| {
        cell(rate.map_or_else(|| "-".to_owned(), text))
    };
    Sheet::<Row>::new(detail)
        .column_if(columns.node, Column::Text("NODE"), |row| {
            cell(row.node.as_deref().unwrap_or("-"))
        })
        .column(Column::Text("NAMESPACE"), |row| cell(place(row).namespace))
        .column(Column::Text("POLICY"), |row| cell(place(row).policy))
        .column(Column::Word("RULE"), |row| cell(place(row).rule))
        .column(Column::Word("VERDICT"), |row| match row.counter.verdict {
            Verdict::Allow => good("allow"),
            Verdict::Deny => bad("deny"),
            Verdict::Reject => bad("reject"),
        })
        .column(Column::Number("PACKETS"), |row| cell(row.counter.packets))
        .column(Column::Number("BYTES"), |row| {
            cell(bytes(row.counter.bytes))
        })
        .column_if(any_cut, Column::Number("CUT"), |row| {
            cell(row.counter.connections_cut)
        })
        .column_if(columns.rates, Column::Number("PACKETS/S"), |row| {
            rate(row.rates.and_then(|r| r.packets_per_second), units::rate)
        })
        .column_if(columns.rates, Column::Number("BYTES/S"), |row| {
            rate(row.rates.and_then(|r| r.bytes_per_second), units::bytes)
        })
        .column(Column::Text("SAYS"), |row| cell(place(row).says))
        .wide(Column::Text("PODS"), |row| {
            cell(match row.counter.pods.as_slice() {
                [] => "-".to_owned(),
                pods => wording::names(pods, Detail::Wide),
            })
        })
        .of(rows.iter().filter(|row| shown(&row.counter, detail)))
}

fn shown(row: &CounterRow, detail: Detail) -> bool {
    let owned = !matches!(row.rule, RuleRef::Exemption { .. } | RuleRef::Drop { .. });
    owned || detail == Detail::Wide
}

/// The columns that say what was counted.
struct Place {
    namespace: String,
    policy: String,
    /// The rule's place under `spec`, or the direction of a default deny.
    rule: String,
    says: String,
}

impl Place {
    fn of(rule: &RuleRef, detail: Detail) -> Self {
        match rule {
            RuleRef::Rule {
                policy,
                direction,
                index,
                text,
            } => Self {
                namespace: policy.namespace.clone(),
                policy: policy.name.clone(),
                rule: format!("{direction}[{index}]"),
                says: text.clone(),
            },
            RuleRef::DefaultDeny {
                policies,
                direction,
            } => Self {
                namespace: policies.first().map_or("-".into(), |p| p.namespace.clone()),
                policy: wording::bare_names(policies, detail),
                rule: direction.to_string(),
                says: "no rule allows it".to_owned(),
            },
            RuleRef::SourceDeny { policies } => Self {
                namespace: policies.first().map_or("-".into(), |p| p.namespace.clone()),
                policy: wording::bare_names(policies, detail),
                rule: "sender".to_owned(),
                says: "its egress policies forbid it".to_owned(),
            },
            RuleRef::Exemption { text } => Self::unowned(text),
            RuleRef::Drop { reason } => Self::unowned(reason),
        }
    }

    fn unowned(text: &str) -> Self {
        let none = || "-".to_owned();
        Self {
            namespace: none(),
            policy: none(),
            rule: none(),
            says: text.to_owned(),
        }
    }
}
