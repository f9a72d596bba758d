//! The programs a cluster is made of: Kubernetes' own, built from `netpol-e2e/kubernetes`, and the system's.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::error::{ClusterError, Result};
use crate::lab::workspace;

/// Names a directory with Kubernetes' binaries, looked into first.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";
/// Names the directory of those that `cargo xtask cluster` built.
pub const BUILT_VARIABLE: &str = "NETPOL_KUBERNETES";

const HINT: &str = "`cargo xtask cluster build` builds it";
const SYSTEM_HINT: &str =
    "`cargo xtask setup` installs it, or KUBEBUILDER_ASSETS names a directory that has it";

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub struct Assets {
    directories: Vec<PathBuf>,
}

impl Assets {
    /// Those the environment names (`KUBEBUILDER_ASSETS`, `NETPOL_KUBERNETES`), then `target/kubernetes/bin`.
    pub fn find() -> Self {
        let named = [ASSETS_VARIABLE, BUILT_VARIABLE];
        let mut directories: Vec<PathBuf> = named
            .into_iter()
            .filter_map(env::var_os)
            .map(PathBuf::from)
            .collect();
        directories.push(workspace().join("target/kubernetes/bin"));
        Self { directories }
    }

    /// A program of Kubernetes.
    ///
    /// # Errors
    ///
    /// When it is in none of the directories.
    pub fn kubernetes(&self, program: &str) -> Result<PathBuf> {
        self.look(program, &self.directories, HINT)
    }

    /// A program of the system, or of the same directories: etcd is among what `KUBEBUILDER_ASSETS` holds.
    ///
    /// # Errors
    ///
    /// When it is nowhere.
    pub fn system(&self, program: &str) -> Result<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut directories = self.directories.clone();
        directories.extend(env::split_paths(&path));
        // A user's search path often lacks these.
        directories.extend(["/usr/sbin".into(), "/sbin".into()]);
        self.look(program, &directories, SYSTEM_HINT)
    }

    fn look(&self, program: &str, directories: &[PathBuf], hint: &'static str) -> Result<PathBuf> {
        let found = directories
            .iter()
            .map(|directory| directory.join(program))
            .find(|path| path.is_file());
        found.ok_or_else(|| ClusterError::Missing {
            program: program.to_owned(),
            looked: shown(&self.directories),
            hint,
        })
    }
}

fn shown(directories: &[PathBuf]) -> String {
    let shown: Vec<String> = directories
        .iter()
        .map(|directory| Path::display(directory).to_string())
        .collect();
    shown.join(", ")
}
