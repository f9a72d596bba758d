//! The status as text: the verdict, then facts, then whatever is wrong.

use netpol_api::{EndpointState, Hook, Status, TableFill};

use super::Tally;
use crate::output::style::{BAD, BOLD, GOOD, paint};
use crate::output::table::{Column, Table, bad, cell, good, warn};
use crate::output::{Detail, time, units};

mod source;

/// Percent of a table from which it deserves a look before it is full.
const NEARLY_FULL: u64 = 80;

pub(super) fn text(status: &Status, detail: Detail) -> String {
    sentence(status) + "\n\n" + &facts(status) + &sections(status, detail, |_| true)
}

/// What is wrong, and with everything wanted the rest; `tables` says which are shown.
pub(super) fn sections(
    status: &Status,
    detail: Detail,
    tables_shown: fn(&TableFill) -> bool,
) -> String {
    let mut text = String::new();
    section(&mut text, "Watches", &source::watches(status, detail));
    section(&mut text, "Endpoints", &endpoints(status, detail));
    section(&mut text, "Invalid objects", &invalid(status));
    section(&mut text, "Tables", &tables(status, detail, tables_shown));
    section(&mut text, "Sweeps", &sweeps(status, detail));
    section(&mut text, "Connections without room", &refused(status));
    section(&mut text, "Drops that are no policy's", &drops(status));
    section(&mut text, "Losses", &losses(status));
    section(&mut text, "Notes", &notes(status));
    text
}

/// The answer to the question that people come with.
pub(super) fn sentence(status: &Status) -> String {
    let tally = Tally::of(status);
    let total = status.endpoints.len() as u64;
    let pods = units::count(total, "local pod", "local pods");
    if status.enforcing {
        let node = &status.node;
        return match total {
            0 => format!(
                "{}: node {node} has no local pods yet.",
                paint(GOOD, "Enforcing")
            ),
            _ => format!(
                "{}: node {node} enforces the policies of its {pods}.",
                paint(GOOD, "Enforcing")
            ),
        };
    }
    let is = |count: u64| if count == 1 { "is" } else { "are" };
    let mut why = Vec::new();
    if tally.pending > 0 {
        why.push(format!(
            "{} {} not programmed yet",
            tally.pending,
            is(tally.pending)
        ));
    }
    if tally.closed > 0 {
        let Tally { closed, .. } = tally;
        why.push(format!(
            "{closed} {} closed (all traffic dropped)",
            is(closed)
        ));
    }
    let node = &status.node;
    let why = match why.as_slice() {
        [] => format!("what the objects say is not in force yet on node {node}"),
        why => format!("of the {pods} on node {node}, {}", why.join(" and ")),
    };
    format!("{}: {why}.", paint(BAD, "NOT ENFORCING"))
}

/// How the programs are attached.
pub(super) fn hook(status: &Status) -> &'static str {
    match status.hook {
        Hook::Tcx => "TCX",
        Hook::Clsact => "clsact",
    }
}

fn facts(status: &Status) -> String {
    let hook = hook(status);
    let Status {
        version,
        abi,
        generation,
        ..
    } = status;
    let started = time::stamp(status.started);
    let source = source::facts(status);
    let tally = Tally::of(status);
    format!(
        "Agent       {version}, since {started}, programs on {hook}, map layout {abi}\n\
         {source}\
         Generation  {generation}\n\
         Endpoints   {} enforced, {} pending, {} closed\n",
        tally.enforced, tally.pending, tally.closed
    )
}

fn section(text: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        *text += &format!("\n{}\n{body}", paint(BOLD, title));
    }
}

/// Those that need attention; all of them when everything is wanted.
fn endpoints(status: &Status, detail: Detail) -> String {
    let columns = [
        Column::Text("POD"),
        Column::Word("STATE"),
        Column::Number("GENERATION"),
        Column::Text("WHY"),
    ];
    let mut table = Table::new(detail, &columns);
    for endpoint in &status.endpoints {
        let (state, reason) = match &endpoint.state {
            EndpointState::Enforced if detail == Detail::Table => continue,
            EndpointState::Enforced => (good("enforced"), "-"),
            EndpointState::Pending { reason } => (warn("pending"), reason.as_str()),
            EndpointState::Closed { reason } => (bad("closed"), reason.as_str()),
        };
        table.row(vec![
            cell(&endpoint.pod),
            state,
            cell(endpoint.generation),
            cell(reason),
        ]);
    }
    table.finish()
}

