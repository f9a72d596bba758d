//! The directories and locks of an agent.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::PreflightError;
use crate::{cli::Places, cni::install::Directories};

/// What makes this agent the only one on its directory and socket, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Locks {
    _bpffs: Flock<File>,
    _socket: Flock<File>,
}

/// Whether a directory is on a BPF file system. One that is not there counts as its parent.
pub(crate) fn is_bpf(path: &Path) -> Result<bool, PreflightError> {
    let there = path.ancestors().find(|ancestor| ancestor.exists());
    let there = there.unwrap_or(Path::new("/"));
    let kind = statfs(there).map_err(|errno| unusable(there, errno.into()))?;
    Ok(kind.filesystem_type() == BPF_FS_MAGIC)
}

/// Makes the directories, takes the locks, and notes the socket where `cleanup` finds it.
pub(crate) fn claim(places: &Places) -> Result<Locks, PreflightError> {
    let bpffs = claim_directory(&places.bpffs)?;
    let path = places.socket.with_extension("lock");
    if let Some(parent) = places.socket.parent() {
        make_directory(parent)?;
    }
    let beside = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| unusable(&path, source))?;
    let socket = lock(beside, &path)?;
    let link = socket_link(&places.bpffs);
    let absolute = std::path::absolute(&places.socket);
    absolute
        .and_then(|target| {
            remove_if_there(fs::remove_file(&link))?;
            symlink(target, &link)
        })
        .map_err(|source| unusable(&link, source))?;
    Ok(Locks {
        _bpffs: bpffs,
        _socket: socket,
    })
}

/// Whether no other agent holds the locks; makes nothing that is not there.
pub(super) fn is_free(places: &Places) -> Result<(), PreflightError> {
    for path in [places.bpffs.clone(), places.socket.with_extension("lock")] {
        match File::open(&path) {
            Ok(file) => drop(lock(file, &path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(unusable(&path, source)),
        }
    }
    Ok(())
}

/// Makes the directory and takes its lock alone.
pub(crate) fn claim_directory(bpffs: &Path) -> Result<Flock<File>, PreflightError> {
    if !is_bpf(bpffs)? {
        return Err(PreflightError::NotBpf {
            path: bpffs.to_owned(),
        });
    }
    make_directory(bpffs)?;
    let directory = File::open(bpffs).map_err(|source| unusable(bpffs, source))?;
    lock(directory, bpffs)
}

/// A symbolic link to the socket of the agent that used a directory last.
pub(crate) fn socket_link(bpffs: &Path) -> PathBuf {
    bpffs.join("socket")
}

/// Symbolic links to the node's CNI directories, as the agent that used a directory last had them.
pub(crate) fn cni_links(bpffs: &Path) -> [PathBuf; 2] {
    ["cni-conf", "cni-bin"].map(|name| bpffs.join(name))
}

/// Notes the node's CNI directories where `cleanup` finds them.
pub(crate) fn note_cni(bpffs: &Path, directories: &Directories) -> Result<(), PreflightError> {
    let targets = [&directories.conf, &directories.bin];
    for (link, target) in cni_links(bpffs).iter().zip(targets) {
        let absolute = std::path::absolute(target);
        absolute
            .and_then(|target| {
                remove_if_there(fs::remove_file(link))?;
                symlink(target, link)
            })
            .map_err(|source| unusable(link, source))?;
    }
    Ok(())
}

/// Takes "not there" for removed.
pub(crate) fn remove_if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The kernel releases these locks with the last descriptor, so a killed agent leaves none.
fn lock(file: File, path: &Path) -> Result<Flock<File>, PreflightError> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::Error::EWOULDBLOCK => PreflightError::Busy {
            path: path.to_owned(),
        },
        errno => unusable(path, errno.into()),
    })
}

fn make_directory(path: &Path) -> Result<(), PreflightError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: io::Error) -> PreflightError {
    PreflightError::Unusable {
        path: path.to_owned(),
        source,
    }
}
