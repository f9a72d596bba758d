//! Copies of manifests that could be read, for an agent that starts while one cannot.
//!
//! A broken file keeps its last good objects in force; without a copy, a restart would forget
//! them and open what they closed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A directory of copies, one for each manifest.
#[derive(Debug)]
pub(crate) struct LastGood {
    directory: PathBuf,
    complained: bool,
}

impl LastGood {
    /// The copies of one directory's manifests, beside those of others.
    pub(crate) fn new(root: &Path, manifests: &Path) -> Self {
        let absolute = fs::canonicalize(manifests).unwrap_or_else(|_| manifests.to_owned());
        Self {
            directory: root.join(escaped(&absolute.to_string_lossy())),
            complained: false,
        }
    }

    /// The copy of a file.
    pub(crate) fn load(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.directory.join(name)).ok()
    }

    /// Keeps a copy. Whole or not at all: an agent may be killed while it writes.
    pub(crate) fn store(&mut self, name: &str, text: &str) {
        if self.load(name).as_deref() == Some(text) {
            return;
        }
        let directory = &self.directory;
        let written = fs::create_dir_all(directory).and_then(|()| {
            let draft = directory.join(".draft");
            fs::write(&draft, text)?;
            fs::rename(&draft, directory.join(name))
        });
        self.complain(written);
    }

    /// Forgets a file that is gone.
    pub(crate) fn remove(&mut self, name: &str) {
        let removed = match fs::remove_file(self.directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        self.complain(removed);
    }

    /// Enforcement does not hang on it, so it is said once and left.
    fn complain(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.complained
        {
            self.complained = true;
            tracing::warn!(
                directory = %self.directory.display(), %error,
                "cannot keep copies of good manifests: a restart while one is broken forgets it"
            );
        }
    }
}

/// A path as a file name.
fn escaped(path: &str) -> String {
    let path = path.trim_matches('/');
    path.replace('%', "%25")
        .replace('-', "%2d")
        .replace('/', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_by_directory_and_name() {
        let root = tempfile::tempdir().expect("temporary directory");
        let mut one = LastGood::new(root.path(), Path::new("/does/not-exist"));
        let other = LastGood::new(root.path(), Path::new("/does-not/exist"));
        one.store("a.yaml", "text");
        assert_eq!(one.load("a.yaml").as_deref(), Some("text"));
        assert_eq!(other.load("a.yaml"), None);
        one.remove("a.yaml");
        one.remove("a.yaml");
        assert_eq!(one.load("a.yaml"), None);
    }
}
