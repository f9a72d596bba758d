//! `fuzz`: inputs that nobody thought of, for two pieces of code that must come to the same.

pub(crate) mod datapath;
mod policy;

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use crate::workspace::Workspace;
use datapath::Target;

const EXAMPLES: &str = "\
Examples:
  cargo xtask fuzz packets --seconds 3600     single frames, of any bytes
  cargo xtask fuzz sequences --seconds 3600   packets, policy changes and time, one after the other
  cargo xtask fuzz policy --probes 10000000   whole clusters

What fails is written beside the tests, so that the next test run begins with it.";

/// Search for inputs on which netpol and a plain model of it do not agree.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// The packet path against a model of it: one frame at a time.
    Packets(Time),
    /// The packet path against a model of it: connections, fragments, policy changes, time-outs.
    Sequences(Time),
    /// The compiled form of policies against an oracle of their meaning.
    Policy(policy::Args),
}

#[derive(clap::Args)]
struct Time {
    /// How long to search.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let datapath = |target, time: &Time| {
        let time = Duration::from_secs(time.seconds);
        datapath::Fuzzers::build(workspace)?.run(target, time)
    };
    match &args.subject {
        Subject::Packets(time) => datapath(Target::Packets, time)?,
        Subject::Sequences(time) => datapath(Target::Sequences, time)?,
        Subject::Policy(args) => policy::run(args, workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}
