//! Runs trials on a real cluster of this computer, one after the other, and the soak.
//!
//! Prints what test programs print, so that they are counted the same way.

use std::{fs, io::Write, path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use netpol_e2e::{
    lab::skip,
    soak,
    trial::{
        CASES, Case, Measure, Prerequisites,
        bed::{Bed, Without},
        findings::Findings,
    },
};
use serde::Serialize;

/// netpol on a real cluster: scenarios, the time dimension, the soak.
///
/// Exit code 0 if nothing was wrong, 1 if something was or the cluster failed.
#[derive(Debug, Parser)]
#[command(name = "trial")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
    /// Write the figures there, as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave something out, to see what fails then
    #[arg(long, global = true, value_name = "WHAT")]
    without: Option<Without>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run trials
    Run {
        /// These only; all of them if none is named
        names: Vec<String>,
        #[command(flatten)]
        measure: Measure,
    },
    /// Change pods, policies and labels without rest, and check every answer
    Soak {
        #[command(flatten)]
        plan: soak::Plan,
    },
    /// Say what there is
    List,
}

/// What came of a trial.
#[derive(Debug, Serialize)]
struct Outcome {
    name: String,
    seconds: f64,
    passed: bool,
    #[serde(flatten)]
    findings: Findings,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<soak::Counts>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let outcomes = match run(&arguments.task, arguments.without) {
        Ok(outcomes) => outcomes,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let failed = outcomes.iter().filter(|it| !it.passed).count();
    if !outcomes.is_empty() {
        let word = if failed == 0 { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {word}. {} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out; finished in {:.2}s",
            outcomes.len() - failed,
            started.elapsed().as_secs_f64()
        );
    }
    if let Some(path) = &arguments.json
        && let Err(error) = write_json(path, &outcomes)
    {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn write_json(path: &PathBuf, outcomes: &[Outcome]) -> Result<()> {
    let text = serde_json::to_string_pretty(outcomes)?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn run(task: &Task, without: Option<Without>) -> Result<Vec<Outcome>> {
    match task {
        Task::List => {
            for case in CASES {
                println!("{:14} {}", case.name, case.what);
            }
            Ok(Vec::new())
        }
        Task::Run { names, measure } => run_cases(names, measure, without),
        Task::Soak { plan } => {
            let Some(bed) = bed("soak", without) else {
                return skipped(&["soak"]);
            };
            let bed = bed?;
            let outcome = tell("soak", |findings| {
                soak::run(&bed, plan, &say, findings).map(Some)
            });
            show_scene(&bed, &outcome);
            Ok(vec![outcome])
        }
    }
}

fn run_cases(
    names: &[String],
    measure: &Measure,
    without: Option<Without>,
) -> Result<Vec<Outcome>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !CASES.iter().any(|it| it.name == **name))
    {
        let known: Vec<&str> = CASES.iter().map(|it| it.name).collect();
        anyhow::bail!(
            "there is no trial `{unknown}`; there are {}",
            known.join(", ")
        );
    }
    let chosen = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.name);
    let cases: Vec<&Case> = CASES.iter().filter(chosen).collect();
    let Some(bed) = bed("trial", without) else {
        let names: Vec<&str> = cases.iter().map(|it| it.name).collect();
        return skipped(&names);
    };
    let mut bed = bed?;
    let mut outcomes = Vec::new();
    for case in cases {
        let outcome = tell(case.name, |findings| {
            (case.run)(&mut bed, measure, findings).map(|()| None)
        });
        show_scene(&bed, &outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn show_scene(bed: &Bed, outcome: &Outcome) {
    if !outcome.passed {
        eprintln!("{}", bed.scene());
    }
}

/// A bed, or `None` where none can be had and why was said.
fn bed(name: &str, without: Option<Without>) -> Option<Result<Bed>> {
    match Prerequisites::find() {
        Ok(parts) => Some(Bed::up(name, parts, without, &say)),
        Err(why) => {
            skip(name, &why);
            None
        }
    }
}

/// Counted as skipped: what says so was printed, once for all of them.
fn skipped(names: &[&str]) -> Result<Vec<Outcome>> {
    for name in names.iter().skip(1) {
        skip(name, "as above");
    }
    let passed = |name: &&str| Outcome {
        name: (*name).to_owned(),
        seconds: 0.0,
        passed: true,
        findings: Findings::default(),
        counts: None,
    };
    Ok(names.iter().map(passed).collect())
}

fn tell(name: &str, work: impl FnOnce(&mut Findings) -> Result<Option<soak::Counts>>) -> Outcome {
    let started = Instant::now();
    let mut findings = Findings::default();
    let counts = match work(&mut findings) {
        Ok(counts) => counts,
        Err(error) => {
            findings.wrong.push(format!("{error:#}"));
            None
        }
    };
    let outcome = Outcome {
        name: name.to_owned(),
        seconds: started.elapsed().as_secs_f64(),
        passed: findings.wrong.is_empty(),
        findings,
        counts,
    };
    let word = if outcome.passed { "ok" } else { "FAILED" };
    println!("test {name} ... {word} ({:.1} s)", outcome.seconds);
    for figure in &outcome.findings.figures {
        println!("    {}: {}", figure.what, figure.value);
    }
    for wrong in &outcome.findings.wrong {
        println!("    WRONG {wrong}");
    }
    let _ = std::io::stdout().flush();
    outcome
}

fn say(what: &str) {
    eprintln!("trial: {what}");
}
