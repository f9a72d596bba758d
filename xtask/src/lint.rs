//! `lint`: everything that is judged without running it.

mod length;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::bail;
use clap::ValueEnum;

use crate::arrows;
use crate::build::BPF_TARGET;
use crate::deploy;
use crate::process;
use crate::setup::{self, Part};
use crate::workspace::Workspace;

const EXAMPLES: &str = "\
Examples:
  cargo xtask lint                  all checks
  cargo xtask lint fmt arrows       two of them";

/// Check formatting, lints, docs, licenses, file lengths and crate arrows.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The checks to run; all if absent.
    checks: Vec<Check>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Check {
    /// rustfmt, without changing a file.
    Fmt,
    /// Which crate uses which.
    Arrows,
    /// No source file over 800 lines.
    Length,
    /// The manifests of deploy/ are what its chart renders to.
    Deploy,
    /// Licenses, sources and doubles of dependencies.
    Deny,
    /// clippy on everything that runs on the host.
    Clippy,
    /// clippy on the BPF programs, for the BPF target.
    ClippyBpf,
    /// The documentation builds, and its links lead somewhere.
    Doc,
    /// The same for the BPF programs.
    DocBpf,
}

/// All that builds for the host: the default members and the end-to-end tests.
const HOST: [&str; 3] = ["--workspace", "--exclude", "netpol-ebpf"];

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    if args.checks.is_empty() {
        all(workspace)?;
    } else {
        run_checks(&args.checks, workspace)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All checks; an error names those that found something.
pub(crate) fn all(workspace: &Workspace) -> anyhow::Result<()> {
    run_checks(Check::value_variants(), workspace)
}

fn run_checks(checks: &[Check], workspace: &Workspace) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for check in checks {
        let name = check.name();
        eprintln!("lint: {name}");
        let outcome = setup::ensure(workspace, check.needs()).and_then(|()| check.run(workspace));
        if let Err(error) = outcome {
            eprintln!("lint: {name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!(
            "see above what they say: {} (one alone: `cargo xtask lint {}`)",
            failed.join(", "),
            failed[0]
        );
    }
    Ok(())
}

impl Check {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn needs(self) -> &'static [Part] {
        match self {
            Self::Arrows | Self::Length | Self::Deploy => &[],
            Self::Fmt | Self::ClippyBpf | Self::DocBpf => &[Part::Components],
            Self::Deny => &[Part::CargoDeny],
            // The agent's build script builds the BPF programs.
            Self::Clippy | Self::Doc => setup::BUILD,
        }
    }

    fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        let mut cargo = process::cargo(workspace);
        match self {
            Self::Arrows => return arrows::check(workspace),
            Self::Length => return length::check(workspace),
            Self::Deploy => return deploy::check(workspace),
            Self::Fmt => cargo.args(["fmt", "--all", "--check"]),
            Self::Deny => cargo.args([
                "deny",
                "check",
                "--hide-inclusion-graph",
                "bans",
                "licenses",
                "sources",
            ]),
            Self::Clippy => {
                cargo
                    .arg("clippy")
                    .args(HOST)
                    .args(["--all-targets", "--", "-D", "warnings"])
            }
            Self::ClippyBpf => {
                for_bpf(cargo.arg("clippy"), &workspace.target).args(["--", "-D", "warnings"])
            }
            Self::Doc => cargo
                .arg("doc")
                .args(HOST)
                .arg("--no-deps")
                .env("RUSTDOCFLAGS", "-D warnings"),
            Self::DocBpf => for_bpf(cargo.arg("doc"), &workspace.target)
                .arg("--no-deps")
                .env("RUSTDOCFLAGS", "-D warnings"),
        };
        process::run(&mut cargo)
    }
}

/// Feature unification of the host's crates must not reach the programs, so they are checked alone, in a target
/// directory of their own (core is compiled there, too).
fn for_bpf<'a>(cargo: &'a mut Command, target: &Path) -> &'a mut Command {
    cargo
        .args(["-p", "netpol-ebpf", "--target", BPF_TARGET])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(target.join("bpf-lint"))
        // `-Z` on the stable compiler: the same one that builds the programs.
        .env("RUSTC_BOOTSTRAP", "1")
}
