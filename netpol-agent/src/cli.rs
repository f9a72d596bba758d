//! The command line.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use netpol_common::{fragment::PLACES_PER_SLOT, maps};

use crate::{
    bpf::load::MapSizes,
    cni::install::{Directories, Installer},
    uninstall::Owner,
};

/// Enforces Kubernetes NetworkPolicies on this node, by eBPF programs on the pods' interfaces.
#[derive(Debug, Parser)]
#[command(name = "netpol-agent", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  stopped by SIGTERM or SIGINT (what was in force stays in force, but see --installed-by), or cleaned up
  1  failed while running; what was in force stays in force
  2  the command line is wrong
  3  this machine, or the agent's rights on it, do not do (`netpol-agent preflight` tells more), or maps of
     another layout
  4  another agent runs on the same BPF directory or socket
  5  the API server is no source: a kubeconfig that does not do, no answer, credentials that are refused,
     a right that is missing (those of --installed-by too), no Node of that name; what was in force stays
     in force";

const RUN_EXAMPLES: &str = "\
Examples:
  Enforce the policies of a directory on this node, whose name in the manifests is node-a:
    netpol-agent run --node node-a --manifests /etc/netpol/manifests

  The same of a cluster, from outside of its pods:
    netpol-agent run --node node-a --kubeconfig /etc/netpol/kubeconfig

  A second agent, in a network namespace of its own:
    ip netns exec lab netpol-agent run --node lab --manifests lab/ \\
      --bpffs /sys/fs/bpf/lab --socket /run/netpol/lab.sock

Stopping the agent leaves everything in force; the next one takes over without a gap.
`netpol-agent cleanup` removes all of it.";

const CLEANUP_EXAMPLES: &str = "\
Examples:
  netpol-agent cleanup
  ip netns exec lab netpol-agent cleanup --bpffs /sys/fs/bpf/lab

  A node that was away while netpol was uninstalled:
    kubectl debug node/NODE --profile=sysadmin --image=localhost/netpol:VERSION \\
      -- /netpol-agent cleanup --host-root /host

Run it in the network namespace of the agent: filters of the clsact qdisc are found there alone.";

const PREFLIGHT_EXAMPLES: &str = "\
Examples:
  netpol-agent preflight
  kubectl -n netpol-system exec ds/netpol -- /netpol-agent preflight -o json

Exit codes: 0 an agent can run here (warnings or not); 3 it cannot; 4 it could, but another one does.
Nothing is changed; an agent that runs is not disturbed.";

const PROBE_EXAMPLES: &str = "\
Examples:
  netpol-agent probe live     it answers
  netpol-agent probe ready    it is in sync, and every pod of the node is enforced

