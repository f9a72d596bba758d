//! `bench path`: what a packet costs on this machine's kernel.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::build;
use crate::setup;
use crate::workspace::Workspace;

pub(super) fn run(options: &[String], workspace: &Workspace) -> anyhow::Result<ExitCode> {
    setup::ensure(workspace, setup::BUILD)?;
    let mut path = Command::new(build::test_program(workspace, "release", "netpol-bench")?);
    path.arg("path")
        .args(options)
        .env(build::ENV_BENCH_OBJECT, build::bench_object(workspace)?);
    Err(path.exec()).context("start the program that measures")
}
