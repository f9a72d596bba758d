//! `check`: instructions and look-ups a packet, against those that are checked in.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use netpol_agent::bpf::object::OBJECT;
use netpol_bench::baseline::{self, Change, Line};
use netpol_bench::count::{self, Cost};
use netpol_bench::machine::Sizes;
use netpol_bench::{scenario, sizes};
use serde_json::json;

use super::{Output, table};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench check                     against the costs that are checked in
  cargo xtask bench check --object FILE       of other programs than the ones just built
  cargo xtask bench check --update            take today's costs for granted from now on
  cargo xtask bench check -o json

Exit code 1 if a scenario costs more than it did, 2 if it could not be counted.";

/// Count instructions and map look-ups a packet; fail if a scenario costs more than it did.
///
/// The counts are of the programs as they are compiled, and the same on every machine.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// An object file with other programs than those of the agent.
    #[arg(long, value_name = "FILE")]
    object: Option<PathBuf>,
    /// The costs to compare with [default: the ones that are checked in].
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write today's costs there instead of comparing.
    #[arg(long)]
    update: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Whether nothing costs more than it did.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let file = args.baseline.clone().unwrap_or_else(baseline::path);
    let object = match &args.object {
        Some(path) => fs::read(path).with_context(|| format!("read {}", path.display()))?,
        None => OBJECT.to_vec(),
    };
    let now = count::all(&object, &scenario::all())?;
    if args.update {
        baseline::write(&file, &now)?;
        eprintln!("{} scenarios written to {}", now.len(), file.display());
        return Ok(true);
    }
    let was = baseline::read(&file)?;
    let lines = baseline::compare(&now, &was);
    let sizes = Sizes::of(&object, |map, default| sizes::of(map).unwrap_or(default))?;
    match args.output {
        Output::Table => print(&lines, &sizes),
        Output::Json => {
            let report = json!({"scenarios": as_json(&lines), "sizes": sizes});
            println!("{}", serde_json::to_string_pretty(&report)?);
        }
    }
    let gone = baseline::gone(&now, &was);
    for name in &gone {
        eprintln!("no longer counted: {name}");
    }
    let worse = lines.iter().filter(|line| line.change() == Change::Worse);
    let worse: Vec<_> = worse.map(|line| line.name.as_str()).collect();
    for name in &worse {
        eprintln!("worse: {name}");
    }
    if !worse.is_empty() || !gone.is_empty() {
        eprintln!(
            "If it is worth that, `cargo xtask bench check --update` takes today's costs for granted; say why in the commit."
        );
    }
    Ok(worse.is_empty() && gone.is_empty())
}

fn print(lines: &[Line], sizes: &Sizes) {
    let header = [
        "SCENARIO",
        "INSTRUCTIONS",
        "WAS",
        "LOOK-UPS",
        "WAS",
        "ARRAYS",
        "WAS",
        "WRITES",
        "WAS",
        "",
    ];
    let mut costs = table(&header, 8);
    for line in lines {
        let was = |pick: fn(&Cost) -> u64| {
            let was = line.was.as_ref();
            was.map_or("-".to_owned(), |cost| pick(cost).to_string())
        };
        costs.add_row([
            line.name.clone(),
            line.now.instructions.to_string(),
            was(|cost| cost.instructions),
            line.now.lookups.to_string(),
            was(|cost| cost.lookups),
            line.now.arrays.to_string(),
            was(|cost| cost.arrays),
            line.now.writes.to_string(),
            was(|cost| cost.writes),
            line.change().word().to_owned(),
        ]);
    }
    println!("{costs}\n");
    let mut programs = table(&["PROGRAM", "INSTRUCTIONS"], 1);
    for (name, instructions) in &sizes.programs {
        programs.add_row([name.clone(), instructions.to_string()]);
    }
    println!("{programs}\n");
    let mut maps = table(&["MAP", "ENTRIES", "KEYS AND VALUES, KiB"], 2);
    for map in &sizes.maps {
        let kibibytes = map.bytes.div_ceil(1024);
        maps.add_row([
            map.name.clone(),
            map.entries.to_string(),
            kibibytes.to_string(),
        ]);
    }
    let all: u64 = sizes.maps.iter().map(|map| map.bytes).sum();
    maps.add_row([
        "all".to_owned(),
        String::new(),
        all.div_ceil(1024).to_string(),
    ]);
    println!("{maps}");
}

fn as_json(lines: &[Line]) -> serde_json::Value {
    let lines = lines.iter().map(|line| {
        json!({
            "scenario": line.name,
            "now": line.now,
            "was": line.was,
            "change": line.change().word(),
        })
    });
    lines.collect()
}
