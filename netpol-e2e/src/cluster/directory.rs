//! A cluster's directory: what is up, as files.
//!
//! ```text
//! BASE/                       locked while a name is given away
//! BASE/NAME/cluster.json      options, owner
//!          /machines/M.json   the first process of each machine
//!          /daemons/D.json    each daemon: where, what, its process
//!          /disks/M/          what machines write
//!          /logs/ /pki/ /kubeconfigs/
//! ```
//! Files are replaced whole. Processes are recorded with their start time, so that a reused id is nobody of ours.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    error::{ClusterError, Result},
    options::Options,
};
use crate::{lab::error::Doing, process::Process};

/// Names another directory for clusters.
pub const BASE_VARIABLE: &str = "NETPOL_CLUSTERS";
/// Not `/tmp`, which may be memory; not `/run`, `/etc`, `/opt` or `/var/lib`, which a machine has of its own.
const DEFAULT_BASE: &str = "/var/tmp/netpol-clusters";

/// Where clusters are kept: `NETPOL_CLUSTERS`, else a directory for temporary files that survive a reboot.
pub(super) fn default_base() -> PathBuf {
    env::var_os(BASE_VARIABLE).map_or_else(|| DEFAULT_BASE.into(), PathBuf::from)
}

/// What is known of a cluster from the first moment on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Charter {
    pub(super) options: Options,
    /// The number of its wire to this computer, once there is one.
    pub(super) wire: Option<u8>,
    /// The process it goes with, if any.
    pub(super) owner: Option<Process>,
}

/// A cluster's directory.
#[derive(Debug, Clone)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// That of a cluster; it need not be there.
    pub(super) fn of(base: &Path, name: &str) -> Self {
        Self(base.join(name))
    }

    /// Takes a name for a new cluster. What an earlier one of that name left behind is replaced, unless
    /// `is_up`.
    pub(super) fn take(options: &Options, is_up: impl Fn(&str) -> bool) -> Result<(Self, Charter)> {
        let base = &options.base;
        let _lock = lock(base)?;
        let directory = Self::of(base, &options.name);
        if is_up(&options.name) {
            return Err(ClusterError::Exists(options.name.clone()));
        }
        directory.remove()?;
        let charter = Charter {
            options: options.clone(),
            wire: None,
            owner: options.owned.then(Process::current),
        };
        for part in ["machines", "daemons", "disks", "logs", "pki", "kubeconfigs"] {
            let path = directory.path(part);
            fs::create_dir_all(&path).doing(|| format!("create {}", path.display()))?;
        }
        directory.set_charter(&charter)?;
        Ok((directory, charter))
    }

    pub(super) fn charter(&self) -> Result<Charter> {
        self.read("cluster.json")
    }

    pub(super) fn set_charter(&self, charter: &Charter) -> Result<()> {
        self.write("cluster.json", charter)
    }

    pub(super) fn exists(&self) -> bool {
        self.path("cluster.json").exists()
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    pub(super) fn path(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.0.join("logs").join(format!("{name}.log"))
    }

    /// Names of the records in one of the directories of records.
    pub(super) fn records(&self, kind: &str) -> Vec<String> {
        let mut names: Vec<String> = entries(&self.path(kind))
            .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    pub(super) fn read<T: DeserializeOwned>(&self, relative: &str) -> Result<T> {
        let path = self.path(relative);
        let text = fs::read(&path).doing(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).map_err(|source| ClusterError::Damaged { path, source })
    }

    pub(super) fn write<T: Serialize>(&self, relative: &str, value: &T) -> Result<()> {
        let path = self.path(relative);
        let text = serde_json::to_vec_pretty(value).map_err(|source| ClusterError::Damaged {
            path: path.clone(),
            source,
        })?;
        let new = path.with_extension("new");
        fs::write(&new, text).doing(|| format!("write {}", new.display()))?;
        fs::rename(&new, &path).doing(|| format!("write {}", path.display()))?;
        Ok(())
    }

    pub(super) fn forget(&self, relative: &str) {
        let _ = fs::remove_file(self.path(relative));
    }

    /// Removes everything, and the directory of all clusters with the last one.
    pub(super) fn give_back(&self) -> Result<()> {
        let base = self.0.parent().unwrap_or(&self.0);
        let _lock = lock(base)?;
        self.remove()?;
        // Refused, rightly, while there are others.
        let _ = fs::remove_dir(base);
        Ok(())
    }

    /// Removes everything; no error if there is nothing.
    fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing(|| format!("remove {}", self.0.display()))?
            }
            _ => Ok(()),
        }
    }
}

/// Names of the clusters that have a directory, up or not.
pub(super) fn names(base: &Path) -> Vec<String> {
    let mut names: Vec<String> = entries(base)
        .filter(|name| Directory::of(base, name).exists())
        .collect();
    names.sort();
    names
}

fn entries(dir: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// Locks the directory of all clusters, which is made if need be.
fn lock(base: &Path) -> Result<File> {
    let doing = || format!("lock {}", base.display());
    loop {
        fs::create_dir_all(base).doing(|| format!("create {}", base.display()))?;
        let file = File::open(base).doing(doing)?;
        file.lock().doing(doing)?;
        let locked = file.metadata().doing(doing)?.ino();
        // Another may have removed the directory while we waited for it.
        if fs::metadata(base).is_ok_and(|now| now.ino() == locked) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str) -> (Options, PathBuf) {
        let base = env::temp_dir().join(format!("netpol-clusters-{}", fastrand::u64(..)));
        let options = Options {
            base: base.clone(),
            ..Options::light(name)
        };
        (options, base)
    }

    #[test]
    fn a_name_is_given_once_and_again_when_free() {
        let (first, base) = options("first");
        let second = Options {
            name: "second".to_owned(),
            ..first.clone()
        };
        let (directory, _) = Directory::take(&first, |_| false).expect("taken");
        Directory::take(&second, |_| false).expect("taken");
        assert_eq!(names(&base), ["first", "second"]);
        let refused = Directory::take(&first, |name| name == "first");
        assert!(matches!(refused, Err(ClusterError::Exists(_))));
        directory.give_back().expect("removed");
        Directory::take(&first, |_| false).expect("taken again");
        for name in names(&base) {
            Directory::of(&base, &name).give_back().expect("removed");
        }
        assert!(!base.exists());
    }
}
