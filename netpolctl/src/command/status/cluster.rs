//! The status of many nodes as text: the verdict, a row for each, then whatever is wrong where.

use netpol_api::Status;
use serde::Serialize;

use super::{Tally, report};
use crate::fleet::{Answers, OnNode, Unanswered};
use crate::output::style::{BAD, BOLD, GOOD, paint};
use crate::output::table::{Cell, Column, Sheet, bad, cell, good};
use crate::output::{Detail, time, units};

/// What all nodes together say.
#[derive(Debug, Serialize)]
pub(super) struct Overview<'a> {
    enforcing: bool,
    items: Vec<&'a Status>,
    unanswered: &'a [Unanswered],
}

impl<'a> Overview<'a> {
    pub(super) fn new(enforcing: bool, answers: &'a Answers<Box<Status>>) -> Self {
        let items = answers.answered.iter();
        Self {
            enforcing,
            items: items.map(|OnNode { data, .. }| data.as_ref()).collect(),
            unanswered: answers.unanswered(),
        }
    }
}

/// A row of the table of nodes.
enum Row<'a> {
    Answered(&'a Status, Tally),
    Unanswered(&'a Unanswered),
}

pub(super) fn text(overview: &Overview<'_>, detail: Detail) -> String {
    let mut text = sentence(overview) + "\n\n" + &table(overview, detail);
    for status in &overview.items {
        let tables = match detail {
            Detail::Table => report::is_nearly_full,
            Detail::Wide => |_: &_| true,
        };
        let sections = report::sections(status, detail, tables);
        if !sections.is_empty() {
            let node = paint(BOLD, format!("Node {}", status.node));
            text += &format!("\n{node}\n{}", indented(&sections));
        }
    }
    text
}

/// The answer to the question that people come with.
fn sentence(overview: &Overview<'_>) -> String {
    let enforcing = overview.items.iter().filter(|status| status.enforcing);
    let (enforcing, all) = (
        enforcing.count() as u64,
        (overview.items.len() + overview.unanswered.len()) as u64,
    );
    let pods: usize = overview.items.iter().map(|s| s.endpoints.len()).sum();
    let pods = units::count(pods as u64, "pod", "pods");
    if overview.enforcing {
        let nodes = units::count(all, "node enforces", "nodes enforce");
        return format!(
            "{}: {nodes} the policies of {pods}.",
            paint(GOOD, "Enforcing")
        );
    }
    let mut why = Vec::new();
    let not = overview.items.len() as u64 - enforcing;
    if not > 0 {
        why.push(units::count(not, "node does not", "nodes do not"));
    }
    let silent = overview.unanswered.len() as u64;
    if silent > 0 {
        why.push(units::count(silent, "does not answer", "do not answer"));
    }
    format!(
        "{}: {enforcing} of {} everything; {}.",
        paint(BAD, "NOT ENFORCING"),
        units::count(all, "node enforces", "nodes enforce"),
        why.join(", ")
    )
}

fn table(overview: &Overview<'_>, detail: Detail) -> String {
    let answered = overview.items.iter();
    let answered = answered.map(|status| Row::Answered(status, Tally::of(status)));
    let unanswered = overview.unanswered.iter().map(Row::Unanswered);
    let mut rows: Vec<Row<'_>> = answered.chain(unanswered).collect();
    rows.sort_by(|a, b| a.node().cmp(b.node()));
    let of = |row: &Row<'_>, text: fn(&Status, &Tally) -> String| match row {
        Row::Answered(status, tally) => cell(text(status, tally)),
        Row::Unanswered(_) => cell("-"),
    };
    Sheet::<Row<'_>>::new(detail)
        .column(Column::Text("NODE"), |row| cell(row.node()))
        .column(Column::Word("STATE"), state)
        .column(Column::Number("ENFORCED"), |row| {
            of(row, |_, tally| tally.enforced.to_string())
        })
        .column(Column::Number("PENDING"), |row| {
            of(row, |_, tally| tally.pending.to_string())
        })
        .column(Column::Number("CLOSED"), |row| {
            of(row, |_, tally| tally.closed.to_string())
        })
        .column(Column::Word("VERSION"), |row| {
            of(row, |status, _| status.version.clone())
        })
        .column(Column::Word("AGE"), |row| {
            of(row, |status, _| {
                let now = time::now() as u64;
                time::age(now.saturating_sub(status.started))
            })
        })
        .wide(Column::Word("SINCE"), |row| {
            of(row, |status, _| time::stamp(status.started))
        })
        .wide(Column::Word("HOOK"), |row| {
            of(row, |status, _| report::hook(status).to_owned())
        })
        .wide(Column::Number("LAYOUT"), |row| {
            of(row, |status, _| status.abi.to_string())
        })
        .wide(Column::Number("GENERATION"), |row| {
            of(row, |status, _| status.generation.to_string())
        })
        .of(&rows)
}

impl Row<'_> {
    fn node(&self) -> &str {
        match self {
            Self::Answered(status, _) => &status.node,
            Self::Unanswered(gone) => &gone.node,
        }
    }
}

fn state(row: &Row<'_>) -> Cell {
    match row {
        Row::Answered(status, _) if status.enforcing => good("enforcing"),
        Row::Answered(..) => bad("not enforcing"),
        Row::Unanswered(_) => bad("no answer"),
    }
}

fn indented(text: &str) -> String {
    let lines = text.trim_start_matches('\n').lines();
    let indented = lines.map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("  {line}\n"),
    });
    indented.collect()
}
