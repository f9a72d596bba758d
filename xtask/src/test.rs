//! `test`: everything CI runs, one step after the other.
//!
//! A failed build ends it; any other failed step does not keep the later ones from running. The last line is the sum:
//! `N passed, N failed, N skipped`.

mod report;
mod steps;
mod tally;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;

use crate::workspace::Workspace;
use report::{Outcome, Report};
use steps::{STEPS, Step};

pub(crate) use tally::Tally;

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                everything (CI calls this)
  cargo xtask test --list         the steps
  cargo xtask test --only lint    one step; may be given more than once
  cargo xtask test --only cluster the tests on a real Kubernetes cluster
  cargo xtask test --only bed     a step that runs only when asked for";

/// Run all lints and tests: unit, property, documentation, real packets, a real cluster, and other kernels in virtual machines.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Run this step only.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Print the steps and what they do.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let steps = chosen(&args.only)?;
    if args.list {
        for step in steps {
            println!("{:8} {}", step.name, step.what);
        }
        for step in STEPS
            .iter()
            .filter(|step| step.on_demand && args.only.is_empty())
        {
            println!("{:8} {} (with --only)", step.name, step.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::default();
    let mut stopped = false;
    for step in steps {
        if stopped {
            report.not_run(step.name);
        } else {
            let outcome = run_step(step, workspace);
            stopped = outcome.is_failure() && step.stops;
            report.add(step.name, outcome);
        }
    }
    print!("{report}");
    Ok(report.exit_code())
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Step>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| !STEPS.iter().any(|step| step.name == **name))
    {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!(
            "there is no step `{unknown}`; the steps are {}",
            names.join(", ")
        );
    }
    let is_chosen = |step: &&Step| {
        let named = only.iter().any(|name| name == step.name);
        named || only.is_empty() && !step.on_demand
    };
    Ok(STEPS.iter().filter(is_chosen).collect())
}

fn run_step(step: &Step, workspace: &Workspace) -> Outcome {
    println!("== {}: {}", step.name, step.what);
    let started = Instant::now();
    let mut tally = Tally::default();
    let result = (step.run)(workspace, &mut tally);
    if let Err(error) = &result {
        eprintln!("error: {error:#}");
    }
    let outcome = Outcome::new(result.is_ok(), tally, started.elapsed());
    println!("== {}: {outcome}", step.name);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_in_their_own_order_whatever_the_order_asked() {
        let only = ["vm".to_owned(), "lint".to_owned()];
        let names: Vec<&str> = chosen(&only)
            .expect("both exist")
            .iter()
            .map(|step| step.name)
            .collect();
        assert_eq!(names, ["lint", "vm"]);
    }

    #[test]
    fn an_unknown_step_is_refused_with_the_known_ones() {
        let said = chosen(&["nothing".to_owned()])
            .err()
            .map(|error| error.to_string());
        assert!(said.is_some_and(|said| said.contains("`nothing`") && said.contains("lint")));
    }
}
