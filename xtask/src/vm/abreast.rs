//! Several kernels with one payload, two at a time: each has one emulated processor.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, bail};

use super::boot::{Ending, Machine};
use super::files::RunDirectory;
use super::initramfs;
use super::kernel::Kernel;
use super::payload::Payload;
use crate::setup::{self, Part};
use crate::workspace::Workspace;

/// How many run at once.
const ABREAST: usize = 2;

/// How it went with one kernel: not at all where it could not be fetched or booted.
pub(super) type Outcome = (Kernel, anyhow::Result<Ending>);

/// Prepares and runs each kernel; one that fails keeps no other from running. Outcomes are in the order in which
/// kernels ended.
pub(super) fn run(
    workspace: &Workspace,
    payload: &Payload,
    kernels: &[Kernel],
    prepare: impl Fn(Kernel) -> anyhow::Result<Machine> + Sync,
    each: impl FnMut(Kernel, &str) + Send,
) -> anyhow::Result<Vec<Outcome>> {
    if !cfg!(target_arch = "x86_64") {
        bail!("the virtual machines are x86_64 only so far: run this task on such a machine");
    }
    setup::ensure(workspace, &[Part::Vm, Part::Network])?;
    let scratch = RunDirectory::create(&workspace.target.join("vm"), "payload")?;
    let initramfs = initramfs::with(payload, &scratch.join("")).context("make the initramfs")?;
    let waiting: Mutex<VecDeque<Kernel>> = Mutex::new(kernels.iter().copied().collect());
    let each = Mutex::new(each);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..ABREAST.min(kernels.len()) {
            scope.spawn(|| {
                loop {
                    let Some(kernel) = lock(&waiting).pop_front() else {
                        break;
                    };
                    let run = |machine: Machine| {
                        machine.run(&initramfs, |line| (*lock(&each))(kernel, line))
                    };
                    let outcome = prepare(kernel).and_then(run);
                    lock(&outcomes).push((kernel, outcome));
                }
            });
        }
    });
    Ok(outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner))
}

/// Nothing that is kept here can be left half done by a thread that panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
