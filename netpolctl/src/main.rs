//! netpolctl: ask a node's agent what it enforces, and ask offline what a set of policies does.
//!
//! ```text
//! cli       arguments
//! command   one file per subcommand: filter, then print
//! agent     the agent's socket
//! output    tables, JSON, YAML, colours
//! offline   manifests -> compiled maps -> packets through the datapath -> verdict and why
//! ```
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Command};
use crate::exit::Exit;

mod agent;
mod cli;
mod command;
mod exit;
mod filter;
mod offline;
mod output;
mod wording;

fn main() -> ExitCode {
    let cli = Cli::parse();
    run(cli).unwrap_or_else(|error| exit::report(&error)).into()
}

fn run(cli: Cli) -> Result<Exit> {
    let context = command::Context::new(cli.global);
    match cli.command {
        Command::Status => command::status::run(&context),
        Command::Stats(arguments) => command::stats::run(&context, &arguments),
        Command::Endpoints(arguments) => command::endpoints::run(&context, &arguments),
        Command::Policies(arguments) => command::policies::run(&context, &arguments),
        Command::Conntrack(arguments) => command::conntrack::run(&context, &arguments),
        Command::Flows(arguments) => command::flows::run(&context, &arguments),
        Command::Wait(arguments) => command::wait::run(&context, &arguments),
        Command::Evaluate(arguments) => command::evaluate::run(&context, &arguments),
    }
}
