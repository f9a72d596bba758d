//! The steps of a test run.

use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::bail;

use super::tally::Tally;
use crate::bench;
use crate::build::{self, Programs};
use crate::cluster;
use crate::e2e;
use crate::fuzz::datapath::{Fuzzers, Target};
use crate::image;
use crate::kubernetes::ENV_BUILT;
use crate::lint;
use crate::process;
use crate::setup::{self, Part};
use crate::trial;
use crate::vm::{self, Kernel};
use crate::workspace::Workspace;

/// One step. Tests it runs are counted by the tally it is given.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Whether the later steps make no sense once this one has failed.
    pub(super) stops: bool,
    /// Whether it runs only when it is asked for by name.
    pub(super) on_demand: bool,
    pub(super) run: fn(&Workspace, &mut Tally) -> anyhow::Result<()>,
}

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "setup",
        what: "what this machine lacks",
        stops: true,
        on_demand: false,
        run: set_up,
    },
    Step {
        name: "build",
        what: "the programs and all tests, for release, and Kubernetes",
        stops: true,
        on_demand: false,
        run: build_all,
    },
    Step {
        name: "lint",
        what: "format, lints, docs, licenses, file lengths, crate arrows",
        stops: false,
        on_demand: false,
        run: |workspace, _| lint::all(workspace),
    },
    Step {
        name: "unit",
        what: "unit, property and documentation tests",
        stops: false,
        on_demand: false,
        run: unit,
    },
    Step {
        name: "costs",
        what: "instructions and look-ups a packet, against those that are checked in",
        stops: false,
        on_demand: false,
        run: costs,
    },
    Step {
        name: "fuzz",
        what: "a minute each of packets and of sequences of them, against a model of the packet path",
        stops: false,
        on_demand: false,
        run: fuzz,
    },
    Step {
        name: "e2e",
        what: "real programs and packets on this machine's kernel",
        stops: false,
        on_demand: false,
        run: end_to_end,
    },
    Step {
        name: "cluster",
        what: "netpol on real Kubernetes clusters on this machine, one after the other",
        stops: false,
        on_demand: false,
        run: clusters,
    },
    Step {
        name: "upstream",
        what: "a dozen of Kubernetes' own tests of NetworkPolicy, on a cluster with netpol",
        stops: false,
        on_demand: false,
        run: upstream,
    },
    Step {
        name: "soak",
        what: "a minute of churn on a real cluster, every answer checked",
        stops: false,
        on_demand: false,
        run: soak,
    },
    Step {
        name: "bed",
        what: "the clusters themselves: each kind of network, reboots, crashes, nothing left behind",
        stops: false,
        on_demand: true,
        run: bed,
    },
    Step {
        name: "trial",
        what: "netpol on a real cluster: scenarios, new pods, agents killed, a node rebooted",
        stops: false,
        on_demand: true,
        run: trials,
    },
    Step {
        name: "vm",
        what: "packets, agents and programs on Linux 5.10, 6.1, 6.12 and 7.3, in virtual machines",
        stops: false,
        on_demand: false,
        run: other_kernels,
    },
];

/// Each end-to-end test has namespaces and an agent of its own; more at once only disturb each other's clocks.
const MOST_E2E_THREADS: usize = 4;

/// For how long each search looks for what nobody thought of.
const FUZZ_TIME: Duration = Duration::from_secs(60);

fn set_up(workspace: &Workspace, _: &mut Tally) -> anyhow::Result<()> {
    setup::ensure(workspace, setup::BUILD)?;
    let parts = [
        Part::CargoDeny,
        Part::Network,
        Part::Vm,
        Part::Cluster,
        Part::Fuzz,
    ];
    setup::ensure(workspace, &parts)
}

/// Cargo and Go build side by side: each has stretches that keep a single processor busy.
fn build_all(workspace: &Workspace, _: &mut Tally) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let kubernetes = scope.spawn(|| cluster::prepare(workspace)?.suite(workspace));
        let ours = build_ours(workspace);
        // The steps that need Kubernetes build it again, and fail for themselves.
        if let Ok(Err(error)) = kubernetes.join() {
            eprintln!("Kubernetes cannot be built: {error:#}");
        }
        ours
    })
}

fn build_ours(workspace: &Workspace) -> anyhow::Result<()> {
    Programs::build(workspace)?;
    let mut tests = process::cargo(workspace);
    tests.args(["test", "--release", "--no-run"]);
    process::run(tests.args(build::EVERYTHING))
}

