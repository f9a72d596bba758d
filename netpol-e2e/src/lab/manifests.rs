//! The directory an agent watches.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    error::{Doing, Result},
    sweep::building,
};

/// A manifest directory; every write is a rename, so that nobody sees half a file.
#[derive(Debug, Clone)]
pub struct Manifests {
    dir: PathBuf,
    /// On the same file system, and not watched.
    staging: PathBuf,
}

impl Manifests {
    pub(crate) fn create(lab_dir: &Path) -> Result<Self> {
        let _guard = building();
        let manifests = Self {
            dir: lab_dir.join("manifests"),
            staging: lab_dir.join("staging"),
        };
        for dir in [&manifests.dir, &manifests.staging] {
            fs::create_dir_all(dir).doing(|| format!("create {}", dir.display()))?;
        }
        Ok(manifests)
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file whole.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let staged = self.staging.join(name);
        let path = self.dir.join(name);
        fs::write(&staged, text)
            .and_then(|()| fs::rename(&staged, &path))
            .doing(|| format!("write {}", path.display()))
    }

    /// Writes a file in place, as an editor without care does: a reader may see any part of it.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn write_in_place(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).doing(|| format!("write {}", path.display()))
    }

    /// Writes one object.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn write_object(&self, name: &str, object: &Value) -> Result<()> {
        self.write(name, &format!("{object:#}\n"))
    }

    /// Copies a file whole, under its own name or another.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn copy(&self, from: &Path, name: &str) -> Result<()> {
        let text = fs::read_to_string(from).doing(|| format!("read {}", from.display()))?;
        self.write(name, &text)
    }

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
        .doing(|| format!("remove {}", path.display()))
    }
}
