//! netpolctl: ask agents what they enforce, and ask offline what a set of policies does.
//!
//! ```text
//! cli        arguments
//! way        which agents: the one on this machine, or those of a cluster
//! command    one file per subcommand: filter, then print
//! fleet      all agents at once, and those that do not answer
//! agent      one agent: a question, and its answers
//! transport  the ways to it: its socket, and exec through the API server
//! cluster    the API server: kubeconfig, nodes, agents' pods
//! proof      what should be in force, and what agents have found to be
//! output     tables, JSON, YAML, colours
//! offline    manifests -> compiled maps -> packets through the datapath -> verdict and why
//! ```
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cli::{Cli, Command};
use crate::command::Context;
use crate::exit::Exit;
use crate::fleet::Fleet;
use crate::way::{Surroundings, Way};

mod agent;
mod cli;
mod cluster;
mod command;
mod exit;
mod filter;
mod fleet;
mod offline;
mod output;
mod proof;
mod transport;
mod way;
mod wording;

fn main() -> ExitCode {
    let (cli, is_plugin) = cli::parse(std::env::args_os().collect());
    run(cli, is_plugin)
        .unwrap_or_else(|error| exit::report(&error))
        .into()
}

fn run(cli: Cli, is_plugin: bool) -> Result<Exit> {
    let Cli { global, command } = cli;
    if let Command::Evaluate(arguments) = &command {
        return command::evaluate::run(global.output, arguments);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start threads")?;
    let result = runtime.block_on(async {
        if let Command::Relay(arguments) = &command {
            transport::relay::run(&arguments.path).await?;
            return Ok(Exit::Success);
        }
        let way = Way::choose(&global.way, &Surroundings::here(is_plugin));
        let context = Context {
            fleet: Fleet::open(&way).await?,
            way,
            format: global.output,
        };
        online(&context, &command).await
    });
    // A thread that waits for stdin would keep the program from ending.
    runtime.shutdown_background();
    result
}

async fn online(context: &Context, command: &Command) -> Result<Exit> {
    match command {
        Command::Status(arguments) => command::status::run(context, arguments).await,
        Command::Stats(arguments) => command::stats::run(context, arguments).await,
        Command::Endpoints(arguments) => command::endpoints::run(context, arguments).await,
        Command::Policies(arguments) => command::policies::run(context, arguments).await,
        Command::Conntrack(arguments) => command::conntrack::run(context, arguments).await,
        Command::Flows(arguments) => command::flows::run(context, arguments).await,
        Command::Wait(arguments) => command::wait::run(context, arguments).await,
        // Neither asks agents: `run` has seen to both.
        Command::Evaluate(_) | Command::Relay(_) => Ok(Exit::Success),
    }
}
