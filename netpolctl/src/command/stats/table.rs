//! Verdict counters as a table.

use netpol_api::{CounterRow, RuleRef, Verdict};

use super::rates::RatedRow;
use crate::output::table::{Cell, Column, Table, bad, cell, good};
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
        RuleRef::Exemption { .. } => (1, String::new(), 0),
        RuleRef::Drop { .. } => (1, String::new(), 1),
    };
    (last, namespace, kind, row.rule.clone())
}

/// The table of one look.
pub(super) fn text(rows: &[CounterRow], detail: Detail) -> String {
    let mut table = Table::new(detail, &columns(detail, false));
    for row in rows.iter().filter(|r| shown(r, detail)) {
        table.row(cells(row, detail, None));
    }
    table.finish()
}

/// The table of one look of many.
pub(super) fn rated_text(rows: &[RatedRow<'_>], detail: Detail) -> String {
    let mut table = Table::new(detail, &columns(detail, true));
    for row in rows.iter().filter(|r| shown(r.row, detail)) {
        table.row(cells(row.row, detail, Some(row)));
    }
    table.finish()
}

fn shown(row: &CounterRow, detail: Detail) -> bool {
    let owned = !matches!(row.rule, RuleRef::Exemption { .. } | RuleRef::Drop { .. });
    owned || detail == Detail::Wide
}

fn columns(detail: Detail, rates: bool) -> Vec<Column> {
    let mut columns = vec![
        Column::Text("NAMESPACE"),
        Column::Text("POLICY"),
        Column::Word("RULE"),
        Column::Word("VERDICT"),
        Column::Number("PACKETS"),
        Column::Number("BYTES"),
    ];
    if rates {
        columns.extend([Column::Number("PACKETS/S"), Column::Number("BYTES/S")]);
    }
    columns.push(Column::Text("SAYS"));
    if detail == Detail::Wide {
        columns.push(Column::Text("PODS"));
    }
    columns
}

fn cells(row: &CounterRow, detail: Detail, rates: Option<&RatedRow<'_>>) -> Vec<Cell> {
    let place = Place::of(&row.rule, detail);
    let bytes = match detail {
        Detail::Table => units::bytes(row.bytes as f64),
        Detail::Wide => row.bytes.to_string(),
    };
    let mut cells = vec![
        cell(place.namespace),
        cell(place.policy),
        cell(place.rule),
        match row.verdict {
            Verdict::Allow => good("allow"),
            Verdict::Deny => bad("deny"),
        },
        cell(row.packets),
        cell(bytes),
    ];
    if let Some(rates) = rates {
        let unknown = || "-".to_owned();
        cells.push(cell(
            rates.packets_per_second.map_or_else(unknown, units::rate),
        ));
        cells.push(cell(
            rates.bytes_per_second.map_or_else(unknown, units::bytes),
        ));
    }
    cells.push(cell(place.says));
    if detail == Detail::Wide {
        cells.push(cell(match row.pods.as_slice() {
            [] => "-".to_owned(),
            pods => wording::names(pods, Detail::Wide),
        }));
    }
    cells
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
