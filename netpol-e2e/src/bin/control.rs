//! Measures what the control plane costs.

use std::{
    fs,
    io::{IsTerminal, stderr},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use netpol_e2e::{
    control::{self, Plan, Size, report::Report},
    exit,
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
    if let Some(page) = &arguments.page {
        write_page(page, &text(&report))?;
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
    let machine = machine();
    format!(
        "At the largest size, {machine}:\n\n{}\nAt each size: the median, for changes also what the slowest tenth \
         exceeds; in brackets what the agent used of a processor; then operations on the maps:\n\n{}",
        report.verdict_table(),
        report.figure_table()
    )
}

fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    // Others on the machine make times longer.
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').nth(1).unwrap_or("?").to_owned();
    let release = nix::sys::utsname::uname().ok();
    let release = release.map(|it| it.release().to_string_lossy().into_owned());
    format!(
        "{processors} processors, Linux {}, load {load} over the last five minutes",
        release.unwrap_or_default()
    )
}

fn write_page(path: &Path, text: &str) -> Result<()> {
    let page = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let [begin, end] = MARKS;
    let parts = page.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let (before, after) =
        parts.with_context(|| format!("{} lacks the line `{begin}` or `{end}`", path.display()))?;
    fs::write(path, format!("{before}{begin}\n{text}\n{end}{after}"))
        .with_context(|| format!("write {}", path.display()))
}