fn unit(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<()> {
    let mut test = tests(workspace);
    test.args(["--lib", "--bins"]);
    for target in build::test_targets(workspace, |package| package != build::LAB) {
        test.args(["--test", target]);
    }
    let ran = count(&mut test, tally);
    let documented = count(tests(workspace).arg("--doc"), tally);
    ran.and(documented)
}

/// All of its scenarios count as one test.
fn costs(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<()> {
    let outcome = process::run(&mut bench::check_program(workspace)?);
    match outcome {
        Ok(()) => tally.passed += 1,
        Err(_) => tally.failed += 1,
    }
    outcome
}

/// Each search counts as one test.
fn fuzz(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<()> {
    let fuzzers = Fuzzers::build(workspace)?;
    let mut outcome = Ok(());
    for target in Target::ALL {
        match fuzzers.run(target, FUZZ_TIME) {
            Ok(()) => tally.passed += 1,
            Err(error) => {
                tally.failed += 1;
                outcome = Err(error);
            }
        }
    }
    outcome
}

fn end_to_end(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<()> {
    need_root("e2e")?;
    // The CNI plugins are built from Kubernetes' module.
    let kubernetes = cluster::prepare(workspace)?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(MOST_E2E_THREADS);
    let mut test = integration(workspace, threads, |target| !needs_cluster(target))?;
    test.env(ENV_BUILT, &kubernetes.bin);
    count(&mut test, tally)
}

fn clusters(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<()> {
    need_root("cluster")?;
    one_by_one(workspace, tally, |target| {
        needs_cluster(target) && target != BED
    })
}

fn bed(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<()> {
    need_root("bed")?;
    one_by_one(workspace, tally, |target| target == BED)
}

fn one_by_one(
    workspace: &Workspace,
    tally: &mut Tally,
    is_wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let kubernetes = cluster::prepare(workspace)?;
    let mut test = integration(workspace, 1, is_wanted)?;
    test.env(ENV_BUILT, &kubernetes.bin);
    count(&mut test, tally)
}

/// Its tests are no tests of ours: they count as one.
fn upstream(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<()> {
    let mut runner = e2e::upstream(workspace)?;
    let outcome = process::run(runner.arg("--few"));
    match outcome {
        Ok(()) => tally.passed += 1,
        Err(_) => tally.failed += 1,
    }
    outcome
}

fn trials(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<()> {
    need_root("trial")?;
    let mut trial = trial::program(workspace, "release")?;
    count(trial.arg("run").args(trial::QUICK), tally)
}

fn soak(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<()> {
    need_root("soak")?;
    let mut soak = trial::program(workspace, "release")?;
    count(soak.args(["soak", "--minutes", "1"]), tally)
}

/// The test of what all others of its kind stand on.
const BED: &str = "cluster";

/// Whether a test of netpol-e2e brings a cluster up: by its name.
fn needs_cluster(target: &str) -> bool {
    target.starts_with("cluster")
}

fn need_root(step: &str) -> anyhow::Result<()> {
    if !process::is_root() {
        bail!(
            "this step makes namespaces and mounts and loads BPF programs, which needs root: run `sudo -E env PATH=\"$PATH\" cargo xtask test --only {step}`"
        );
    }
    Ok(())
}

fn tests(workspace: &Workspace) -> Command {
    let mut test = process::cargo(workspace);
    test.args(["test", "--release", "--no-fail-fast"]);
    test.args(build::EVERYTHING);
    test
}

/// `cargo test` of some of netpol-e2e's integration tests.
fn integration(
    workspace: &Workspace,
    threads: usize,
    is_wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<Command> {
    let mut test = tests(workspace);
    for target in build::lab_tests(workspace).filter(|target| is_wanted(target)) {
        test.args(["--test", target]);
    }
    // The output of tests that pass tells which of them skipped.
    test.args(["--", &format!("--test-threads={threads}"), "--show-output"]);
    let programs = Programs::build(workspace)?;
    programs.tell(&mut test);
    test.env(build::ENV_IMAGE, image::of(workspace, &programs)?);
    test.env(build::ENV_LOG_OBJECT, build::log_object(workspace)?);
    Ok(test)
}

/// Each kernel's lines are counted apart: they come in turns.
fn other_kernels(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<()> {
    let mut tallies: Vec<(Kernel, Tally)> = Vec::new();
    let outcome = vm::run_tests(workspace, |kernel, line| {
        println!("{kernel}: {line}");
        match tallies.iter_mut().find(|(of, _)| *of == kernel) {
            Some((_, tally)) => tally.read(line),
            None => {
                let mut tally = Tally::default();
                tally.read(line);
                tallies.push((kernel, tally));
            }
        }
    });
    for (_, counted) in tallies {
        *tally += counted;
    }
    outcome
}

/// Runs tests, passing their output on and counting them.
fn count(test: &mut Command, tally: &mut Tally) -> anyhow::Result<()> {
    process::all_lines(test, |line| {
        println!("{line}");
        tally.read(line);
    })
}
