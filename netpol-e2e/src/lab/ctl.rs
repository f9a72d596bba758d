//! netpolctl, as a user runs it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde::de::DeserializeOwned;

use super::{
    command,
    error::{LabError, Result},
};

/// netpolctl towards one agent.
#[derive(Debug, Clone)]
pub struct Ctl {
    program: PathBuf,
    socket: PathBuf,
}

impl Ctl {
    pub(crate) fn new(program: &Path, socket: &Path) -> Self {
        Self {
            program: program.to_owned(),
            socket: socket.to_owned(),
        }
    }

    /// The command line that runs it by hand, up to the subcommand.
    pub fn command_line(&self) -> String {
        format!(
            "{} --socket {}",
            self.program.display(),
            self.socket.display()
        )
    }

    /// Waits until what is on disk now is enforced by every local endpoint.
    ///
    /// # Errors
    ///
    /// When it is not in time; the error carries netpolctl's words.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        let timeout = format!("{}ms", timeout.as_millis());
        self.text(&["wait", "--timeout", &timeout]).map(drop)
    }

    /// Runs a subcommand that must succeed; its stdout.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn text(&self, arguments: &[&str]) -> Result<String> {
        let output = command::run(&mut self.command(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a subcommand whose exit code is part of its answer, such as `evaluate`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        command::start(&mut self.command(arguments), Command::output)
    }

    /// Runs a subcommand with `-o json`. The answer counts, not the exit code: that of `status`
    /// says whether all is well.
    ///
    /// # Errors
    ///
    /// When it prints something else than `T`.
    pub fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let arguments = [arguments, &["-o", "json"]].concat();
        let output = self.output(&arguments)?;
        serde_json::from_slice(&output.stdout).map_err(|source| {
            let said = [output.stdout, output.stderr].concat();
            LabError::Json {
                command: command::line(&self.command(&arguments)),
                source,
                output: String::from_utf8_lossy(&said).into_owned(),
            }
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--socket")
            .arg(&self.socket)
            .args(arguments)
            .stdin(Stdio::null());
        // So that the manifests are at `manifests`, in its output too.
        if let Some(lab_dir) = self.socket.parent() {
            command.current_dir(lab_dir);
        }
        command
    }
}
