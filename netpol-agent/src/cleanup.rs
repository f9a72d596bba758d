//! Removing all that agents left: programs, pins, qdiscs they made, files beside the socket.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rtnetlink::Handle;

use crate::{
    bpf::{clsact, hook::Side, load::PinDirs, netns, tcx},
    cli::CleanupArgs,
    cni::{
        install::{self, Directories},
        sandboxes,
    },
    preflight::{self, remove_if_there},
};

/// Where copies of good manifests are kept.
pub(crate) fn copies(socket: &Path) -> PathBuf {
    socket.with_extension("last-good")
}

/// Removes what the pins and filters name as ours.
pub(crate) async fn cleanup(args: &CleanupArgs) -> anyhow::Result<()> {
    preflight::root()?;
    let bpffs = &on_host(&args.host_root, &args.bpffs);
    // Without the directory there are no pins; filters there may be all the same.
    let on_bpf = preflight::is_bpf(bpffs)?;
    let lock = if on_bpf {
        Some(preflight::claim_directory(bpffs)?)
    } else {
        None
    };
    // First what would keep pods from starting.
    let chained = match cni_directories(bpffs, &args.host_root)? {
        Some(directories) => install::remove(&directories)?,
        None => 0,
    };
    let (connection, netlink, _) = rtnetlink::new_connection().context("open a netlink socket")?;
    let connection = tokio::spawn(connection);
    let filtered = clsact::interfaces(&netlink).await?;
    for ifindex in &filtered {
        for side in Side::BOTH {
            clsact::remove(&netlink, *ifindex, side).await?;
        }
    }
    let mut pins = 0;
    if on_bpf {
        for root in versions(bpffs)? {
            pins += remove_version(&PinDirs::at(root), &netlink).await?;
        }
        remove_files_of_socket(bpffs, &args.host_root)?;
        remove_empty(bpffs)?;
    }
    drop(lock);
    connection.abort();
    tracing::info!(filtered = filtered.len(), pins, chained, "cleaned up");
    Ok(())
}

/// A path of the node, seen from here.
fn on_host(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Where the agent that used the directory has installed the CNI plugin.
fn cni_directories(bpffs: &Path, host_root: &Path) -> anyhow::Result<Option<Directories>> {
    let mut targets = Vec::new();
    for link in preflight::cni_links(bpffs) {
        match fs::read_link(&link) {
            Ok(target) => targets.push(on_host(host_root, &target)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", link.display())),
        }
    }
    let mut targets = targets.into_iter();
    Ok(targets
        .next()
        .zip(targets.next())
        .map(|(conf, bin)| Directories { conf, bin }))
}

/// Removes the files beside the socket of the agent that used the directory.
fn remove_files_of_socket(bpffs: &Path, host_root: &Path) -> anyhow::Result<()> {
    for link in preflight::cni_links(bpffs) {
        remove_if_there(fs::remove_file(&link))
            .with_context(|| format!("remove {}", link.display()))?;
    }
    let link = preflight::socket_link(bpffs);
    let socket = match fs::read_link(&link) {
        Ok(socket) => on_host(host_root, &socket),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("read {}", link.display())),
    };
    let copies = copies(&socket);
    let sandboxes = sandboxes::directory(&socket);
    let lock = socket.with_extension("lock");
    for (result, path) in [
        (fs::remove_dir_all(&copies), &copies),
        (fs::remove_dir_all(&sandboxes), &sandboxes),
        (fs::remove_file(&socket), &socket),
        (fs::remove_file(&lock), &lock),
        (fs::remove_file(&link), &link),
    ] {
        remove_if_there(result).with_context(|| format!("remove {}", path.display()))?;
    }
    match socket.parent() {
        Some(directory) if directory.ends_with("netpol") => remove_empty(directory),
        _ => Ok(()),
    }
}

/// Removes the pins of one version, and detaches by it.
pub(crate) async fn remove_version(dirs: &PinDirs, netlink: &Handle) -> anyhow::Result<usize> {
    let mut removed = 0;
    for ifindex in tcx::interfaces(&dirs.links)? {
        for side in Side::BOTH {
            removed += usize::from(tcx::remove(&dirs.links, ifindex, side)?);
        }
    }
    for mark in names(&dirs.qdiscs)? {
        if let Ok(ifindex) = mark.parse() {
            clsact::remove_qdisc(netlink, &dirs.qdiscs, ifindex).await?;
        }
    }
    for map in names(&dirs.maps)? {
        if netpol_common::maps::PROGRAM_MAPS.contains(&map.as_str())
            || map == netpol_common::maps::NUMBERS
        {
            let path = dirs.maps.join(map);
            fs::remove_file(&path).with_context(|| format!("unpin {}", path.display()))?;
            removed += 1;
        }
    }
    let mark = netns::mark(dirs);
    remove_if_there(fs::remove_file(&mark))
        .with_context(|| format!("remove {}", mark.display()))?;
    for directory in [&dirs.links, &dirs.qdiscs, &dirs.maps, &dirs.root] {
        remove_empty(directory)?;
    }
    Ok(removed)
}

/// Removes pins that name interfaces of a network namespace that is gone.
pub(crate) async fn remove_stale(dirs: &PinDirs, netlink: &Handle) -> anyhow::Result<()> {
    for mark in names(&dirs.qdiscs)? {
        // The interface of that index here has nothing to do with it.
        if let Ok(ifindex) = mark.parse() {
            clsact::forget_qdisc(&dirs.qdiscs, ifindex)?;
        }
    }
    remove_version(dirs, netlink).await.map(drop)
}

/// The directories of all versions.
pub(crate) fn versions(bpffs: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let is_version = |name: &String| {
        let number = name.strip_prefix('v');
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let names = names(bpffs)?.into_iter().filter(is_version);
    Ok(names.map(|name| bpffs.join(name)).collect())
}

fn names(directory: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("read {}", directory.display()));
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", directory.display()))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

/// A directory that still holds something holds what is not ours.
fn remove_empty(directory: &Path) -> anyhow::Result<()> {
    match fs::remove_dir(directory) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::ResourceBusy
                    // In the agent's container: what is mounted there.
                    | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Err(error).with_context(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}
