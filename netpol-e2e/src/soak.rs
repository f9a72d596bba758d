//! The soak: a cluster that never rests, and every answer checked against the offline judge.
//!
//! ```text
//! churn: one change --> kubectl --> `netpolctl wait` on every node --> objects as applied --> judge: an Epoch
//! probers: any pod asks any other, all the time --> Asked, with when it began and ended
//! verdict: the answers of an Asked must be those of every Epoch it touches; where two of them differ, either may be
//! ```
//! So a wrong answer counts as soon as the change is said to be in force, and also in the middle of a change that does
//! not concern it.

mod churn;
mod epoch;
mod judge;
mod probers;
mod random;

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use crate::trial::{
    bed::Bed,
    findings::{Findings, spread},
};
use churn::Churn;
use epoch::{Epoch, Record};
use judge::Judge;
use probers::Probers;

/// How long nothing changes between two changes: long beside the time-out of a question.
const REST: Duration = Duration::from_secs(2);

/// How long, and which.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// How many minutes of churn
    #[arg(long, default_value_t = 10.0)]
    pub minutes: f64,
    /// The changes to draw; another one each time if absent
    #[arg(long)]
    pub seed: Option<u64>,
}

/// What a soak came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Changes made, by kind: pods, policies, labels.
    pub changes: usize,
    /// Questions asked.
    pub asked: usize,
    /// Those that could be judged.
    pub judged: usize,
    /// Judged, and answered.
    pub reached: usize,
    /// Judged, and refused.
    pub refused: usize,
    /// Judged in the middle of a change that does not concern them.
    pub while_changing: usize,
    /// Not judged: a change under way concerned them.
    pub either: usize,
    /// Wrong.
    pub wrong: usize,
}

/// Runs one.
///
/// # Errors
///
/// When the cluster fails. Wrong answers are findings.
pub fn run(bed: &Bed, plan: &Plan, say: &dyn Fn(&str), findings: &mut Findings) -> Result<Counts> {
    let seed = plan.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    findings.figure("seed", seed);
    let mut judge = Judge::start(&bed.parts().ctl)?;
    let mut churn = Churn::begin(bed, seed)?;
    let probers = Probers::start();
    let mut record = Record::new(Instant::now());
    record.push(epoch(bed, &churn, &mut judge, "the start".to_owned())?);
    probers.know(churn.hosts());
    let end = Instant::now() + Duration::from_secs_f64(plan.minutes * 60.0);
    let mut waits = Vec::new();
    while Instant::now() < end {
        std::thread::sleep(REST);
        record.end_epoch();
        let what = churn.change(bed, |hosts| probers.know(hosts))?;
        waits.push(bed.enforced()?.as_secs_f64() * 1e3);
        record.push(epoch(bed, &churn, &mut judge, what)?);
        probers.know(churn.hosts());
        say(&record.progress(end));
    }
    std::thread::sleep(REST);
    record.end_epoch();
    let asked = probers.finish();
    let (counts, wrong) = record.judge(&asked);
    findings.figure("minutes", plan.minutes);
    findings.figure("changes", format!("{} ({})", counts.changes, churn.kinds()));
    findings.figure(
        "`netpolctl wait` after a change, both nodes",
        spread(&mut waits),
    );
    findings.figure("questions asked", counts.asked);
    findings.figure(
        "questions judged",
        format!(
            "{} ({} to be answered, {} to be refused)",
            counts.judged, counts.reached, counts.refused
        ),
    );
    findings.figure(
        "of these, while an unrelated change was under way",
        counts.while_changing,
    );
    findings.figure(
        "not judged: asked while a change that concerns them was under way",
        counts.either,
    );
    findings.none("wrong verdicts", &wrong);
    findings.must(counts.reached > 0 && counts.refused > 0, || {
        "nothing was to be answered, or nothing refused: the draw shows nothing".to_owned()
    });
    churn.end(bed)?;
    Ok(counts)
}

/// The state from now on: what is applied, and what must follow from it.
fn epoch(bed: &Bed, churn: &Churn, judge: &mut Judge, what: String) -> Result<Epoch> {
    let began = Instant::now();
    let verdicts = judge.ask(bed, churn.hosts())?;
    Ok(Epoch::new(began, what, verdicts))
}