Exit codes: 0 yes; 1 no, with the reason on standard error.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Enforce, until SIGTERM or SIGINT.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Remove the programs, maps and files that agents left, and nothing else.
    #[command(after_help = CLEANUP_EXAMPLES)]
    Cleanup(CleanupArgs),
    /// Check whether an agent can run on this node, and what may disturb it.
    #[command(after_help = PREFLIGHT_EXAMPLES)]
    Preflight(Box<PreflightArgs>),
    /// Ask the agent of this node whether it is alive, or ready: for probes of the kubelet.
    #[command(after_help = PROBE_EXAMPLES)]
    Probe(ProbeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PreflightArgs {
    #[command(flatten)]
    pub(crate) places: Places,
    /// Directory of the CNI configurations, to know other policy engines by.
    #[arg(long, value_name = "DIR", default_value = "/etc/cni/net.d")]
    pub(crate) cni_conf_dir: PathBuf,
    /// How programs would be attached.
    #[arg(long, default_value = "auto")]
    pub(crate) hook: HookChoice,
    #[command(flatten)]
    pub(crate) sizes: Sizes,
    /// How the findings are written.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
}

/// How a command's answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// What is asked.
    pub(crate) what: ProbeWhat,
    /// Socket of the agent's local API.
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub(crate) socket: PathBuf,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    pub(crate) timeout: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProbeWhat {
    /// Does it answer?
    Live,
    /// Is every pod of the node enforced?
    Ready,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// This node's name, as pods have it in spec.nodeName.
    #[arg(long, value_name = "NAME", env = "NETPOL_NODE")]
    pub(crate) node: String,
    /// Directory of Kubernetes objects: *.yaml, *.yml and *.json, several documents a file, Lists.
    /// It is watched; directories in it are not read. Without it, and without --kubeconfig, the
    /// objects are those of the cluster that the agent is a pod of.
    #[arg(long, value_name = "DIR", conflicts_with = "kubeconfig")]
    pub(crate) manifests: Option<PathBuf>,
    /// How to reach the API server that has the objects.
    #[arg(long, value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) cni: Cni,
    /// The DaemonSet that runs this agent. Stopped while that, or its namespace, is being deleted,
    /// the agent removes everything, as `cleanup` does; stopped at any other time it leaves
    /// everything in force.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub(crate) installed_by: Option<Owner>,
    /// Remove the taints of this key from the node once every pod of it is enforced.
    #[arg(long, value_name = "KEY")]
    pub(crate) remove_taint: Option<String>,
    /// How log lines are written, on standard error.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// How programs are attached: by TCX where the kernel has it (6.6), else by clsact filters.
    #[arg(long, default_value = "auto")]
    pub(crate) hook: HookChoice,
    /// Denies and new connections that are reported at most, a second and CPU.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) events_per_second: u32,
    /// Answer what policies refuse (TCP by RST, the rest by port unreachable of ICMP) rather than
    /// drop it in silence. A namespace's annotation netpol.io/refuse, `drop` or `reject`, goes
    /// before, for the pods of that namespace.
    #[arg(long, env = "NETPOL_REJECT")]
    pub(crate) reject: bool,
    /// Such answers that are sent at most, a second and pod; beyond, packets are dropped.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) answers_per_second: u32,
    /// kube-proxy of this cluster runs with --masquerade-all: a pod must then be allowed to reach
    /// every backend of a Service, since these do not learn who sends.
    #[arg(long)]
    pub(crate) masquerade_all: bool,
    #[command(flatten)]
    pub(crate) sizes: Sizes,
}

#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    /// Directory of the BPF file system that the agent used; it also says where its socket was.
    #[arg(long, value_name = "DIR", env = "NETPOL_BPFFS", default_value = BPFFS)]
    pub(crate) bpffs: PathBuf,
    /// Where the node's own root directory is: in a container that mounts it, not at /.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) host_root: PathBuf,
    /// How log lines are written, on standard error.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

impl CleanupArgs {
    /// All that an agent with these arguments leaves.
    pub(crate) fn of(args: &RunArgs) -> Self {
        Self {
            bpffs: args.places.bpffs.clone(),
            host_root: "/".into(),
            log_format: args.log_format,
        }
    }
}

const BPFFS: &str = "/sys/fs/bpf/netpol";
const SOCKET: &str = "/run/netpol/agent.sock";

/// Where an agent keeps what outlives it.
#[derive(Debug, Args)]
pub(crate) struct Places {
    /// Directory of the BPF file system for maps and links. One for each network namespace.
    #[arg(long, value_name = "DIR", env = "NETPOL_BPFFS", default_value = BPFFS)]
    pub(crate) bpffs: PathBuf,
    /// Socket of the local API. Copies of good manifests are kept beside it.
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub(crate) socket: PathBuf,
}

/// The CNI plugin: with it a new pod starts once its policies are in force. Without these
/// directories it is not installed, and new pods are found by netlink.
#[derive(Debug, Args)]
#[command(next_help_heading = "CNI plugin")]
pub(crate) struct Cni {
    /// Directory of the node's CNI configurations: netpol-cni is put into the first. It stays
    /// there when the agent stops; `cleanup` takes it out.
    #[arg(long, value_name = "DIR", requires = "cni_bin_dir")]
    pub(crate) cni_conf_dir: Option<PathBuf>,
    /// Directory of the node's CNI plugins: netpol-cni is copied there.
    #[arg(long, value_name = "DIR", requires = "cni_conf_dir")]
    pub(crate) cni_bin_dir: Option<PathBuf>,
    /// The plugin to copy [default: netpol-cni beside the agent's own program].
    #[arg(long, value_name = "PATH", requires = "cni_bin_dir")]
    pub(crate) cni_plugin: Option<PathBuf>,
    /// Where no plugin can be chained: close each new veth whose name begins so, some milliseconds
    /// after it appears, until a route shows whose it is. One that never is a pod's stays closed, and
    /// so does a bridge's port: on a bridge pods are found by their answers, and these are closed in.
    #[arg(long, value_name = "PREFIX,...", value_delimiter = ',', value_parser = prefix)]
    pub(crate) close_new_interfaces: Vec<String>,
}

fn prefix(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 15 {
        return Err("an interface's name has 1 to 15 letters".to_owned());
    }
    Ok(text.to_owned())
}

impl Cni {
    /// The node's directories, when they are given.
    pub(crate) fn directories(&self) -> Option<Directories> {
        let (conf, bin) = (self.cni_conf_dir.clone()?, self.cni_bin_dir.clone()?);
        Some(Directories { conf, bin })
    }

    /// What keeps the plugin installed, when it is to be.
    pub(crate) fn installer(&self, socket: &Path) -> anyhow::Result<Option<Installer>> {
        let Some(directories) = self.directories() else {
            return Ok(None);
        };
        let plugin = match &self.cni_plugin {
            Some(plugin) => plugin.clone(),
            None => std::env::current_exe()
                .context("find the agent's own program; name the plugin with --cni-plugin")?
                .with_file_name("netpol-cni"),
        };
        anyhow::ensure!(
            plugin.is_file(),
            "there is no CNI plugin at {}: name it with --cni-plugin",
            plugin.display()
        );
        let socket = std::path::absolute(socket).context("find the working directory")?;
        Ok(Some(Installer::new(directories, plugin, &socket)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HookChoice {
    /// TCX where the kernel has it.
    Auto,
    /// TCX, or fail.
    Tcx,
    /// Filters of the clsact qdisc.
    Clsact,
}

/// Sizes of the maps. Maps that are pinned already keep theirs. Of those that hold policies, half
/// is for the state in force and half for the next one while it comes into force.
#[derive(Debug, Args)]
#[command(next_help_heading = "Table sizes")]
pub(crate) struct Sizes {
    /// Local pods, twice.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = at_least(2))]
    max_endpoints: u32,
    /// Pod addresses that rules select, of each family, twice.
    #[arg(long, value_name = "N", default_value_t = 131_072, value_parser = at_least(2))]
    max_addresses: u32,
    /// Address blocks of rules, of each family, twice.
    #[arg(long, value_name = "N", default_value_t = 32_768, value_parser = at_least(2))]
    max_prefixes: u32,
    /// What policy sets grant to whom, twice.
    #[arg(long, value_name = "N", default_value_t = 262_144, value_parser = at_least(2))]
    max_policy_entries: u32,
    /// Ports of grants, twice.
    #[arg(long, value_name = "N", default_value_t = 131_072, value_parser = at_least(2))]
    max_port_entries: u32,
    /// Addresses and ports of Services, twice.
    #[arg(long, value_name = "N", default_value_t = 131_072, value_parser = at_least(2))]
    max_services: u32,
    /// Addresses of pods that pods of this node refuse something, twice.
    #[arg(long, value_name = "N", default_value_t = 262_144, value_parser = at_least(2))]
    max_sources: u32,
    /// Rules and default denies, each a counter, twice.
    #[arg(long, value_name = "N", default_value_t = 32_768, value_parser = at_least(130))]
    max_rules: u32,
    /// Connections that were answered, of each family.
    #[arg(long, value_name = "N", default_value_t = 131_072, value_parser = at_least(1))]
    max_connections: u32,
    /// Connections that were not answered yet, of each family.
    #[arg(long, value_name = "N", default_value_t = 32_768, value_parser = at_least(1))]
    max_new_connections: u32,
    /// Of these, connections that one pod may hold, however much is free. Without it a pod may hold
    /// as many as are left free for the others: half of the table alone, a third beside another.
    #[arg(long, value_name = "N", value_parser = at_least(1))]
    max_new_connections_per_pod: Option<u32>,
    /// Bytes of events that wait for the agent: a power of two, and of whole pages.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = power_of_two)]
    event_buffer: u32,
}

impl Sizes {
    /// New connections that one endpoint may hold in each family.
    pub(crate) fn new_per_endpoint(&self) -> u32 {
        self.max_new_connections_per_pod.unwrap_or(u32::MAX)
    }

    /// The sizes by map.
    pub(crate) fn maps(&self) -> MapSizes {
        // At most one number for each identity, table, set and rule there can be.
        let numbers = self.max_policy_entries.saturating_mul(2);
        let numbers = numbers
            .saturating_add(self.max_rules)
            .saturating_add(self.max_endpoints);
        MapSizes(BTreeMap::from([
            (maps::ENDPOINT, self.max_endpoints),
            (maps::ENDPOINT_ENTRIES, self.max_endpoints),
            (maps::IDENTITY_V4, self.max_addresses),
            (maps::IDENTITY_V6, self.max_addresses),
            (maps::CIDR_V4, self.max_prefixes),
            (maps::CIDR_V6, self.max_prefixes),
            (maps::POLICY, self.max_policy_entries),
            (maps::PORTS, self.max_port_entries),
            (maps::HELD, self.max_endpoints),
            (maps::SWEPT, self.max_endpoints),
            (maps::CUTS, self.max_rules),
            (maps::COUNTERS, self.max_rules),
            (maps::CONNTRACK_V4, self.max_connections),
            (maps::CONNTRACK_V6, self.max_connections),
            (maps::CONNTRACK_NEW_V4, self.max_new_connections),
            (maps::CONNTRACK_NEW_V6, self.max_new_connections),
            (maps::EVENTS, self.event_buffer),
            (maps::NODE, NODE_ADDRESSES),
            (maps::SERVICE, self.max_services),
            (maps::SOURCE, self.max_sources),
            (
                maps::FRAGMENTS,
                self.max_endpoints.saturating_mul(PLACES_PER_SLOT),
            ),
            (maps::NUMBERS, numbers),
        ]))
    }
}

/// Addresses of the node's own interfaces, one for each bridge and uplink, or one for each pod; and,
/// where Services have ports on every node, those of the other nodes.
const NODE_ADDRESSES: u32 = 32_768;

fn at_least(least: u32) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(least)..)
}

fn power_of_two(text: &str) -> Result<u32, String> {
    let bytes: u32 = text.parse().map_err(|error| format!("{error}"))?;
    if bytes >= 4096 && bytes.is_power_of_two() {
        Ok(bytes)
    } else {
        Err("not a power of two from 4096 on".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_go_to_their_maps() {
        let arguments = [
            "netpol-agent",
            "run",
            "--node",
            "n",
            "--manifests",
            "d",
            "--max-endpoints",
            "4",
            "--max-connections",
            "7",
        ];
        let Command::Run(arguments) = Cli::parse_from(arguments).command else {
            panic!("another command");
        };
        let sizes = arguments.sizes.maps().0;
        assert_eq!(sizes[maps::ENDPOINT], 4);
        assert_eq!(sizes[maps::CONNTRACK_V6], 7);
        assert!(
            sizes
                .keys()
                .all(|name| { maps::PROGRAM_MAPS.contains(name) || *name == maps::NUMBERS })
        );
    }

    #[test]
    fn an_event_buffer_is_a_power_of_two() {
        assert_eq!(power_of_two("8192"), Ok(8192));
        for wrong in ["0", "2048", "5000", "x"] {
            power_of_two(wrong).expect_err(wrong);
        }
    }
}
