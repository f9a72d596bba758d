//! A report in words: for a terminal, and for the documentation.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use super::{Figures, Line, Report, Spread, Verdict};
use crate::route::Contestant;

const HEADS: [&str; 7] = [
    "CONTESTANT",
    "PACKETS/S",
    "NS A PACKET",
    "ADDED NS",
    "OF NONE",
    "CONNECTIONS/S",
    "OF NONE",
];

impl Report {
    /// For a terminal.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(HEADS);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for line in &self.lines {
            table.add_row(cells(line));
        }
        format!("{}\n\n{}", table.trim_fmt(), self.words())
    }

    /// For the documentation.
    pub fn markdown(&self) -> String {
        let heads = HEADS.map(str::to_lowercase);
        let mut text = format!("| {} |\n|---|", heads.join(" | "));
        text.push_str(&"--:|".repeat(HEADS.len() - 1));
        text.push('\n');
        for line in &self.lines {
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {} |", cells(line).join(" | "));
        }
        let _ = write!(text, "\n{}", self.words());
        text
    }

    /// What stands under the table: verdicts, who was skipped, and what enforced.
    fn words(&self) -> String {
        let mut text = String::new();
        for verdict in &self.verdicts {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}", verdict.sentence());
        }
        let _ = writeln!(text);
        for figures in &self.figures {
            let Figures { contestant, by, .. } = figures;
            let _ = match &figures.rates {
                Some(_) => writeln!(text, "- {contestant}: {by}"),
                None => writeln!(
                    text,
                    "- {contestant}: skipped, this machine cannot run it: {by}"
                ),
            };
        }
        text
    }
}

impl Verdict {
    /// As one sentence.
    fn sentence(&self) -> String {
        let yes = |ratio: f64| if ratio > 1.0 { "yes" } else { "no" };
        format!(
            "netpol costs less than {}: packets {} ({:.2} times as many), connections {} ({:.2} times as many).",
            self.rival,
            yes(self.packets),
            self.packets,
            yes(self.connections),
            self.connections
        )
    }
}

fn cells(line: &Line) -> [String; 7] {
    let is_none = line.contestant == Contestant::None;
    let beside = |text: String| if is_none { String::new() } else { text };
    [
        line.contestant.to_string(),
        rate(line.packets),
        format!("{:.0}", line.nanoseconds),
        beside(format!(
            "{:.0} ± {:.0}",
            line.added.median, line.added.deviation
        )),
        beside(format!("{:.2}", line.packet_ratio)),
        rate(line.connections),
        beside(format!("{:.2}", line.connection_ratio)),
    ]
}

fn rate(spread: Spread) -> String {
    format!("{:.0} ± {:.0}", spread.median, spread.deviation)
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_verdict_says_yes_and_no() {
        let sentence = sample().verdicts[0].sentence();
        assert!(sentence.contains("packets yes (1.60 times"), "{sentence}");
        assert!(
            sentence.contains("connections no (0.90 times"),
            "{sentence}"
        );
    }

    #[test]
    fn who_was_skipped_has_no_line_and_a_reason() {
        let report = sample();
        assert_eq!(report.lines.len(), 3);
        let text = report.markdown();
        assert!(
            text.contains("| netpol | 800000 ± 0 | 1250 | 250 ± 0 | 0.80 |"),
            "{text}"
        );
        assert!(
            text.contains(
                "iptables with ipset: skipped, this machine cannot run it: no such program"
            )
        );
    }
}
