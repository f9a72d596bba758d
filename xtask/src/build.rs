//! Building what tests and the demo run, and where cargo put it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use cargo_metadata::{Artifact, Message};

use crate::process;
use crate::workspace::Workspace;

/// The programs users run, and the directory of the scenarios' manifests.
///
/// Whatever runs them is told where they are by the environment.
pub(crate) struct Programs {
    pub(crate) agent: PathBuf,
    pub(crate) ctl: PathBuf,
    pub(crate) cni: PathBuf,
    pub(crate) examples: PathBuf,
}

/// The names under which tests and the demo find a [`Programs`].
pub(crate) const ENV_AGENT: &str = "NETPOL_AGENT";
pub(crate) const ENV_CTL: &str = "NETPOLCTL";
pub(crate) const ENV_CNI: &str = "NETPOL_CNI";
pub(crate) const ENV_EXAMPLES: &str = "NETPOL_EXAMPLES";
/// The name under which tests find the archive of the image.
pub(crate) const ENV_IMAGE: &str = "NETPOL_IMAGE";
/// The name under which tests find the BPF object with debug lines.
pub(crate) const ENV_LOG_OBJECT: &str = "NETPOL_LOG_OBJECT";
/// The name under which `bench path` finds what the programs are measured against.
pub(crate) const ENV_BENCH_OBJECT: &str = "NETPOL_BENCH_OBJECT";
/// The name under which trials find the program of pods that are watched from their first instruction on.
pub(crate) const ENV_NEWBORN: &str = "NETPOL_NEWBORN";

impl Programs {
    /// Builds them for release, as they are shipped: each in one file that needs no library.
    pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<Self> {
        Self::build_as(workspace, "release")
    }

    /// Builds them by one of cargo's profiles.
    pub(crate) fn build_as(workspace: &Workspace, profile: &str) -> anyhow::Result<Self> {
        Ok(Self {
            agent: static_program(workspace, profile, "netpol-agent", "netpol-agent")?,
            ctl: static_program(workspace, profile, "netpolctl", "netpolctl")?,
            cni: static_program(workspace, profile, "netpol-cni", "netpol-cni")?,
            examples: workspace.examples(),
        })
    }

    /// Tells a command where they are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env(ENV_AGENT, &self.agent);
        command.env(ENV_CTL, &self.ctl);
        command.env(ENV_CNI, &self.cni);
        command.env(ENV_EXAMPLES, &self.examples);
    }
}

/// The version of what is built.
pub(crate) fn version(workspace: &Workspace) -> anyhow::Result<String> {
    let packages = &workspace.metadata.packages;
    let agent = packages
        .iter()
        .find(|package| package.name.as_str() == "netpol-agent");
    Ok(agent
        .context("find netpol-agent in the workspace")?
        .version
        .to_string())
}

/// Links a program with a static C library. Only the program itself is compiled for that, so it
/// shares every dependency with the tests; cargo would compile all of them again for flags that
/// hold for the whole build.
pub(crate) fn static_program(
    workspace: &Workspace,
    profile: &str,
    package: &str,
    name: &str,
) -> anyhow::Result<PathBuf> {
    let arguments = ["rustc", "--profile", profile, "-p", package, "--bin", name];
    let flags = ["--", "-C", "target-feature=+crt-static"];
    let built = run_cargo(workspace, &arguments, &flags)?;
    path_of(&built, name).map(Path::to_owned)
}

/// Everything that is built for this machine. Where cargo is given the same packages it gives dependencies the same
/// features, and builds each of them once.
pub(crate) const EVERYTHING: [&str; 3] = ["--workspace", "--exclude", "netpol-ebpf"];

/// A program of netpol-e2e or netpol-bench.
pub(crate) fn test_program(
    workspace: &Workspace,
    profile: &str,
    name: &str,
) -> anyhow::Result<PathBuf> {
    let arguments = [
        &["build", "--profile", profile, "--bin", name][..],
        &EVERYTHING,
    ]
    .concat();
    let built = executables(workspace, &arguments)?;
    path_of(&built, name).map(Path::to_owned)
}

