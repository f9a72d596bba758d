//! Measures what enforcement costs through a router.

use std::{
    fs,
    io::{IsTerminal, stderr},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use netpol_e2e::{
    exit, page,
    route::{self, Plan, chart, report::Report},
};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench route                              some two minutes
  cargo xtask bench route --rounds 10 --peers 10       fewer rounds, a smaller policy
  cargo xtask bench route -o json                      every round, for programs
  cargo xtask bench route --page docs/performance.md   also writes the page, with its chart and figures beside it";

/// What enforcement costs through a router: no enforcement, netpol, nftables, and iptables with ipset, one
/// policy and one machine.
///
/// Exit code 0 if it could be measured, 1 if something failed or does not enforce the policy. A contestant that
/// this machine cannot run is left out, and named.
#[derive(Debug, Parser)]
#[command(name = "route", after_help = EXAMPLES)]
struct Arguments {
    /// Pods that the measured one lets in
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=50_000))]
    peers: u16,
    /// Other pods of the node, with a policy each
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=150))]
    others: u16,
    /// UDP flows that packets are sent on
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    flows: u16,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rounds: u16,
    /// Milliseconds for which packets, and connections, of each contestant are measured in a round
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    slice: u64,
    /// How the figures are written
    #[arg(short, long, default_value = "text")]
    output: Output,
    /// Write them into this page, between the marks, and a chart and JSON into `performance/` beside it
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table
    Text,
    /// JSON
    Json,
}

/// Between these the page holds what was measured last.
const MARKS: [&str; 2] = [
    "<!-- cargo xtask bench route: begin -->",
    "<!-- cargo xtask bench route: end -->",
];

fn main() -> ExitCode {
    exit::code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<bool> {
    let plan = Plan {
        peers: arguments.peers,
        others: arguments.others,
        flows: arguments.flows,
        rounds: arguments.rounds,
        slice: Duration::from_millis(arguments.slice),
    };
    let report = route::measure(&plan, &say)?;
    if stderr().is_terminal() {
        eprintln!();
    }
    let where_from = where_from(&plan);
    match arguments.output {
        Output::Text => println!("{where_from}\n\n{}", report.table()),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    if let Some(path) = &arguments.page {
        write(path, &report, &where_from)?;
    }
    Ok(true)
}

fn say(what: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    } else {
        eprintln!("{what}");
    }
}

fn where_from(plan: &Plan) -> String {
    format!(
        "{}, {}; median of {} rounds ± the median distance from it.",
        page::machine(),
        page::day(),
        plan.rounds
    )
}

/// The page, and what it shows from beside it.
fn write(path: &Path, report: &Report, where_from: &str) -> Result<()> {
    let beside = path.with_file_name("performance");
    fs::create_dir_all(&beside).with_context(|| format!("make {}", beside.display()))?;
    let json = serde_json::to_string_pretty(report)? + "\n";
    let files = [
        (beside.join("route.json"), json),
        (beside.join("route.svg"), chart::svg(report, where_from)?),
    ];
    for (path, text) in files {
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    let picture = "![packets and connections through a router](performance/route.svg)";
    let text = format!("{where_from}\n\n{}\n{picture}", report.markdown());
    page::write(path, MARKS, &text)
}
