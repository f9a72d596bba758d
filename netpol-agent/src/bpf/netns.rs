//! Whose interfaces the pins name: an interface index means nothing in another network namespace.
//!
//! A container that is restarted, or a lab that is built anew, finds the pins of a namespace that
//! is no more. They are removed. Those of a namespace that lives are somebody else's.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, symlink},
    path::PathBuf,
};

use super::{error::LoadError, load::PinDirs, tcx};

/// Whose pins there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This network namespace, or nobody yet.
    Ours,
    /// A network namespace that is gone.
    Gone,
}

/// Tells whose pins there are; an error if they belong to another namespace that lives.
pub(crate) fn owner(dirs: &PinDirs) -> Result<Owner, LoadError> {
    let noted = match fs::read_link(mark(dirs)) {
        Ok(noted) => noted,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Owner::Ours),
        Err(source) => return Err(failed("read", dirs, source)),
    };
    let here = identity().map_err(|source| failed("compare", dirs, source))?;
    if noted == here {
        return Ok(Owner::Ours);
    }
    // A link that is attached names an interface that is there.
    if tcx::attached(&dirs.links).is_ok_and(|interfaces| !interfaces.is_empty()) {
        return Err(LoadError::OtherNamespace {
            path: dirs.root.clone(),
        });
    }
    Ok(Owner::Gone)
}

/// Notes that the pins are this namespace's.
pub(crate) fn note(dirs: &PinDirs) -> Result<(), LoadError> {
    let noted = identity().and_then(|identity| symlink(identity, mark(dirs)));
    match noted {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("note", dirs, source))
        }
        _ => Ok(()),
    }
}

/// A symbolic link that leads nowhere: the BPF file system holds no other text.
pub(crate) fn mark(dirs: &PinDirs) -> PathBuf {
    dirs.root.join("netns")
}

fn identity() -> io::Result<PathBuf> {
    // The thread's: the process's main thread may have ended, or be elsewhere.
    let metadata = fs::metadata("/proc/thread-self/ns/net")?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()).into())
}

fn failed(action: &'static str, dirs: &PinDirs, source: io::Error) -> LoadError {
    LoadError::Pin {
        action,
        path: mark(dirs),
        source,
    }
}
