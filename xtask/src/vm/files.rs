//! Files of the task's own directory: the lock, and directories of single runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context;

/// Waits until no other task prepares kernels in this directory, and keeps others waiting while it lives.
pub(super) fn lock(directory: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    let path = directory.join("lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    file.lock()
        .with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// The directory of one run, removed when it ends. Those of runs that were killed are removed by the next one.
pub(super) struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// `name` tells it from others of this process.
    pub(super) fn create(parent: &Path, name: &str) -> anyhow::Result<Self> {
        let runs = parent.join("run");
        remove_stale(&runs);
        let path = runs.join(format!("{}-{name}", process::id()));
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path })
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_stale(runs: &Path) {
    for run in fs::read_dir(runs).into_iter().flatten().flatten() {
        let name = run.file_name();
        let name = name.to_string_lossy();
        let owner = name.split_once('-').map_or(&*name, |(owner, _)| owner);
        if !Path::new("/proc").join(owner).exists() {
            let _ = fs::remove_dir_all(run.path());
        }
    }
}
