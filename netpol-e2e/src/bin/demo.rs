//! Plays the scenarios under `examples/` for real, and says who reaches whom.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use netpol_e2e::{
    exit,
    lab::{LabError, is_root},
    scenario::{Demo, Scenario, names},
};

/// Pods in network namespaces, real servers, one agent, stock NetworkPolicies: who reaches whom
/// before and after.
///
/// Exit code 0 if every cell is right, 1 if one is wrong or something fails.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Arguments {
    /// One scenario; all of them if none is named
    name: Option<String>,
    /// Leave it up until Ctrl-C, with commands to try
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    exit::code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    if !is_root() {
        return Err(LabError::NotRoot.into());
    }
    let wanted = match &arguments.name {
        Some(name) => vec![name.clone()],
        None => names()?,
    };
    // All are read before the first is played: a typo in the last shows at once.
    let scenarios = wanted
        .iter()
        .map(|name| Scenario::load(name))
        .collect::<Result<Vec<_>, _>>()?;
    let mut demo = Demo::new()?;
    let mut standing = Vec::new();
    for scenario in scenarios {
        let name = scenario.name.clone();
        let stage = demo.play(scenario).context(name)?;
        if arguments.keep {
            standing.push(stage);
        }
    }
    let all_right = demo.conclude();
    for stage in &mut standing {
        demo.invite(stage);
    }
    if !standing.is_empty() {
        demo.stand();
    }
    Ok(all_right)
}
