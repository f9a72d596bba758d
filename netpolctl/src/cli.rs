//! The command line.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::output::Format;
use crate::way::{DEFAULT_SOCKET, WayArguments};
use crate::{command, exit};

/// What the program is called.
const NAME: &str = "netpolctl";
/// What it is called as a plugin of kubectl, and the files that make it one.
const PLUGIN: (&str, [&str; 2]) = ("kubectl netpol", ["kubectl-netpol", "kubectl_netpol"]);

/// Kubernetes NetworkPolicy, of one node or a cluster: what is enforced, what was counted, and why.
///
/// All commands but `evaluate` ask agents. On a node that is the agent there, over its socket, which
/// is root's. Elsewhere, and when a cluster is named, it is the agents of all nodes, through the API
/// server: that takes the rights to list pods in the agents' namespace and to exec into them ("list"
/// on "pods", "get" and "create" on "pods/exec"), and, to notice nodes without an agent, "list" on
/// "nodes".
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = exit::HELP)]
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
    #[command(flatten)]
    pub(crate) way: WayArguments,
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
    /// Is everything enforced, and what is wrong
    #[command(after_help = command::status::EXAMPLES)]
    Status(command::status::Arguments),
    /// Verdict counters: packets and bytes by policy and rule
    #[command(after_help = command::stats::EXAMPLES)]
    Stats(command::stats::Arguments),
    /// The pods, whether they are isolated, and by which policies
    #[command(visible_alias = "ep", after_help = command::endpoints::EXAMPLES)]
    Endpoints(command::endpoints::Arguments),
    /// The policies, and which pods they select
    #[command(visible_alias = "netpol", after_help = command::policies::EXAMPLES)]
    Policies(command::policies::Arguments),
    /// Tracked connections
    #[command(visible_alias = "ct", after_help = command::conntrack::EXAMPLES)]
    Conntrack(command::conntrack::Arguments),
    /// Denied packets and new connections, as they happen
    #[command(after_help = command::flows::EXAMPLES)]
    Flows(command::flows::Arguments),
    /// Wait until policies are in force, as they are now
    #[command(after_help = command::wait::EXAMPLES)]
    Wait(command::wait::Arguments),
    /// Offline: would these manifests allow a connection, and why
    #[command(visible_alias = "eval", after_help = command::evaluate::EXAMPLES)]
    Evaluate(command::evaluate::Arguments),
    /// Connect stdin and stdout with the agent's socket: what is run in the agent's pod
    #[command(hide = true)]
    Relay(RelayArguments),
}

/// Of `relay`.
#[derive(Debug, Args)]
pub(crate) struct RelayArguments {
    /// The agent's socket, where it is not at its default place
    #[arg(default_value = DEFAULT_SOCKET)]
    pub(crate) path: PathBuf,
}

/// Reads the command line; what cannot be understood ends the program.
pub(crate) fn parse(arguments: Vec<OsString>) -> (Cli, bool) {
    let is_plugin = arguments.first().is_some_and(|own| is_plugin(own));
    let mut command = Cli::command();
    if is_plugin {
        command = as_plugin(command.bin_name(PLUGIN.0));
    }
    let matches = command.get_matches_from(arguments);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    (cli, is_plugin)
}

/// Whether this is run as `kubectl netpol`: kubectl finds plugins by the names of files.
fn is_plugin(own: &OsStr) -> bool {
    let name = Path::new(own).file_stem().and_then(OsStr::to_str);
    name.is_some_and(|name| PLUGIN.1.contains(&name))
}

/// The examples as people would type them.
fn as_plugin(command: clap::Command) -> clap::Command {
    let mut command = command.mut_subcommands(as_plugin);
    if let Some(help) = command.get_after_help() {
        let help = help.to_string().replace(NAME, PLUGIN.0);
        command = command.after_help(help);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        as_plugin(Cli::command()).debug_assert();
    }

    #[test]
    fn kubectl_s_names_for_a_plugin_are_known() {
        assert!(is_plugin(OsStr::new("/usr/local/bin/kubectl-netpol")));
        assert!(is_plugin(OsStr::new("kubectl_netpol")));
        assert!(!is_plugin(OsStr::new("/usr/bin/netpolctl")));
    }

    #[test]
    fn a_plugin_s_examples_are_kubectl_s() {
        let mut command = as_plugin(Cli::command());
        let status = command.find_subcommand_mut("status").expect("status");
        let help = status.render_help().to_string();
        assert!(help.contains("kubectl netpol status"), "{help}");
        assert!(!help.contains("netpolctl"), "{help}");
    }

    #[test]
    fn a_socket_and_a_cluster_exclude_each_other() {
        let both = ["netpolctl", "status", "--socket", "s", "--kubeconfig", "k"];
        let error = Cli::try_parse_from(both).expect_err("a contradiction");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn nodes_are_named_one_by_one() {
        let line = ["netpolctl", "stats", "--node", "a", "--node", "b"];
        let cli = Cli::try_parse_from(line).expect("a command line");
        assert_eq!(cli.global.way.nodes, ["a", "b"]);
    }
}
