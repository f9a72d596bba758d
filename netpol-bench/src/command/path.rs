//! `path`: nanoseconds a packet, on this machine's kernel.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use netpol_agent::bpf::object::OBJECT;
use netpol_bench::count::{self, Costs};
use netpol_bench::document::{self, Machine, Results};
use netpol_bench::kernel::{Kernel, Measured, Plan, measure};
use netpol_bench::report::{Line, Verdict};
use netpol_bench::scenario::{self, Family, Scenario};
use nix::unistd::geteuid;

use super::{Output, table};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench path                                everything: some two minutes
  cargo xtask bench path --scenario established         what has this in its name
  cargo xtask bench path --scenario 'new flow' --rounds 101
  cargo xtask bench path -o json > path.json
  cargo xtask bench path --document                     also write docs/performance.md

Exit code 1 if a target is missed, 2 if it could not be measured.";

/// This project's documentation.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// Measure what a packet costs on this machine's kernel, scenario by scenario.
///
/// Nanoseconds a packet, net of a program that does nothing: the median of the rounds, and the
/// median of their distances from it. Each round runs in turns the scenario, the program that does
/// nothing, the yardstick (a look-up in a hash of as many keys of 16 bytes as there are peers) and the
/// floor (the look-ups that no packet of the kind goes without, in maps as large: a target below it
/// cannot be met on this machine).
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only scenarios with this in their name; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    scenario: Vec<String>,
    /// How many rounds.
    #[arg(long, value_name = "N", default_value_t = 31, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// An object file with other programs than those of the agent.
    #[arg(long, value_name = "FILE")]
    object: Option<PathBuf>,
    /// The object file of what they are measured against.
    #[arg(long, value_name = "FILE", env = "NETPOL_BENCH_OBJECT", hide = true)]
    bench_object: PathBuf,
    /// Write table, chart and figures to `performance.md` and `performance/` of a directory [default: docs].
    #[arg(long, value_name = "DIRECTORY", num_args = 0..=1, default_missing_value = DOCS)]
    document: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Whether every target is met.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    if !geteuid().is_root() {
        bail!(
            "programs are loaded, which needs root: run `sudo -E env PATH=\"$PATH\" cargo xtask bench path`"
        );
    }
    let shipped = match &args.object {
        Some(path) => read(path)?,
        None => OBJECT.to_vec(),
    };
    let bench = read(&args.bench_object)?;
    let scenarios = chosen(&args.scenario)?;
    let costs = count::all(&shipped, &scenarios)?;
    let plan = Plan {
        rounds: usize::from(args.rounds),
        packets: 20_000,
        openings: 4_096,
    };
    let bar = progress(scenarios.len());
    let mut kernel = Kernel::new(&shipped, &bench)?;
    let mut measured = Vec::new();
    for scenario in &scenarios {
        let name = scenario.name();
        bar.set_message(name.clone());
        measured.push(measure(&mut kernel, scenario, plan).context(name)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let results = Results {
        machine: Machine::here(),
        rounds: plan.rounds,
        lines: lines(&scenarios, &measured, &costs),
    };
    match args.output {
        Output::Table => print(&results),
        Output::Json => println!("{}", serde_json::to_string_pretty(&results)?),
    }
    if let Some(directory) = &args.document {
        document::write(directory, &results)?;
    }
    Ok(results
        .lines
        .iter()
        .all(|line| matches!(line.verdict, Verdict::Met | Verdict::None)))
}

fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn chosen(texts: &[String]) -> anyhow::Result<Vec<Scenario>> {
    let mut scenarios = scenario::all();
    scenarios.retain(|scenario| {
        let name = scenario.name();
        texts.is_empty() || texts.iter().any(|text| name.contains(text.as_str()))
    });
    if scenarios.is_empty() {
        bail!(
            "no scenario has {} in its name; `cargo xtask bench check` lists them",
            texts.join(" or ")
        );
    }
    Ok(scenarios)
}

fn progress(scenarios: usize) -> ProgressBar {
    let bar = ProgressBar::new(scenarios as u64);
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn lines(scenarios: &[Scenario], measured: &[Measured], costs: &Costs) -> Vec<Line> {
    let mut v4 = HashMap::new();
    let pairs = scenarios.iter().zip(measured);
    for (scenario, measured) in pairs.clone() {
        if scenario.family == Family::V4 {
            let key = (scenario.what.as_str(), scenario.direction);
            v4.insert(key, measured.nanoseconds.median);
        }
    }
    let mut counted = None;
    let line = |(scenario, measured): (&Scenario, &Measured)| {
        let key = (scenario.what.as_str(), scenario.direction);
        let of_v4 = v4.get(&key).copied();
        // What runs the same instructions follows what was counted.
        counted = costs.get(&scenario.name()).copied().or(counted);
        Line::new(scenario, *measured, counted, of_v4)
    };
    pairs.map(line).collect()
}

fn print(results: &Results) {
    let lines = &results.lines;
    let header = [
        "SCENARIO",
        "NS",
        "+-",
        "TARGET",
        "FLOOR",
        "YARDSTICK",
        "TIMES",
        "INSTRUCTIONS",
        "",
    ];
    let mut printed = table(&header, 7);
    for line in lines {
        let measured = &line.measured;
        let instructions = line.cost.map(|cost| cost.instructions.to_string());
        printed.add_row([
            line.name.clone(),
            format!("{:.0}", measured.nanoseconds.median),
            format!("{:.0}", measured.nanoseconds.deviation),
            line.target
                .map_or("-".to_owned(), |target| format!("{target:.0}")),
            format!("{:.0}", measured.floor.median),
            format!("{:.0}", measured.yardstick.median),
            format!("{:.1}", line.yardsticks()),
            instructions.unwrap_or("-".to_owned()),
            line.verdict.word().to_owned(),
        ]);
    }
    println!("{printed}");
    println!("\n{}", results.machine.sentence());
    println!("{}", results.summary());
}
