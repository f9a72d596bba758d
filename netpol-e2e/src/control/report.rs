//! Figures against targets.

use std::fmt::Write;

use serde::Serialize;

use super::{
    agent::Memory,
    changes::{Change, ChangeFigures},
    starts::StartFigures,
    world::Size,
};

const MEGABYTE: f64 = 1e6;
/// What counts as growing with the size, and as not growing.
const LINEAR: f64 = 1.1;
const FLAT: f64 = 0.1;

/// What was measured at one size.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// How large the cluster is.
    pub size: Size,
    /// With empty maps.
    pub first: StartFigures,
    /// Single changes.
    pub changes: Vec<ChangeFigures>,
    /// Memory of the agent's process after them.
    pub memory: Memory,
    /// Starts over what was in force.
    pub restarts: Vec<StartFigures>,
    /// The share of a processor while nothing happens.
    pub idle: Option<f64>,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// By size, the largest last.
    pub figures: Vec<Figures>,
    /// Targets, and what was measured.
    pub verdicts: Vec<Verdict>,
}

/// A target, and whether it is met.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// What is measured.
    pub what: String,
    /// In the unit's words.
    pub target: String,
    /// The same of what was measured.
    pub value: String,
    /// Whether it is met.
    pub met: bool,
}

/// How a figure is written.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
    Megabytes,
    Percent,
    Count,
    Exponent,
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Megabytes => format!("{value:.0} MB"),
            Self::Percent => format!("{value:.3} %"),
            Self::Count => format!("{value:.0}"),
            Self::Exponent => format!("{value:.2}"),
        }
    }
}

impl Report {
    pub(super) fn new(figures: Vec<Figures>) -> Self {
        let verdicts = verdicts(&figures);
        Self { figures, verdicts }
    }

    /// Whether every target is met.
    pub fn is_met(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.met)
    }

    /// A table of Markdown: target, value, verdict.
    pub fn verdict_table(&self) -> String {
        let mut text = String::from("| what | target | measured | |\n|---|--:|--:|---|\n");
        for verdict in &self.verdicts {
            let Verdict {
                what,
                target,
                value,
                ..
            } = verdict;
            let word = if verdict.met { "met" } else { "**missed**" };
            let _ = writeln!(text, "| {what} | {target} | {value} | {word} |");
        }
        text
    }

    /// A table of Markdown: a column for each size.
    pub fn figure_table(&self) -> String {
        let mut text = String::from("| |");
        let mut rule = String::from("|---|");
        for figures in &self.figures {
            let Size { policies, pods } = figures.size;
            let _ = write!(text, " {policies} policies, {pods} pods |");
            rule.push_str("--:|");
        }
        text = format!("{text}\n{rule}\n");
        let mut row = |what: &str, cell: &dyn Fn(&Figures) -> String| {
            let cells: Vec<String> = self.figures.iter().map(cell).collect();
            let _ = writeln!(text, "| {what} | {} |", cells.join(" | "));
        };
        let start = |start: &StartFigures| {
            let StartFigures {
                ready,
                cpu,
                operations,
                ..
            } = start;
            format!("{ready:.2} s ({cpu:.2} s), {operations}")
        };
        row("first programming", &|figures| start(&figures.first));
        for change in Change::ALL {
            row(change.words(), &|figures| {
                let of = figures.change(change);
                let ChangeFigures {
                    median,
                    slow,
                    cpu,
                    operations,
                    ..
                } = of;
                format!("{median:.2}, {slow:.2} ms ({cpu:.2} ms), {operations}")
            });
        }
        let restarts = self.figures.first().map_or(0, |f| f.restarts.len());
        for place in 0..restarts {
            let changed = self.figures[0].restarts[place].changed;
            let what = format!("started again, {changed} pods changed");
            row(&what, &|figures| start(&figures.restarts[place]));
        }
        row("resident, at most", &|figures| {
            let Memory { resident, peak } = figures.memory;
            let megabytes = |bytes: u64| bytes as f64 / MEGABYTE;
            format!("{:.0}, {:.0} MB", megabytes(resident), megabytes(peak))
        });
        text
    }
}

impl Figures {
    fn change(&self, change: Change) -> &ChangeFigures {
        // Every change is measured at every size.
        let found = self.changes.iter().find(|of| of.change == change);
        found.unwrap_or(&self.changes[0])
    }
}

fn verdicts(figures: &[Figures]) -> Vec<Verdict> {
    let Some(largest) = figures.last() else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let mut judge = |what: &str, unit: Unit, target: f64, value: f64| {
        all.push(Verdict {
            what: what.to_owned(),
            target: format!("< {}", unit.write(target)),
            value: unit.write(value),
            met: value < target,
        });
    };
    let first = largest.first.ready;
    judge("first programming", Unit::Seconds, 5.0, first);
    for (change, target) in [
        (Change::RemotePodComes, 1.0),
        (Change::RemotePodGoes, 1.0),
        (Change::RemotePodLabels, 1.0),
        (Change::LocalPodLabels, 20.0),
        (Change::NamespaceLabels, 20.0),
        (Change::Policy, 20.0),
    ] {
        let value = largest.change(change).median;
        judge(change.words(), Unit::Milliseconds, target, value);
    }
    let bytes = |bytes: u64| bytes as f64 / MEGABYTE;
    judge(
        "memory at most",
        Unit::Megabytes,
        400.0,
        bytes(largest.memory.peak),
    );
    let resident = bytes(largest.memory.resident);
    judge("memory resident", Unit::Megabytes, 250.0, resident);
    if let Some(idle) = largest.idle {
        judge(
            "a processor while nothing happens",
            Unit::Percent,
            0.1,
            idle * 100.0,
        );
    }
    for start in &largest.restarts {
        let what = format!("started again, {} pods changed: ready", start.changed);
        judge(&what, Unit::Seconds, 3.0, start.ready);
        let what = format!("started again, {} pods changed: writes", start.changed);
        // A pod that changes moves once, and brings along a class or two that nobody else is in.
        let most = 1 + 20 * start.changed;
        judge(&what, Unit::Count, most.into(), start.operations as f64);
    }
    if figures.len() >= 3 {
        let growth = exponent(figures, |figures| figures.first.cpu);
        judge(
            "growth of first programming",
            Unit::Exponent,
            LINEAR,
            growth,
        );
        for change in Change::ALL {
            let growth = exponent(figures, |figures| figures.change(change).cpu);
            let what = format!("growth of: {}", change.words());
            judge(&what, Unit::Exponent, FLAT, growth);
        }
    }
    all
}

/// The exponent with which a cost grows with the number of pods: the slope of a line through the
/// logarithms, by least squares.
fn exponent(figures: &[Figures], cost: impl Fn(&Figures) -> f64) -> f64 {
    let points: Vec<(f64, f64)> = figures
        .iter()
        .map(|figures| (f64::from(figures.size.pods).ln(), cost(figures).ln()))
        .collect();
    slope(&points)
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
    let (x, y) = (x / count, y / count);
    let both: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let squares: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    both / squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_the_exponent_of_a_power() {
        let of = |power: i32| [1.0_f64, 10.0, 100.0].map(|x| (x.ln(), (3.0 * x.powi(power)).ln()));
        for power in 0..3 {
            assert!((slope(&of(power)) - f64::from(power)).abs() < 1e-9);
        }
    }
}
