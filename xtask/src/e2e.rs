//! `e2e`: suites that others wrote, on a real cluster with netpol.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::build::{self, Programs};
use crate::kubernetes::ENV_BUILT;
use crate::process;
use crate::setup;
use crate::workspace::Workspace;
use crate::{cluster, image};

const EXAMPLES: &str = "\
Examples:
  cargo xtask e2e upstream                     every NetworkPolicy test of Kubernetes but SCTP connections
  cargo xtask e2e upstream --few               a fixed dozen, as CI runs them
  cargo xtask e2e upstream --cni ptp --record  and write docs/conformance.md
  cargo xtask e2e upstream --focus 'named port'
  cargo xtask e2e upstream --few --without-netpol   see them fail

Exit code 1 if a single test does not pass.";

/// Run the end-to-end tests of Kubernetes itself against netpol.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    suite: SuiteOf,
}

#[derive(clap::Subcommand)]
enum SuiteOf {
    /// Kubernetes' own tests of NetworkPolicy.
    Upstream(Upstream),
}

/// What to run, and on what.
#[derive(clap::Args)]
struct Upstream {
    /// How pods and nodes are linked.
    #[arg(long, default_value = "bridge", value_parser = ["bridge", "ptp", "flannel-like"])]
    cni: String,
    /// What kube-proxy writes Services into.
    #[arg(long, default_value = "iptables", value_parser = ["iptables", "nftables"])]
    proxy_mode: String,
    /// Only tests whose name matches this regular expression.
    #[arg(long, default_value = "Netpol")]
    focus: String,
    /// Only a fixed dozen.
    #[arg(long)]
    few: bool,
    /// How many tests run side by side.
    #[arg(long, default_value = "3")]
    jobs: usize,
    /// Install nothing, to see tests fail.
    #[arg(long)]
    without_netpol: bool,
    /// Keep the result in docs/ and write docs/conformance.md anew.
    #[arg(long)]
    record: bool,
    /// As text or as JSON.
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let SuiteOf::Upstream(args) = &args.suite;
    let mut command = upstream(workspace)?;
    command.args(["--cni", &args.cni, "--proxy-mode", &args.proxy_mode]);
    command.args(["--focus", &args.focus, "--jobs", &args.jobs.to_string()]);
    command.args(["--output", &args.output]);
    let switches = [
        ("--few", args.few),
        ("--without-netpol", args.without_netpol),
        ("--record", args.record),
    ];
    command.args(switches.iter().filter(|(_, on)| *on).map(|(name, _)| name));
    Err(command.exec()).context("start the runner of the suite")
}

/// The runner of the upstream suite, with everything built that it needs.
pub(crate) fn upstream(workspace: &Workspace) -> anyhow::Result<Command> {
    if !process::is_root() {
        bail!(
            "a cluster is made of namespaces and mounts, which needs root: run `sudo -E env PATH=\"$PATH\" cargo xtask e2e upstream`"
        );
    }
    setup::ensure(workspace, setup::BUILD)?;
    let kubernetes = cluster::prepare(workspace)?;
    let suite = kubernetes.suite(workspace)?;
    let programs = Programs::build(workspace)?;
    let mut command = Command::new(build::test_program(workspace, "release", "upstream")?);
    command
        .arg("--suite")
        .arg(suite)
        .arg("--reports")
        .arg(workspace.target.join("upstream"))
        .env(build::ENV_IMAGE, image::of(workspace, &programs)?)
        .env(ENV_BUILT, &kubernetes.bin);
    Ok(command)
}
