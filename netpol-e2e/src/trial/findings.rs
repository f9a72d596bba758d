//! What a trial found: figures, and what was wrong.

use std::{fmt, time::Duration};

use serde::Serialize;

/// A number and what it counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was counted or measured.
    pub what: String,
    /// The number, with its unit where it has one.
    pub value: String,
}

/// What a trial found. Nothing wrong is a pass.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Findings {
    /// What docs cite.
    pub figures: Vec<Figure>,
    /// Each a sentence: which pod, when, what.
    pub wrong: Vec<String>,
}

impl Findings {
    /// Notes a figure.
    pub fn figure(&mut self, what: impl Into<String>, value: impl fmt::Display) {
        self.figures.push(Figure {
            what: what.into(),
            value: value.to_string(),
        });
    }

    /// Notes a figure that must be zero.
    pub fn none(&mut self, what: impl Into<String>, seen: &[impl fmt::Display]) {
        let what = what.into();
        self.figure(what.clone(), seen.len());
        const SHOWN: usize = 5;
        let shown = seen.iter().take(SHOWN);
        self.wrong.extend(shown.map(|it| format!("{what}: {it}")));
        if seen.len() > SHOWN {
            self.wrong
                .push(format!("{what}: and {} more", seen.len() - SHOWN));
        }
    }

    /// Notes what must hold.
    pub fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(otherwise());
        }
    }
}

/// Milliseconds of a sample: its median, 99th percentile and maximum.
pub fn spread(sample: &mut [f64]) -> String {
    if sample.is_empty() {
        return "none".to_owned();
    }
    sample.sort_by(f64::total_cmp);
    let at = |part: usize| sample[(sample.len() - 1) * part / 100];
    format!(
        "median {:.0} ms, p99 {:.0} ms, max {:.0} ms",
        at(50),
        at(99),
        at(100)
    )
}

/// A duration as milliseconds.
pub fn ms(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_none_is_wrong_one_by_one_up_to_a_few() {
        let mut findings = Findings::default();
        findings.none("packets", &[] as &[u8]);
        assert_eq!(findings.wrong, Vec::<String>::new());
        findings.none("packets", &(0..20).collect::<Vec<_>>());
        assert_eq!(findings.wrong.len(), 6);
        assert_eq!(findings.wrong[5], "packets: and 15 more");
        assert_eq!(findings.figures[1].value, "20");
    }

    #[test]
    fn a_spread_is_of_the_sorted_sample() {
        assert_eq!(
            spread(&mut [3.0, 1.0, 2.0]),
            "median 2 ms, p99 2 ms, max 3 ms"
        );
        assert_eq!(spread(&mut []), "none");
    }
}