/// One paragraph each: a long path beside a long reason makes a poor table.
fn invalid(status: &Status) -> String {
    let mut text = String::new();
    for object in &status.invalid {
        let file = object.file.as_deref().map(|f| format!("{f}: "));
        let name = object.object.as_deref().unwrap_or("cannot be read");
        let field = object.field.as_deref().map(|f| format!("{f}: "));
        text += &format!(
            "{}{}\n  {}{}\n  {}\n",
            file.unwrap_or_default(),
            paint(BAD, name),
            field.unwrap_or_default(),
            object.reason,
            object.effect
        );
    }
    text
}

/// Whether a table deserves a look.
pub(super) fn is_nearly_full(fill: &TableFill) -> bool {
    fill.used.saturating_mul(100) / fill.capacity.max(1) >= NEARLY_FULL
}

fn tables(status: &Status, detail: Detail, shown: fn(&TableFill) -> bool) -> String {
    let columns = [
        Column::Word("TABLE"),
        Column::Number("USED"),
        Column::Number("CAPACITY"),
        Column::Number("FILL"),
    ];
    let mut table = Table::new(detail, &columns);
    for fill in status.tables.iter().filter(|fill| shown(fill)) {
        let percent = units::percent(fill.used, fill.capacity);
        let percent = match fill.used.saturating_mul(100) / fill.capacity.max(1) {
            0..NEARLY_FULL => cell(percent),
            NEARLY_FULL..100 => warn(percent),
            _ => bad(percent),
        };
        table.row(vec![
            cell(&fill.table),
            cell(fill.used),
            cell(fill.capacity),
            percent,
        ]);
    }
    table.finish()
}

/// The last sweep of each table of connections.
fn sweeps(status: &Status, detail: Detail) -> String {
    if detail == Detail::Table {
        return String::new();
    }
    let columns = [
        Column::Word("TABLE"),
        Column::Number("SEEN"),
        Column::Number("REMOVED"),
        Column::Number("MILLISECONDS"),
        Column::Number("CORRECTED"),
    ];
    let mut table = Table::new(detail, &columns);
    for sweep in &status.sweeps {
        table.row(vec![
            cell(&sweep.table),
            cell(sweep.seen),
            cell(sweep.removed),
            cell(format!("{:.1}", sweep.microseconds as f64 / 1000.0)),
            cell(sweep.corrected),
        ]);
    }
    table.finish()
}

/// The pods that wanted more connections than there was room for.
fn refused(status: &Status) -> String {
    let columns = [
        Column::Text("POD"),
        Column::Number("REFUSED"),
        Column::Number("UNANSWERED"),
        Column::Number("ANSWERED"),
    ];
    let mut table = Table::new(Detail::Wide, &columns);
    let endpoints = status.endpoints.iter();
    for endpoint in endpoints.filter(|endpoint| endpoint.connections.refused > 0) {
        let count = &endpoint.connections;
        table.row(vec![
            cell(&endpoint.pod),
            warn(count.refused.to_string()),
            cell(count.new),
            cell(count.replied),
        ]);
    }
    table.finish()
}

fn drops(status: &Status) -> String {
    let columns = [
        Column::Text("REASON"),
        Column::Number("PACKETS"),
        Column::Number("BYTES"),
    ];
    let mut table = Table::new(Detail::Wide, &columns);
    for drop in status.drops.iter().filter(|d| d.packets > 0) {
        table.row(vec![
            cell(&drop.reason),
            cell(drop.packets),
            cell(units::bytes(drop.bytes as f64)),
        ]);
    }
    table.finish()
}

fn notes(status: &Status) -> String {
    let notes = status.notes.iter();
    notes
        .map(|note| format!("{}\n  {}\n", note.text, note.effect))
        .collect()
}

fn losses(status: &Status) -> String {
    let losses = &status.losses;
    [
        (
            losses.events,
            "events did not fit the ring buffer: `flows` has missed them",
        ),
        (
            losses.events_limited,
            "events were held back by the rate limit: `flows` has missed them",
        ),
        (
            losses.answers_limited,
            "refused packets were dropped unanswered, by the rate limit of answers",
        ),
        (
            losses.answers_failed,
            "refused packets were dropped unanswered: the kernel made no answer of them",
        ),
        (
            losses.connections_not_promoted,
            "replied connections stay among the new ones: the table of connections is full",
        ),
        (
            losses.counts,
            "packets were judged and not counted: `stats` shows too few",
        ),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, words)| format!("{count} {words}\n"))
    .collect()
}
