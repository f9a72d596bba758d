//! `cluster`: a real Kubernetes cluster on this machine.
//!
//! Installs and builds what it is made of, then becomes the cluster program of netpol-e2e.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::build;
use crate::kubernetes::{ENV_BUILT, Kubernetes};
use crate::process;
use crate::setup::{self, Part};
use crate::workspace::Workspace;

const EXAMPLES: &str = "\
Examples:
  cargo xtask cluster up                      two nodes, pods on bridges
  cargo xtask cluster up --cni flannel-like   VXLAN between the nodes
  cargo xtask cluster up --light --name api   etcd and the API server alone
  cargo xtask cluster load target/image/netpol.tar
  cargo xtask cluster status
  cargo xtask cluster down                    also after a crash

The first `up` builds Kubernetes with Go, which takes some ten minutes; KUBEBUILDER_ASSETS names a directory whose
programs are used instead. Clusters are kept in /var/tmp/netpol-clusters (or NETPOL_CLUSTERS).
Exit code 1 if something failed or, for `status`, something is down.";

/// Bring up a real Kubernetes cluster on this machine: API server, controllers, nodes with kubelet and containerd.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Install and build what a cluster is made of, and start nothing.
    Build {
        /// Also the end-to-end suite of Kubernetes.
        #[arg(long)]
        suite: bool,
    },
    /// Bring one up and wait until its nodes are ready.
    Up(Up),
    /// Give an image to every node of one.
    Load {
        /// The image, as an archive; `cargo xtask image` makes one.
        archive: String,
        /// The cluster's name.
        #[arg(long, default_value = "netpol")]
        name: String,
    },
    /// Take one down and remove every trace of it.
    Down {
        /// Its name.
        #[arg(long, default_value = "netpol")]
        name: String,
        /// All there are.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Say what runs.
    Status {
        /// Its name; all of them if absent.
        #[arg(long)]
        name: Option<String>,
        /// As text or as JSON.
        #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
        output: String,
    },
}

/// The flags of a cluster.
#[derive(clap::Args)]
struct Up {
    /// Its name: several can be up at once.
    #[arg(long, default_value = "netpol")]
    name: String,
    /// How many nodes, 1 to 9.
    #[arg(long, default_value = "2")]
    nodes: u8,
    /// How pods and nodes are linked.
    #[arg(long, default_value = "bridge", value_parser = ["bridge", "ptp", "flannel-like"])]
    cni: String,
    /// What kube-proxy writes Services into.
    #[arg(long, default_value = "iptables", value_parser = ["iptables", "nftables"])]
    proxy_mode: String,
    /// etcd and the API server alone: no controllers, no nodes.
    #[arg(long)]
    light: bool,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    if !process::is_root() {
        bail!(
            "a cluster is made of namespaces and mounts, which needs root: run `sudo -E env PATH=\"$PATH\" cargo xtask cluster ...`"
        );
    }
    match &args.command {
        Verb::Build { suite } => {
            let kubernetes = prepare(workspace)?;
            if *suite {
                kubernetes.suite(workspace)?;
            }
            println!("cluster: everything is built");
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Up(_) => drop(prepare(workspace)?),
        Verb::Load { .. } | Verb::Down { .. } | Verb::Status { .. } => {}
    }
    let mut cluster = program(workspace)?;
    Err(cluster.args(args.command.words()).exec()).context("start the cluster program")
}

impl Verb {
    /// The same for the cluster program.
    fn words(&self) -> Vec<String> {
        let nodes;
        let mut words = match self {
            Self::Build { .. } => vec!["build"],
            Self::Up(up) => {
                nodes = up.nodes.to_string();
                let mut words = vec!["up", "--name", &up.name, "--nodes", &nodes];
                words.extend(["--cni", &up.cni, "--proxy-mode", &up.proxy_mode]);
                words
            }
            Self::Load { archive, name } => vec!["load", archive, "--name", name],
            Self::Down { all: true, .. } => vec!["down", "--all"],
            Self::Down { name, .. } => vec!["down", "--name", name],
            Self::Status { output, .. } => vec!["status", "--output", output],
        };
        match self {
            Self::Up(Up { light: true, .. }) => words.push("--light"),
            Self::Status {
                name: Some(name), ..
            } => words.extend(["--name", name]),
            _ => {}
        }
        words.into_iter().map(str::to_owned).collect()
    }
}

/// Installs and builds what a cluster is made of.
pub(crate) fn prepare(workspace: &Workspace) -> anyhow::Result<Kubernetes> {
    setup::ensure(workspace, &[Part::Network, Part::Cluster])?;
    let kubernetes = Kubernetes::read(workspace)?;
    kubernetes.build(workspace)?;
    Ok(kubernetes)
}

/// The cluster program, told where Kubernetes is.
fn program(workspace: &Workspace) -> anyhow::Result<Command> {
    let mut command = Command::new(build::test_program(workspace, "release", "cluster")?);
    command.env(ENV_BUILT, Kubernetes::read(workspace)?.bin);
    Ok(command)
}
