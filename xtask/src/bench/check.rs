//! `bench check`: instructions and map look-ups a packet, against a baseline.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::build;
use crate::setup;
use crate::workspace::Workspace;

pub(super) fn run(options: &[String], workspace: &Workspace) -> anyhow::Result<ExitCode> {
    setup::ensure(workspace, setup::BUILD)?;
    let mut check = program(workspace)?;
    Err(check.args(options).exec()).context("start the program that counts")
}

/// The program that counts, and compares with what is checked in.
pub(crate) fn program(workspace: &Workspace) -> anyhow::Result<Command> {
    let path = build::test_program(workspace, "release", "netpol-bench")?;
    let mut command = Command::new(path);
    command.arg("check");
    Ok(command)
}
