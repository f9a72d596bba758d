//! The table at the end of a test run, and its closing line.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use super::tally::Tally;
use crate::progress;

/// What became of one step.
pub(super) struct Outcome {
    succeeded: bool,
    tally: Tally,
    took: Duration,
}

impl Outcome {
    /// A step that fails without a failed test (a lint, a panic of the whole machine) counts as one failure, so that
    /// the closing line never says "0 failed" of a run that failed.
    pub(super) fn new(succeeded: bool, mut tally: Tally, took: Duration) -> Self {
        if !succeeded && tally.failed == 0 {
            tally.failed = 1;
        }
        Self {
            succeeded,
            tally,
            took,
        }
    }

    pub(super) fn is_failure(&self) -> bool {
        !self.succeeded
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.succeeded { "ok" } else { "FAILED" };
        write!(f, "{word:8} {:>12}", progress::seconds(self.took))?;
        if self.tally != Tally::default() {
            write!(f, "  {}", self.tally)?;
        }
        Ok(())
    }
}

/// All steps, run or not.
#[derive(Default)]
pub(super) struct Report {
    rows: Vec<(&'static str, Option<Outcome>)>,
}

impl Report {
    pub(super) fn add(&mut self, step: &'static str, outcome: Outcome) {
        self.rows.push((step, Some(outcome)));
    }

    pub(super) fn not_run(&mut self, step: &'static str) {
        self.rows.push((step, None));
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        let mut outcomes = self.rows.iter().filter_map(|(_, outcome)| outcome.as_ref());
        if outcomes.any(Outcome::is_failure) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sum = Tally::default();
        writeln!(f)?;
        for (step, outcome) in &self.rows {
            match outcome {
                Some(outcome) => {
                    writeln!(f, "{step:8} {outcome}")?;
                    sum += outcome.tally;
                }
                None => writeln!(f, "{step:8} not run")?,
            }
        }
        writeln!(f, "\n{sum}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests_ran(passed: u64, failed: u64) -> Tally {
        let mut tally = Tally::default();
        tally.read(&format!(
            "test result: ok. {passed} passed; {failed} failed; 0 ignored"
        ));
        tally
    }

    #[test]
    fn the_last_line_is_the_sum_alone() {
        let mut report = Report::default();
        let took = Duration::from_secs(1);
        report.add("unit", Outcome::new(true, tests_ran(3, 0), took));
        report.add("e2e", Outcome::new(false, tests_ran(2, 1), took));
        assert_eq!(
            report.to_string().lines().last(),
            Some("5 passed, 1 failed, 0 skipped")
        );
        assert_eq!(report.exit_code(), ExitCode::FAILURE);
    }

    #[test]
    fn a_failed_step_without_tests_is_a_failure_in_the_sum() {
        let mut report = Report::default();
        report.add(
            "lint",
            Outcome::new(false, Tally::default(), Duration::ZERO),
        );
        report.not_run("unit");
        assert_eq!(
            report.to_string().lines().last(),
            Some("0 passed, 1 failed, 0 skipped")
        );
    }

    #[test]
    fn all_good_is_exit_code_zero() {
        let mut report = Report::default();
        report.add("unit", Outcome::new(true, tests_ran(1, 0), Duration::ZERO));
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
    }
}
