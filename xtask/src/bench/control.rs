//! `bench control`: what changes cost on the way to the kernel, and what an agent costs.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::build::{self, Programs};
use crate::process;
use crate::setup::{self, Part};
use crate::workspace::Workspace;

pub(super) fn run(options: &[String], workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let asks_for_help = options.iter().any(|it| it == "--help" || it == "-h");
    if !asks_for_help && !process::is_root() {
        bail!(
            "an agent loads BPF programs, in a network namespace of its own, which needs root: run `sudo -E env PATH=\"$PATH\" cargo xtask bench control`"
        );
    }
    setup::ensure(workspace, setup::BUILD)?;
    setup::ensure(workspace, &[Part::Network])?;
    let programs = Programs::build(workspace)?;
    let mut control = Command::new(build::test_program(workspace, "release", "control")?);
    programs.tell(&mut control);
    Err(control.args(options).exec()).context("start the program that measures")
}
