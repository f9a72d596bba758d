//! `setup`: installs what a fresh machine lacks, saying what and why.
//!
//! A task asks for the parts it needs, so that nobody has to run this first. Everything is probed by looking at
//! files, so it takes well under a second where nothing is missing.

mod packages;
mod rust;

use std::process::ExitCode;

use crate::workspace::Workspace;
use packages::Need;

const EXAMPLES: &str = "\
Examples:
  cargo xtask setup          what building, testing and the demo need
  cargo xtask setup --vm     also what booting other kernels needs (QEMU, busybox)
  cargo xtask setup --cluster  also what a cluster needs (etcd, containerd)";

/// Install what is missing on this machine (Debian 12 or 13; elsewhere it says what to install by hand).
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Also install what `cargo xtask vm` needs.
    #[arg(long)]
    vm: bool,
    /// Also install what `cargo xtask cluster` needs, but for Kubernetes itself.
    #[arg(long)]
    cluster: bool,
}

/// A part of the machine's equipment.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// The toolchain's components.
    Components,
    /// What links the BPF programs.
    BpfLinker,
    /// Checks licenses and sources of dependencies.
    CargoDeny,
    /// Namespaces, links and rules for packets that are real.
    Network,
    /// What else enforces policy, to be measured against.
    Rivals,
    /// Virtual machines.
    Vm,
    /// What a cluster is made of beside Kubernetes itself.
    Cluster,
    /// libFuzzer.
    Fuzz,
}

/// What building anything that holds the BPF programs needs.
pub(crate) const BUILD: &[Part] = &[Part::Components, Part::BpfLinker];

const NETWORK: &[Need] = &[
    Need::program("ip", "iproute2", "lays out namespaces and links"),
    Need::program("tc", "iproute2", "shows and attaches TC programs"),
    Need::program("bpftool", "bpftool", "shows loaded programs and maps"),
    Need::program(
        "nft",
        "nftables",
        "masquerades in the tests of node traffic",
    ),
    Need::program("ping", "iputils-ping", "is refused, in words of its own"),
    Need::program("curl", "curl", "is refused, in words of its own"),
];

const RIVALS: &[Need] = &[
    Need::program(
        "iptables-restore",
        "iptables",
        "takes the rules that netpol is measured against",
    ),
    Need::program("ipset", "ipset", "holds the addresses of these rules"),
];

const VM: &[Need] = &[
    Need::program(
        "qemu-system-x86_64",
        "qemu-system-x86",
        "runs other kernels",
    ),
    Need::file(
        "/bin/busybox",
        "busybox-static",
        "is the user space beside the tests",
    ),
    Need::program("modprobe", "kmod", "knows what a kernel module needs"),
    Need::program("xz", "xz-utils", "unpacks kernel modules"),
];

const FUZZ: &[Need] = &[Need::program("c++", "g++", "compiles libFuzzer")];

const CLUSTER: &[Need] = &[
    Need::program("etcd", "etcd-server", "keeps what the API server knows"),
    Need::program("containerd", "containerd", "runs pods"),
    Need::program("ctr", "containerd", "loads images"),
    Need::program("runc", "runc", "starts containers"),
    Need::program(
        "iptables",
        "iptables",
        "is what kube-proxy writes Services with",
    ),
    Need::program("ipset", "ipset", "is what kube-proxy writes addresses with"),
    Need::program(
        "conntrack",
        "conntrack",
        "lets kube-proxy forget connections",
    ),
    Need::file(
        "/bin/busybox",
        "busybox-static",
        "is the shell of test images",
    ),
];

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let mut parts = vec![
        Part::Components,
        Part::BpfLinker,
        Part::CargoDeny,
        Part::Network,
    ];
    if args.vm {
        parts.push(Part::Vm);
    }
    if args.cluster {
        parts.push(Part::Cluster);
    }
    ensure(workspace, &parts)?;
    println!("setup: everything is there");
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing of these parts.
pub(crate) fn ensure(workspace: &Workspace, parts: &[Part]) -> anyhow::Result<()> {
    for part in parts {
        match part {
            Part::Components => rust::ensure_components(workspace)?,
            Part::BpfLinker => rust::ensure_bpf_linker(workspace)?,
            Part::CargoDeny => rust::ensure_cargo_deny(workspace)?,
            Part::Network => packages::ensure(workspace, NETWORK)?,
            Part::Rivals => packages::ensure(workspace, RIVALS)?,
            Part::Vm => packages::ensure(workspace, VM)?,
            Part::Cluster => packages::ensure(workspace, CLUSTER)?,
            Part::Fuzz => packages::ensure(workspace, FUZZ)?,
        }
    }
    Ok(())
}
