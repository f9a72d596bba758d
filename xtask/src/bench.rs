//! `bench`: what a packet costs, and what a change.
//!
//! Each subcommand builds a program and becomes it: options, `--help` and the exit code are that program's own.

mod check;
mod control;
mod path;
mod route;

use std::process::ExitCode;

use clap::Subcommand;

use crate::workspace::Workspace;

pub(crate) use check::program as check_program;

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench path               nanoseconds a packet on this machine's kernel, against the targets
  cargo xtask bench path --document    also writes docs/performance.md
  cargo xtask bench check              instructions and look-ups a packet, against those that are checked in
  cargo xtask bench check --update     take today's for granted from now on
  cargo xtask bench control            changes on their way to the kernel, starts, memory: some six minutes
  cargo xtask bench control -o json    the same, for programs
  cargo xtask bench control --page docs/performance.md
                                       the same, written into the page
  cargo xtask bench route              packets and connections through a router, beside nftables and iptables
  cargo xtask bench check --help       all of its options; so do the others";

/// Count and measure what a packet costs, and what a change does.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Measure what a packet costs on this machine's kernel, scenario by scenario.
    Path(Options),
    /// Count instructions and map look-ups a packet; fail if a scenario costs more than it did.
    Check(Options),
    /// Measure an agent on clusters of up to 100,000 pods: starts, single changes, memory, idle time; each against its
    /// target.
    Control(Options),
    /// Measure packets and connections through a router: no enforcement, netpol, nftables, iptables with ipset.
    Route(Options),
}

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
struct Options {
    /// Options of the program; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Path(options) => path::run(&options.options, workspace),
        What::Check(options) => check::run(&options.options, workspace),
        What::Control(options) => control::run(&options.options, workspace),
        What::Route(options) => route::run(&options.options, workspace),
    }
}
