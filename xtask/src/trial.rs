//! `trial` and `soak`: netpol on a real cluster of this machine.
//!
//! Builds the image, the cluster's parts and the program that runs trials, then becomes that program.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::build::{self, Programs};
use crate::kubernetes::ENV_BUILT;
use crate::workspace::Workspace;
use crate::{cluster, image, process, setup};

const EXAMPLES: &str = "\
Examples:
  cargo xtask trial                         all of them, in full: some 25 minutes
  cargo xtask trial --list                  what there is
  cargo xtask trial newborn --pods 500      one of them, with more
  cargo xtask trial --quick                 all of them, as CI runs them
  cargo xtask trial payments --without netpol
                                            see it fail where nobody enforces

Exit code 1 if anything was wrong or the cluster failed.";

const SOAK_EXAMPLES: &str = "\
Examples:
  cargo xtask soak                          ten minutes
  cargo xtask soak --minutes 60 --seed 7    an hour, and the changes of that seed

Exit code 1 if a single verdict was wrong.";

/// As much as CI has time for.
pub(crate) const QUICK: [&str; 8] = [
    "--pods",
    "40",
    "--away",
    "10",
    "--rounds",
    "6",
    "--probing",
    "20",
];

/// Run trials on a real cluster: the scenarios, and netpol in time (new pods, agents killed, nodes rebooted).
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// These only; all of them if none is named.
    names: Vec<String>,
    /// Say what there is.
    #[arg(long)]
    list: bool,
    /// Less of everything, as CI runs them.
    #[arg(long, conflicts_with_all = ["pods", "away", "rounds", "probing"])]
    quick: bool,
    /// Pods that are watched from their first instruction on [default: 200].
    #[arg(long)]
    pods: Option<usize>,
    /// Seconds without an API server [default: 60].
    #[arg(long)]
    away: Option<u64>,
    /// Rounds of an address handed from one pod to the next [default: 20].
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that the kubelet probes [default: 60].
    #[arg(long)]
    probing: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// Let pods, policies and labels of a real cluster change without rest, and check every answer against the offline judge.
#[derive(clap::Args)]
#[command(after_help = SOAK_EXAMPLES)]
pub(crate) struct SoakArgs {
    /// How many minutes.
    #[arg(long, default_value = "10")]
    minutes: f64,
    /// The changes to draw; others each time if absent.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Common {
    /// Write the figures there, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Leave something out, to see what fails then.
    #[arg(long, value_name = "WHAT")]
    without: Option<String>,
    /// The cargo profile of the programs.
    #[arg(long, default_value = "release")]
    profile: String,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let mut words = vec![if args.list { "list" } else { "run" }.to_owned()];
    words.extend(args.names.iter().cloned());
    if args.quick {
        words.extend(QUICK.map(str::to_owned));
    }
    let mut flag = |name: &str, value: Option<String>| {
        words.extend(value.map(|it| [name.to_owned(), it]).into_iter().flatten());
    };
    flag("--pods", args.pods.map(|it| it.to_string()));
    flag("--away", args.away.map(|it| it.to_string()));
    flag("--rounds", args.rounds.map(|it| it.to_string()));
    flag("--probing", args.probing.map(|it| it.to_string()));
    become_program(&args.common, &words, workspace)
}

pub(crate) fn run_soak(args: &SoakArgs, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let mut words = vec![
        "soak".to_owned(),
        "--minutes".to_owned(),
        args.minutes.to_string(),
    ];
    let seed = args.seed.map(|it| ["--seed".to_owned(), it.to_string()]);
    words.extend(seed.into_iter().flatten());
    become_program(&args.common, &words, workspace)
}

fn become_program(
    common: &Common,
    words: &[String],
    workspace: &Workspace,
) -> anyhow::Result<ExitCode> {
    if !process::is_root() {
        bail!(
            "a cluster is made of namespaces and mounts, which needs root: run `sudo -E env PATH=\"$PATH\" cargo xtask trial ...`"
        );
    }
    setup::ensure(workspace, setup::BUILD)?;
    let mut trial = program(workspace, &common.profile)?;
    trial.args(words);
    let flags = [("--json", &common.json), ("--without", &common.without)];
    for (name, value) in flags {
        trial.args(value.iter().flat_map(|it| [name, it.as_str()]));
    }
    Err(trial.exec()).context("start the program that runs trials")
}

/// The program that runs trials, told where everything is that it needs.
pub(crate) fn program(workspace: &Workspace, profile: &str) -> anyhow::Result<Command> {
    let kubernetes = cluster::prepare(workspace)?;
    let programs = Programs::build_as(workspace, profile)?;
    let mut trial = Command::new(build::test_program(workspace, profile, "trial")?);
    programs.tell(&mut trial);
    trial.env(build::ENV_IMAGE, image::of(workspace, &programs)?);
    trial.env(build::ENV_NEWBORN, newborn(workspace, profile)?);
    trial.env(ENV_BUILT, &kubernetes.bin);
    Ok(trial)
}

fn newborn(workspace: &Workspace, profile: &str) -> anyhow::Result<std::path::PathBuf> {
    let program = build::static_program(workspace, profile, "netpol-e2e", "newborn")?;
    let scratch = workspace.target.join("image/stripped");
    std::fs::create_dir_all(&scratch).with_context(|| format!("create {}", scratch.display()))?;
    image::stripped(&program, &scratch)
}
