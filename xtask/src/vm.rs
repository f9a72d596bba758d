//! `vm`: another kernel, in QEMU, for as long as one script takes.
//!
//! ```text
//! Debian's packages -> kernel image + modules ---------------+
//! busybox, ip, tc, nft, bpftool, bash + libraries + init ----+-> initramfs -> QEMU -> lines, exit code
//! script + files (or the packet tests and the programs) -----+
//! ```
//!
//! What is downloaded and unpacked stays under the target directory and is used again. The machine is emulated (no
//! KVM), so it works wherever QEMU does, nested or not.

mod boot;
mod cpio;
mod files;
mod initramfs;
mod kernel;
mod modules;
mod payload;
mod qemu;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::process;
use crate::setup::{self, Part};
use crate::workspace::Workspace;
use boot::{Ending, Machine};
use payload::Payload;

pub(crate) use kernel::Kernel;

const EXAMPLES: &str = "\
Examples:
  cargo xtask vm --kernel 5.10
        the packet tests of netpol-e2e on Linux 5.10
  cargo xtask vm --kernel 7.3 --script probe.sh target/release/probe
        a script of yours as root; the files are in /t

Exit code: the script's (or of the last test program that failed); 124 if time ran out, 125 if the kernel ended
without one (a panic).";

/// Run the packet tests, or a script, under another kernel.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The kernel's series.
    #[arg(long)]
    kernel: Kernel,
    /// Run this instead of the tests. It starts with `#!/bin/bash` or `#!/bin/sh`.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Files and directories to put into /t; programs bring their libraries along.
    #[arg(requires = "script")]
    files: Vec<PathBuf>,
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
        None => Payload::tests(workspace)?,
    };
    let mut machine = prepare(workspace, args.kernel)?;
    machine.timeout = Duration::from_secs(args.timeout);
    machine.memory_mib = args.memory;
    let ending = machine.run(&payload, |line| println!("{line}"))?;
    eprintln!("vm: {ending}");
    Ok(ExitCode::from(ending.code()))
}

/// Runs the packet tests; each line they print goes to `each`.
pub(crate) fn run_tests(
    workspace: &Workspace,
    kernel: Kernel,
    each: impl FnMut(&str),
) -> anyhow::Result<()> {
    let payload = Payload::tests(workspace)?;
    let ending = prepare(workspace, kernel)?.run(&payload, each)?;
    match ending {
        Ending::Exited(0) => Ok(()),
        other => bail!("{other}"),
    }
}

/// Everything but the payload: fetched, unpacked, or found from an earlier call.
fn prepare(workspace: &Workspace, kernel: Kernel) -> anyhow::Result<Machine> {
    if !cfg!(target_arch = "x86_64") {
        bail!("the virtual machines are x86_64 only so far: run this task on such a machine");
    }
    setup::ensure(workspace, &[Part::Vm, Part::Network])?;
    let directory = workspace.target.join("vm");
    let _lock = files::lock(&directory).context("wait for another `cargo xtask vm` to prepare")?;
    let qemu = qemu::ensure(workspace, &directory)?;
    let kernel = kernel.ensure(workspace, &directory)?;
    Ok(Machine::new(&directory, qemu, kernel))
}

/// A program of the host that the virtual machine gets, too.
fn host_program(name: &str) -> anyhow::Result<PathBuf> {
    process::find_program(name).with_context(|| {
        format!("`{name}` is not in the search path: run `cargo xtask setup --vm`")
    })
}
