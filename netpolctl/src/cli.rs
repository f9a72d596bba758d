//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;
use crate::{command, exit};

/// Kubernetes NetworkPolicy on this node: what is enforced, what was counted, and why.
///
/// All commands but `evaluate` ask the node's agent over its socket, which is root's.
#[derive(Debug, Parser)]
#[command(name = "netpolctl", version, after_help = exit::HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every subcommand.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The agent's socket
    #[arg(
        long,
        global = true,
        env = "NETPOL_SOCKET",
        value_name = "PATH",
        default_value = "/run/netpol/agent.sock"
    )]
    pub(crate) socket: PathBuf,
    /// How to print: table (fits the terminal), wide (everything, one line a row), json or yaml
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        hide_possible_values = true
    )]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Is this node enforcing, and what is wrong
    #[command(after_help = command::status::EXAMPLES)]
    Status,
    /// Verdict counters: packets and bytes by policy and rule
    #[command(after_help = command::stats::EXAMPLES)]
    Stats(command::stats::Arguments),
    /// The local pods, whether they are isolated, and by which policies
    #[command(visible_alias = "ep", after_help = command::endpoints::EXAMPLES)]
    Endpoints(command::endpoints::Arguments),
    /// The policies, and which local pods they select
    #[command(visible_alias = "netpol", after_help = command::policies::EXAMPLES)]
    Policies(command::policies::Arguments),
    /// Tracked connections
    #[command(visible_alias = "ct", after_help = command::conntrack::EXAMPLES)]
    Conntrack(command::conntrack::Arguments),
    /// Denied packets and new connections, as they happen
    #[command(after_help = command::flows::EXAMPLES)]
    Flows(command::flows::Arguments),
    /// Wait until every local pod enforces what is on disk now
    #[command(after_help = command::wait::EXAMPLES)]
    Wait(command::wait::Arguments),
    /// Offline: would these manifests allow a connection, and why
    #[command(visible_alias = "eval", after_help = command::evaluate::EXAMPLES)]
    Evaluate(command::evaluate::Arguments),
}
