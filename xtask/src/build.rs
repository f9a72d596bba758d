//! Building what tests and the demo run, and where cargo put it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use cargo_metadata::{Artifact, Message};

use crate::process;
use crate::workspace::Workspace;

/// The two programs users run, and the directory of the scenarios' manifests.
///
/// Whatever runs them is told where they are by the environment.
pub(crate) struct Programs {
    pub(crate) agent: PathBuf,
    pub(crate) ctl: PathBuf,
    pub(crate) examples: PathBuf,
}

/// The names under which tests and the demo find a [`Programs`].
pub(crate) const ENV_AGENT: &str = "NETPOL_AGENT";
pub(crate) const ENV_CTL: &str = "NETPOLCTL";
pub(crate) const ENV_EXAMPLES: &str = "NETPOL_EXAMPLES";

impl Programs {
    /// Builds them for release.
    pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<Self> {
        let built = executables(
            workspace,
            &[
                "build",
                "--release",
                "-p",
                "netpol-agent",
                "-p",
                "netpolctl",
                "--bins",
            ],
        )?;
        Ok(Self {
            agent: path_of(&built, "netpol-agent")?.to_owned(),
            ctl: path_of(&built, "netpolctl")?.to_owned(),
            examples: workspace.examples(),
        })
    }

    /// Tells a command where they are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env(ENV_AGENT, &self.agent);
        command.env(ENV_CTL, &self.ctl);
        command.env(ENV_EXAMPLES, &self.examples);
    }
}

/// An executable that cargo made: a program or a test.
pub(crate) struct Executable {
    name: String,
    path: PathBuf,
}

/// Runs cargo and returns the executables it made or found fresh.
pub(crate) fn executables(
    workspace: &Workspace,
    arguments: &[&str],
) -> anyhow::Result<Vec<Executable>> {
    let mut cargo = process::cargo(workspace);
    cargo
        .args(arguments)
        .arg("--message-format=json-render-diagnostics");
    let mut found = Vec::new();
    process::lines(&mut cargo, |line| {
        if let Some(Ok(Message::CompilerArtifact(artifact))) =
            Message::parse_stream(line.as_bytes()).next()
        {
            found.extend(executable(artifact));
        }
    })?;
    Ok(found)
}

fn executable(artifact: Artifact) -> Option<Executable> {
    Some(Executable {
        path: artifact.executable?.into_std_path_buf(),
        name: artifact.target.name,
    })
}

/// The executable's path. An error says which target is missing.
pub(crate) fn path_of<'a>(built: &'a [Executable], name: &str) -> anyhow::Result<&'a Path> {
    built
        .iter()
        .find(|executable| executable.name == name)
        .map(|executable| executable.path.as_path())
        .with_context(|| {
            format!("cargo built no executable named `{name}`: a program or an integration test of that name has to exist")
        })
}
