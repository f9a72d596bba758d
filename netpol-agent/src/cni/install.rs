//! Keeping netpol-cni in the node's CNI configuration, and taking it out again.
//!
//! ```text
//! 10-x.conflist   the entry is put into the list, at its end; taking it out restores the text
//! 10-x.conf       one plugin, or a symbolic link: a list that holds it is written beside it,
//!                   10-x.conf.conflist, and it is set aside as 10-x.conf.netpol-saved
//! ```
//! The main plugin stays the owner of its file: what it writes counts, and is edited anew. The
//! configuration stays when the agent stops: then pods wait for the next agent rather than start
//! without one.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use netpol_api::CniInstallation;
use serde_json::{Value, json};

mod conflist;
mod follow;
mod swap;

pub(crate) use follow::follow;

use conflist::ConfError;
use swap::Swapped;

/// The end of the name of a configuration that was set aside.
const SAVED: &str = ".netpol-saved";

/// Why the plugin is not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "no runtime would load {}, the first CNI configuration: {reason}; it is waited for its \
         plugin to write it",
        path.display()
    )]
    Unloadable { path: PathBuf, reason: ConfError },
    #[error("there is no CNI configuration in {} yet; the main plugin writes it", .0.display())]
    Nothing(PathBuf),
    #[error("others write {} again and again; it is tried again", .0.display())]
    Contested(PathBuf),
}

/// Where the node's container runtime looks.
#[derive(Clone, Debug)]
pub(crate) struct Directories {
    /// Of configurations.
    pub(crate) conf: PathBuf,
    /// Of plugins.
    pub(crate) bin: PathBuf,
}

/// What keeps the plugin installed.
#[derive(Debug)]
pub(crate) struct Installer {
    directories: Directories,
    /// The plugin's program as the agent's image has it.
    plugin: PathBuf,
    entry: Value,
    /// Files that were replaced, for as long as a writer that had one open may still write to it.
    replaced: BTreeMap<PathBuf, Replaced>,
}

#[derive(Debug)]
struct Replaced {
    file: File,
    text: Vec<u8>,
    looks: u8,
}

/// How often a replaced file is looked at again: once a pass, for some seconds.
const LOOKS: u8 = 4;
/// How often an edit is tried while others write.
const TRIES: u8 = 5;

impl Installer {
    pub(crate) fn new(directories: Directories, plugin: PathBuf, socket: &Path) -> Self {
        Self {
            directories,
            plugin,
            entry: json!({"type": conflist::TYPE, "socket": socket}),
            replaced: BTreeMap::new(),
        }
    }

