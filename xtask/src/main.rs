//! Every developer task of netpol: `cargo xtask TASK`.
//!
//! A task installs what it needs first (`setup`), says what it does while it works, and ends with an exit code.
//! One file holds one task.

mod apt_root;
mod arrows;
mod bench;
mod build;
mod cluster;
mod demo;
mod deploy;
mod e2e;
mod fuzz;
mod image;
mod kubernetes;
mod lint;
mod process;
mod progress;
mod setup;
mod test;
mod trial;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                  five scenarios with real packets, on this machine
  cargo xtask cluster up            a real Kubernetes cluster, on this machine
  cargo xtask test                  everything that CI runs
  cargo xtask vm --kernel 5.10      the tests on the oldest supported kernel
  cargo xtask bench check           instructions and look-ups a packet, against those checked in
  cargo xtask image                 the container image, as an archive
  cargo xtask lint arrows           which crate uses which";

/// Developer tasks of netpol.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Setup(setup::Args),
    Demo(demo::Args),
    Cluster(cluster::Args),
    E2e(e2e::Args),
    #[command(visible_alias = "ci")]
    Test(test::Args),
    Lint(lint::Args),
    Arrows(arrows::Args),
    Vm(vm::Args),
    Fuzz(fuzz::Args),
    Bench(bench::Args),
    Trial(trial::Args),
    Soak(trial::SoakArgs),
    Image(image::Args),
    Deploy(deploy::Args),
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match &cli.task {
        Task::Setup(args) => setup::run(args, &workspace),
        Task::Demo(args) => demo::run(args, &workspace),
        Task::Cluster(args) => cluster::run(args, &workspace),
        Task::E2e(args) => e2e::run(args, &workspace),
        Task::Test(args) => test::run(args, &workspace),
        Task::Lint(args) => lint::run(args, &workspace),
        Task::Arrows(_) => arrows::run(&workspace),
        Task::Vm(args) => vm::run(args, &workspace),
        Task::Fuzz(args) => fuzz::run(args, &workspace),
        Task::Bench(args) => bench::run(args, &workspace),
        Task::Trial(args) => trial::run(args, &workspace),
        Task::Soak(args) => trial::run_soak(args, &workspace),
        Task::Image(args) => image::run(args, &workspace),
        Task::Deploy(args) => deploy::run(args, &workspace),
    }
}