/// The BPF programs' target, on machines of either kind that we build for (both are little-endian).
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";

/// The BPF programs with a debug line for every verdict, as a debug build of the agent carries them. A test loads them
/// where nothing else of a debug build is made.
pub(crate) fn log_object(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    object(workspace, "log", "netpol-ebpf").context("build the BPF programs with debug lines")
}

/// The BPF programs that the others are measured against.
pub(crate) fn bench_object(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    object(workspace, "bench", "netpol-ebpf-bench").context("build the BPF programs of `bench`")
}

/// An object of netpol-ebpf that the agent does not carry.
fn object(workspace: &Workspace, feature: &str, name: &str) -> anyhow::Result<PathBuf> {
    let directory = workspace.target.join(format!("bpf-{feature}"));
    let mut cargo = process::cargo(workspace);
    cargo
        .args(["build", "--quiet", "--release", "-p", "netpol-ebpf"])
        .args(["--bin", name, "--features", feature])
        .args(["--target", BPF_TARGET, "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(&directory)
        // `-Z` on the stable compiler, and the flags that the agent's build script gives.
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            "--cfg=bpf_target_arch=\"x86_64\"\u{1f}-Cdebuginfo=2\u{1f}-Clink-arg=--btf",
        );
    process::run(&mut cargo)?;
    Ok(directory.join(BPF_TARGET).join("release").join(name))
}

/// The package of the tests that need root and a real kernel.
pub(crate) const LAB: &str = "netpol-e2e";

/// The integration tests of netpol-e2e, by name.
pub(crate) fn lab_tests(workspace: &Workspace) -> impl Iterator<Item = &str> {
    test_targets(workspace, |package| package == LAB)
}

/// The integration tests of some packages. No two packages have one of the same name.
pub(crate) fn test_targets(
    workspace: &Workspace,
    of: impl Fn(&str) -> bool,
) -> impl Iterator<Item = &str> {
    let packages = workspace.metadata.workspace_packages().into_iter();
    let packages = packages.filter(move |package| of(&package.name));
    let targets = packages.flat_map(|package| &package.targets);
    targets
        .filter(|target| target.is_test())
        .map(|target| target.name.as_str())
}

/// An executable that cargo made: a program or a test.
pub(crate) struct Executable {
    name: String,
    path: PathBuf,
}

/// Runs cargo and returns the executables it made or found fresh.
pub(crate) fn executables(
    workspace: &Workspace,
    arguments: &[&str],
) -> anyhow::Result<Vec<Executable>> {
    run_cargo(workspace, arguments, &[])
}

fn run_cargo(
    workspace: &Workspace,
    arguments: &[&str],
    last: &[&str],
) -> anyhow::Result<Vec<Executable>> {
    let mut cargo = process::cargo(workspace);
    cargo
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .args(last);
    let mut found = Vec::new();
    process::lines(&mut cargo, |line| {
        if let Some(Ok(Message::CompilerArtifact(artifact))) =
            Message::parse_stream(line.as_bytes()).next()
        {
            found.extend(executable(artifact));
        }
    })?;
    Ok(found)
}

fn executable(artifact: Artifact) -> Option<Executable> {
    Some(Executable {
        path: artifact.executable?.into_std_path_buf(),
        name: artifact.target.name,
    })
}

/// The executable's path. An error says which target is missing.
pub(crate) fn path_of<'a>(built: &'a [Executable], name: &str) -> anyhow::Result<&'a Path> {
    built
        .iter()
        .find(|executable| executable.name == name)
        .map(|executable| executable.path.as_path())
        .with_context(|| {
            format!("cargo built no executable named `{name}`: a program or an integration test of that name has to exist")
        })
}