    /// Brings the node to where it should be; says in which file the entry is. To be repeated:
    /// nothing is done where all is as it should be.
    pub(crate) fn install(&mut self) -> Result<PathBuf, InstallError> {
        self.copy_plugin()?;
        self.take_late_writes()?;
        self.renew_lists()?;
        let mut first_problem = None;
        for path in configurations(&self.directories.conf)? {
            match self.chain(&path) {
                Ok(path) => return first_problem.map_or(Ok(path), Err),
                Err(error @ InstallError::Unloadable { .. }) => {
                    // Some runtimes take the next one then: it is edited as well.
                    first_problem.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first_problem.unwrap_or_else(|| InstallError::Nothing(self.directories.conf.clone())))
    }

    /// Whether a file that was replaced is still looked after.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.replaced.is_empty()
    }

    fn copy_plugin(&self) -> Result<(), InstallError> {
        let wanted = read(&self.plugin)?;
        let target = self.directories.bin.join(conflist::TYPE);
        let is_there = fs::read(&target).is_ok_and(|there| there == wanted);
        if is_there && is_executable(&target) {
            return Ok(());
        }
        make(&self.directories.bin)?;
        done("write", &target, swap::put(&target, &wanted, 0o755))?;
        tracing::info!(plugin = %target.display(), "CNI plugin copied");
        Ok(())
    }

    /// Puts the entry into one configuration; says in which file it then is.
    fn chain(&mut self, path: &Path) -> Result<PathBuf, InstallError> {
        let is_list = path.extension() == Some(OsStr::new("conflist"));
        if !is_list || path.is_symlink() {
            return self.set_aside(path);
        }
        for _ in 0..TRIES {
            let before = text(path)?;
            let after = loadable(path, conflist::insert(&before, &self.entry))?;
            if after == before {
                return Ok(path.to_owned());
            }
            if self.swap(path, before.as_bytes(), after.as_bytes())? {
                tracing::info!(file = %path.display(), "CNI configuration: netpol-cni is in it");
                return Ok(path.to_owned());
            }
        }
        Err(InstallError::Contested(path.to_owned()))
    }

    /// Writes a list that holds what a configuration says, and takes that out of the runtime's
    /// sight. The list's name sorts right after it.
    fn set_aside(&self, path: &Path) -> Result<PathBuf, InstallError> {
        let list = list_beside(path);
        let wanted = loadable(path, self.list_of(path, &text(path)?))?;
        done("write", &list, swap::put(&list, wanted.as_bytes(), 0o600))?;
        let saved = saved(path);
        done("rename", path, fs::rename(path, &saved))?;
        tracing::info!(file = %list.display(), "CNI configuration: a list in the place of one");
        self.renew_list(&saved)?;
        Ok(list)
    }

    fn list_of(&self, path: &Path, text: &str) -> Result<String, ConfError> {
        if path.extension() == Some(OsStr::new("conflist")) {
            conflist::insert(text, &self.entry)
        } else {
            conflist::list_of(text, &self.entry)
        }
    }

    /// Brings every list in line with what it was made of: a writer may have written to that
    /// after it was set aside, and another release has another entry.
    fn renew_lists(&self) -> Result<(), InstallError> {
        let saved = names(&self.directories.conf)?;
        let mut saved = saved.iter().filter(|name| name.ends_with(SAVED));
        saved.try_for_each(|name| self.renew_list(&self.directories.conf.join(name)))
    }

    fn renew_list(&self, saved: &Path) -> Result<(), InstallError> {
        let original = original(saved);
        // Half a file is left for the next pass.
        let Ok(wanted) = self.list_of(&original, &text(saved)?) else {
            return Ok(());
        };
        let list = list_beside(&original);
        if fs::read(&list).is_ok_and(|there| there == wanted.as_bytes()) {
            return Ok(());
        }
        done("write", &list, swap::put(&list, wanted.as_bytes(), 0o600))
    }

    fn swap(&mut self, path: &Path, before: &[u8], after: &[u8]) -> Result<bool, InstallError> {
        match done("replace", path, swap::swap(path, before, after))? {
            Swapped::Changed => Ok(false),
            Swapped::Done(file) => {
                let replaced = Replaced {
                    file,
                    text: before.to_vec(),
                    looks: LOOKS,
                };
                self.replaced.insert(path.to_owned(), replaced);
                Ok(true)
            }
        }
    }

    /// A writer that had the file open when it was replaced wrote to the one that is gone: what it
    /// wrote is put in place.
    fn take_late_writes(&mut self) -> Result<(), InstallError> {
        for (path, mut replaced) in std::mem::take(&mut self.replaced) {
            let now = done("read", &path, swap::reread(&mut replaced.file))?;
            let written = String::from_utf8(now)
                .ok()
                .filter(|text| text.as_bytes() != replaced.text && conflist::is_list(text).is_ok());
            if let Some(text) = written {
                let before = read(&path)?;
                let after = loadable(&path, conflist::insert(&text, &self.entry))?;
                let is_ours = loadable(&path, str_of(&replaced.text))
                    .and_then(|text| loadable(&path, conflist::insert(text, &self.entry)))
                    .is_ok_and(|ours| ours.as_bytes() == before);
                if is_ours && !self.swap(&path, &before, after.as_bytes())? {
                    replaced.looks = LOOKS;
                    self.replaced.insert(path, replaced);
                }
                continue;
            }
            replaced.looks -= 1;
            if replaced.looks > 0 {
                self.replaced.insert(path, replaced);
            }
        }
        Ok(())
    }
}

/// Takes the plugin out of the node's configuration: what others wrote is there again as they
/// wrote it. The program goes last, so that no configuration names one that is not there.
pub(crate) fn remove(directories: &Directories) -> Result<usize, InstallError> {
    let mut removed = 0;
    for name in names(&directories.conf)? {
        let path = directories.conf.join(&name);
        if name.ends_with(SAVED) {
            restore(&path)?;
            removed += 1;
        } else if name.ends_with(".netpol-new") {
            done("remove", &path, fs::remove_file(&path))?;
        }
    }
    for path in configurations(&directories.conf)? {
        removed += usize::from(take_out(&path)?);
    }
    let plugin = directories.bin.join(conflist::TYPE);
    match fs::remove_file(&plugin) {
        Ok(()) => removed += 1,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return done("remove", &plugin, Err(error)),
    }
    Ok(removed)
}

fn take_out(path: &Path) -> Result<bool, InstallError> {
    for _ in 0..TRIES {
        let Ok(before) = text(path) else {
            return Ok(false);
        };
        // What cannot be read has no entry of ours.
        let Ok(after) = conflist::remove(&before) else {
            return Ok(false);
        };
        if after == before {
            return Ok(false);
        }
        let swapped = swap::swap(path, before.as_bytes(), after.as_bytes());
        if let Swapped::Done(_) = done("replace", path, swapped)? {
            return Ok(true);
        }
    }
    Err(InstallError::Contested(path.to_owned()))
}

/// Gives a configuration that was set aside its name back. One that was written anew since is
/// what counts.
fn restore(saved: &Path) -> Result<(), InstallError> {
    let original = original(saved);
    if original.symlink_metadata().is_ok() {
        done("remove", saved, fs::remove_file(saved))?;
    } else {
        done("rename", saved, fs::rename(saved, &original))?;
    }
    let list = list_beside(&original);
    match fs::remove_file(&list) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => done("remove", &list, Err(error)),
        _ => Ok(()),
    }
}

