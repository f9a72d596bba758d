//! Measures what the control plane costs.

use std::{
    io::{IsTerminal, stderr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use netpol_e2e::{
    control::{self, Plan, Size, report::Report},
    exit, page,
};

/// What the control plane costs: an agent, a real kernel, clusters of up to 100,000 pods.
///
/// Exit code 0 if every target is met, 1 if one is not or something failed.
#[derive(Debug, Parser)]
#[command(name = "control")]
struct Arguments {
    /// Policies of each cluster, ten pods for each; the largest last
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1000, 3000, 10_000],
          value_parser = clap::value_parser!(u32).range(1000..=10_000))]
    policies: Vec<u32>,
    /// How often each change is made
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// How often the agent is started, each way
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    starts: u16,
    /// Minutes for which nothing happens
    #[arg(long, default_value_t = 2)]
    idle_minutes: u32,
    /// How the figures are written
    #[arg(short, long, default_value = "text")]
    output: Output,
    /// Write them into this page, between the marks
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Tables
    Text,
    /// JSON
    Json,
}

/// Between these the page holds what was measured last.
const MARKS: [&str; 2] = [
    "<!-- cargo xtask bench control: begin -->",
    "<!-- cargo xtask bench control: end -->",
];

fn main() -> ExitCode {
    exit::code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<bool> {
    let plan = Plan {
        sizes: arguments
            .policies
            .iter()
            .map(|n| Size::of_policies(*n))
            .collect(),
        rounds: arguments.rounds,
        starts: arguments.starts.into(),
        idle_minutes: arguments.idle_minutes,
    };
    let report = control::measure(&plan, &say)?;
    match arguments.output {
        Output::Text => println!("{}", text(&report)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    if let Some(path) = &arguments.page {
        page::write(path, MARKS, &text(&report))?;
    }
    Ok(report.is_met())
}

fn say(what: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    } else {
        eprintln!("{what}");
    }
}

fn text(report: &Report) -> String {
    let machine = page::machine();
    format!(
        "At the largest size, {machine}:\n\n{}\nAt each size: the median, for changes also what the slowest tenth \
         exceeds; in brackets what the agent used of a processor; then operations on the maps:\n\n{}",
        report.verdict_table(),
        report.figure_table()
    )
}
