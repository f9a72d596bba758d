//! `bench route`: what enforcement costs through a router, beside nftables and iptables.

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
            "packets go through network namespaces of their own, which needs root: run `sudo -E env PATH=\"$PATH\" cargo xtask bench route`"
        );
    }
    setup::ensure(workspace, setup::BUILD)?;
    setup::ensure(workspace, &[Part::Network, Part::Rivals])?;
    let programs = Programs::build(workspace)?;
    let mut route = Command::new(build::test_program(workspace, "release", "route")?);
    programs.tell(&mut route);
    Err(route.args(options).exec()).context("start the program that measures")
}