/// The files a runtime looks at, in its order.
fn configurations(directory: &Path) -> Result<Vec<PathBuf>, InstallError> {
    let is_one = |name: &String| {
        let extension = Path::new(name).extension().and_then(OsStr::to_str);
        matches!(extension, Some("conf" | "conflist" | "json"))
    };
    let names = names(directory)?.into_iter().filter(is_one);
    Ok(names.map(|name| directory.join(name)).collect())
}

/// Sorted.
fn names(directory: &Path) -> Result<Vec<String>, InstallError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return done("list", directory, Err(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = done("list", directory, entry)?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn list_beside(path: &Path) -> PathBuf {
    with_suffix(path, ".conflist")
}

fn saved(path: &Path) -> PathBuf {
    with_suffix(path, SAVED)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}{suffix}"))
}

fn original(saved: &Path) -> PathBuf {
    let name = saved.file_name().unwrap_or_default().to_string_lossy();
    saved.with_file_name(name.strip_suffix(SAVED).unwrap_or(&name))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o777 == 0o755)
}

fn make(directory: &Path) -> Result<(), InstallError> {
    done("make", directory, fs::create_dir_all(directory))
}

fn read(path: &Path) -> Result<Vec<u8>, InstallError> {
    done("read", path, fs::read(path))
}

fn text(path: &Path) -> Result<String, InstallError> {
    let text = read(path)?;
    loadable(path, str_of(&text).map(ToOwned::to_owned))
}

fn str_of(text: &[u8]) -> Result<&str, ConfError> {
    std::str::from_utf8(text).map_err(|error| ConfError::Json(error.to_string()))
}

fn loadable<T>(path: &Path, result: Result<T, ConfError>) -> Result<T, InstallError> {
    result.map_err(|reason| InstallError::Unloadable {
        path: path.to_owned(),
        reason,
    })
}

fn done<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, InstallError> {
    result.map_err(|source| InstallError::Io {
        action,
        path: path.to_owned(),
        source,
    })
}

/// What there is to say of an attempt.
fn told(result: &Result<PathBuf, InstallError>) -> CniInstallation {
    match result {
        Ok(path) => CniInstallation {
            file: Some(path.display().to_string()),
            problem: None,
        },
        Err(error) => CniInstallation {
            file: None,
            problem: Some(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests;
