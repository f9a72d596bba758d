//! Kubernetes' own end-to-end tests of NetworkPolicy, on a cluster with netpol.
//!
//! ```text
//! e2e.test --ginkgo.dry-run ──> names ──> queue ──> N workers: one process of e2e.test for each test ──> Summary
//! ```
//! A process for each test, rather than ginkgo's own parallel mode: that needs ginkgo's command line, and a test that
//! hangs or panics takes no other with it. Every test has namespaces of its own, so they can run side by side.

mod conformance;
mod suite;
mod summary;

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Instant,
};

use anyhow::{Context, bail};

pub use self::{
    conformance::record,
    suite::{Suite, Test},
    summary::{State, Summary, TestResult},
};
/// What is asked for if nothing is: all of NetworkPolicy.
pub const FOCUS: &str = "Netpol";
/// Names of the fixed dozen, one in a line.
const FEW: &str = include_str!("upstream/few.txt");

/// The tests to run: the fixed dozen, or all that match.
///
/// # Errors
///
/// When none matches, or the suite lacks one of the dozen.
pub fn choose(suite: &Suite, focus: &str, few: bool) -> anyhow::Result<Vec<Test>> {
    let tests = suite.list(focus)?;
    if tests.is_empty() {
        bail!("no test of the suite matches `{focus}`");
    }
    if !few {
        return Ok(tests);
    }
    let find = |name: &str| tests.iter().find(|test| test.name == name).cloned();
    FEW.lines()
        .map(|name| find(name).with_context(|| format!("the suite has no test `{name}`")))
        .collect()
}

/// Runs tests side by side; `each` is told of every one that is done.
pub fn run(
    suite: &Suite,
    tests: Vec<Test>,
    jobs: usize,
    mut each: impl FnMut(&TestResult),
) -> Vec<TestResult> {
    let queue = Mutex::new(VecDeque::from(tests));
    let next = || {
        queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    };
    let (done, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (done, next) = (done.clone(), &next);
            scope.spawn(move || {
                while let Some(test) = next() {
                    let started = Instant::now();
                    let (state, message) = suite.run(&test);
                    let seconds = started.elapsed().as_secs_f64();
                    let _ = done.send(TestResult {
                        name: test.name,
                        state,
                        seconds,
                        message,
                    });
                }
            });
        }
        drop(done);
        results.iter().inspect(|result| each(result)).collect()
    })
}
