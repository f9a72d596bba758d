//! `demo`: the scenarios with real packets.
//!
//! Builds, then becomes the demo program: Ctrl-C and the exit code are that program's own.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::build::{self, Programs};
use crate::process;
use crate::setup::{self, Part};
use crate::workspace::Workspace;

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                  all scenarios, one after the other
  cargo xtask demo payments         one of them
  cargo xtask demo payments --keep  leave it up, with commands to try

Exit code 1 if a single cell of a table is wrong.";

/// Run the example scenarios on this machine: pods in network namespaces, real servers, one agent.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The scenario (a directory of `examples/`); all of them if absent.
    name: Option<String>,
    /// Leave the scenario up and print commands to try.
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    if !process::is_root() {
        bail!(
            "the demo makes network namespaces and loads BPF programs, which needs root: run `sudo -E env PATH=\"$PATH\" cargo xtask demo`"
        );
    }
    setup::ensure(workspace, setup::BUILD)?;
    setup::ensure(workspace, &[Part::Network])?;
    let programs = Programs::build(workspace)?;
    let mut demo = Command::new(build::test_program(workspace, "release", "demo")?);
    programs.tell(&mut demo);
    demo.args(&args.name);
    if args.keep {
        demo.arg("--keep");
    }
    Err(demo.exec()).context("start the demo program")
}
