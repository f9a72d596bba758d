//! Counting tests by what the test programs print.

use std::fmt;
use std::ops::AddAssign;

/// Test programs end with a line that starts so.
const CLOSING_LINE: &str = "test result: ";
/// A test that cannot run here prints one line that starts so, with the reason, and returns.
const SKIPPED: &str = "SKIPPED:";
/// Where tests run one by one, libtest has begun a line when the test prints its own.
const BEGUN: &str = " ... ";

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Tests of the program now running that said they skip: libtest will count them as passed.
    skipping: u64,
}

impl Tally {
    /// Takes one line of a test program's output.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(closing) = line.strip_prefix(CLOSING_LINE) {
            self.close(closing);
        } else if is_skip(line) {
            self.skipping += 1;
        }
    }

    /// `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    fn close(&mut self, closing: &str) {
        let counts = closing.split_once(". ").map_or("", |(_, counts)| counts);
        let count = |what: &str| {
            counts
                .split(';')
                .filter_map(|part| part.trim().split_once(' '))
                .find(|(_, name)| *name == what)
                .and_then(|(number, _)| number.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let passed = count("passed");
        let skipped = self.skipping.min(passed);
        self.passed += passed - skipped;
        self.failed += count("failed");
        self.skipped += skipped + count("ignored");
        self.skipping = 0;
    }
}

fn is_skip(line: &str) -> bool {
    let said = match line.split_once(BEGUN) {
        Some((begun, said)) if begun.starts_with("test ") => said,
        _ => line,
    };
    said.starts_with(SKIPPED)
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> String {
        let mut tally = Tally::default();
        for line in output.lines() {
            tally.read(line);
        }
        tally.to_string()
    }

    #[test]
    fn closing_lines_of_several_programs_add_up() {
        let output = "\
running 4 tests
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 2 tests
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.20s
";
        assert_eq!(tally(output), "4 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_says_it_skips_did_not_pass() {
        let output = "\
test tcx ... ok
test clsact ... ok

successes:

---- tcx stdout ----
SKIPPED: this kernel has no TCX links

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        assert_eq!(tally(output), "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn a_test_may_say_so_on_the_line_that_libtest_has_begun() {
        let output = "\
test tcx ... SKIPPED: this kernel has no TCX links
ok
SKIPPED: this kernel has no SCTP
test sctp ... ok
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        assert_eq!(tally(output), "0 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn lines_that_only_look_alike_count_for_nothing() {
        assert_eq!(
            tally("5 passed; 1 failed\ntest result: nonsense\nnot SKIPPED: at all\n"),
            "0 passed, 0 failed, 0 skipped"
        );
    }

    #[test]
    fn a_carriage_return_of_a_serial_line_does_no_harm() {
        assert_eq!(
            tally("test result: ok. 2 passed; 0 failed; 0 ignored\r\n"),
            "2 passed, 0 failed, 0 skipped"
        );
    }
}
