//! The table: a row a kind of packet, a column a direction and family.

use std::fmt::Write as _;

use netpol_common::Direction;

use super::Results;
use crate::report::{Line, Verdict};
use crate::scenario::Family;

const COLUMNS: [(Direction, Family); 4] = [
    (Direction::Ingress, Family::V4),
    (Direction::Ingress, Family::V6),
    (Direction::Egress, Family::V4),
    (Direction::Egress, Family::V6),
];

/// The table, and where it is from.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{}; median of {} rounds ± the median distance from it.\n",
        results.machine.sentence(),
        results.rounds
    );
    text.push_str(
        "| nanoseconds a packet | target | to the pod, IPv4 | IPv6 | from the pod, IPv4 | IPv6 | floor | instructions |\n",
    );
    text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for what in kinds(&results.lines) {
        let of = |column: &(Direction, Family)| {
            let mut lines = results.lines.iter();
            lines.find(|line| line.what == what && (line.direction(), line.family) == *column)
        };
        let lines = COLUMNS.each_ref().map(of);
        let first = lines.iter().copied().flatten().next();
        let Some(first) = first else { continue };
        let _ = write!(text, "| {what} | {:.0} |", first.limit);
        for line in lines {
            let _ = write!(text, " {} |", line.map_or(String::new(), cell));
        }
        let instructions = first.cost.map(|cost| cost.instructions.to_string());
        let _ = writeln!(
            text,
            " {:.0} | {} |",
            first.measured.floor.median,
            instructions.unwrap_or_default()
        );
    }
    let _ = writeln!(
        text,
        "\n{} (missed: bold; below the floor: italic).\n\n![nanoseconds a packet](performance/path.svg)",
        results.summary()
    );
    text
}

fn cell(line: &Line) -> String {
    let spread = &line.measured.nanoseconds;
    let text = format!("{:.0} ± {:.0}", spread.median, spread.deviation);
    match line.verdict {
        Verdict::Missed => format!("**{text}**"),
        Verdict::Below => format!("*{text}*"),
        Verdict::Met | Verdict::None => text,
    }
}

/// What is measured, in the order of the lines, each once.
pub(super) fn kinds(lines: &[Line]) -> Vec<&str> {
    let mut kinds = Vec::new();
    for line in lines {
        if !kinds.contains(&line.what.as_str()) {
            kinds.push(line.what.as_str());
        }
    }
    kinds
}
