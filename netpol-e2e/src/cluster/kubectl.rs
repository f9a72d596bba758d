//! kubectl, as the cluster's administrator, from this computer.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::error::Result;
use crate::lab::{
    LabError,
    command::{self, run_with_input},
};

/// The program and whom it speaks as.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    pub(super) fn new(program: PathBuf, kubeconfig: PathBuf) -> Self {
        Self {
            program,
            kubeconfig,
        }
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The same, as another user.
    pub fn with(&self, kubeconfig: &Path) -> Self {
        Self::new(self.program.clone(), kubeconfig.to_owned())
    }

    /// A command to add to and run as one likes.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(words);
        command
    }

    /// Runs it; returns what was said, without the last line's end.
    ///
    /// # Errors
    ///
    /// When it fails, with what it said.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let output = command::run(&mut self.command(words))?;
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said.trim_end().to_owned())
    }

    /// Runs it with `-o json`.
    ///
    /// # Errors
    ///
    /// As [`Kubectl::run`]; also when the answer is no JSON.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let said = self.run(&[words, &["-o", "json"]].concat())?;
        let parsed = serde_json::from_str(&said).map_err(|source| LabError::Json {
            command: format!("kubectl {}", words.join(" ")),
            source,
            output: said,
        });
        Ok(parsed?)
    }

    /// `kubectl apply` of a manifest, YAML or JSON; several documents are allowed.
    ///
    /// # Errors
    ///
    /// When an object is refused.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        let mut command = self.command(&["apply", "-f", "-"]);
        run_with_input(&mut command, manifest)?;
        Ok(())
    }
}
