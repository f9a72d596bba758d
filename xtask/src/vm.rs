//! `vm`: another kernel, in QEMU, for as long as one script takes.
//!
//! ```text
//! Debian's packages -> kernel image + modules ---------------+
//! busybox, ip, tc, nft, bpftool, bash + libraries + init ----+-> initramfs -> QEMU -> lines, exit code
//! script + files (or tests and the programs they run) -------+
//! ```
//!
//! What is downloaded and unpacked stays under the target directory and is used again. The machine is emulated (no
//! KVM), so it works wherever QEMU does, nested or not. Several kernels run two at a time.

mod abreast;
mod boot;
mod cpio;
mod files;
mod initramfs;
mod kernel;
mod modules;
mod payload;
mod qemu;
mod suite;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::process;
use crate::workspace::Workspace;
use boot::{Ending, Machine};
use payload::Payload;

pub(crate) use kernel::Kernel;

const EXAMPLES: &str = "\
Examples:
  cargo xtask vm --kernel 5.10
        the tests that run on other kernels, on Linux 5.10
  cargo xtask vm --kernel 6.1,7.3 -- restart
        one test program on two kernels
  cargo xtask vm --kernel 6.12 -- restart taken_over
        those of its tests whose names contain `taken_over`; without a program's name, those of every program
  cargo xtask vm --kernel 5.10,6.1,6.12,7.3 -- load
        the sizes of the programs on each kernel, as rows of docs/kernels.md
  cargo xtask vm --kernel 7.3 --script probe.sh target/release/probe
        a script of yours as root; the files are in /t

Exit code: the script's (or of the last test program that failed); 124 if time ran out, 125 if the kernel ended
without one (a panic). Of several kernels, that of the last one that failed.";

/// Run tests, or a script, under other kernels.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The kernel's series; several, with commas between them, run two at a time.
    #[arg(long, required = true, value_delimiter = ',')]
    kernel: Vec<Kernel>,
    /// Run this instead of the tests. It starts with `#!/bin/bash` or `#!/bin/sh`.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Files and directories to put into /t; programs bring their libraries along.
    #[arg(requires = "script")]
    files: Vec<PathBuf>,
    /// Test programs of netpol-e2e by name, and what the test harness is told beside that.
    #[arg(last = true, value_name = "TEST", conflicts_with = "script")]
    tests: Vec<String>,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// The machine's memory in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let payload = match &args.script {
        Some(script) => Payload::script(script, &args.files)?,
        None => suite::payload(workspace, &args.tests)?,
    };
    let prepare = |kernel| {
        let mut machine = prepare(workspace, kernel)?;
        machine.timeout = Duration::from_secs(args.timeout);
        machine.memory_mib = args.memory;
        Ok(machine)
    };
    let alone = args.kernel.len() == 1;
    let mut code = ExitCode::SUCCESS;
    let endings = abreast::run(
        workspace,
        &payload,
        &args.kernel,
        prepare,
        |kernel, line| match alone {
            true => println!("{line}"),
            false => println!("{kernel}: {line}"),
        },
    )?;
    for (kernel, ending) in endings {
        match ending {
            Ok(Ending::Exited(0)) => eprintln!("vm: {kernel}: exit code 0"),
            Ok(ending) => {
                eprintln!("vm: {kernel}: {ending}");
                code = ExitCode::from(ending.code());
            }
            Err(error) => {
                eprintln!("vm: {kernel}: {error:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Runs the tests on every kernel; each line they print goes to `each`. An error names the kernels that failed, one
/// that could not be fetched among them.
pub(crate) fn run_tests(
    workspace: &Workspace,
    each: impl FnMut(Kernel, &str) + Send,
) -> anyhow::Result<()> {
    let payload = suite::payload(workspace, &[])?;
    let prepare = |kernel| prepare(workspace, kernel);
    let kernels = Kernel::value_variants();
    let endings = abreast::run(workspace, &payload, kernels, prepare, each)?;
    let failures: Vec<String> = endings
        .into_iter()
        .filter_map(|(kernel, ending)| match ending {
            Ok(Ending::Exited(0)) => None,
            Ok(ending) => Some(format!("Linux {kernel}: {ending}")),
            Err(error) => Some(format!("Linux {kernel}: {error:#}")),
        })
        .collect();
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("\n"))
}

/// Everything but the payload: fetched, unpacked, or found from an earlier call.
fn prepare(workspace: &Workspace, kernel: Kernel) -> anyhow::Result<Machine> {
    let directory = workspace.target.join("vm");
    let _lock = files::lock(&directory).context("wait for another `cargo xtask vm` to prepare")?;
    let qemu = qemu::ensure(workspace, &directory)?;
    let unpacked = kernel.ensure(workspace, &directory)?;
    Ok(Machine::new(&directory, qemu, unpacked))
}

/// A program of the host that the virtual machine gets, too.
fn host_program(name: &str) -> anyhow::Result<PathBuf> {
    process::find_program(name).with_context(|| {
        format!("`{name}` is not in the search path: run `cargo xtask setup --vm`")
    })
}
