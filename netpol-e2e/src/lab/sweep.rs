//! Nothing stays behind.
//!
//! ```text
//! Drop of a Lab ------------> sweep(its own names)
//! SIGINT, SIGTERM, SIGHUP --> sweep(all of this process), exit
//! kill -9 ------------------> the next run finds names whose owner is dead, sweep(those)
//! ```
//! All three find what there is by name, in the system itself: there is no list to fall out of
//! date.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process,
    sync::{Once, RwLock, RwLockReadGuard},
    thread,
    time::Duration,
};

use nix::{
    mount::{MntFlags, umount2},
    sys::signal::Signal,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{
    command::ip_batch,
    error::{Doing, Result},
    id::{LabId, owner_of},
    netns::{NETNS_DIR, Netns},
};
use crate::process::{Process, namespace_of, pids};

const RUN_DIR: &str = "/run";
const DIR_PREFIX: &str = "netpol-lab-";

/// Taken for reading while something is made, for writing (and never given back) once a signal ends
/// the process.
static BUILDING: RwLock<()> = RwLock::new(());

/// The directory of a lab: bpffs, manifests, socket, log.
pub(crate) fn lab_dir(id: LabId) -> PathBuf {
    Path::new(RUN_DIR).join(format!("{DIR_PREFIX}{id}"))
}

/// Holds off a signal's sweep while something is being made, so that it is found: taken wherever a
/// name, a mount, a directory or a process of a lab comes into being. Never twice at a time by one
/// thread: a sweep that waits in between would wait for ever.
pub(crate) fn building() -> RwLockReadGuard<'static, ()> {
    BUILDING
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Once a process: removes what dead owners left, and sees to it that a signal removes what is
/// ours.
pub(crate) fn arm() -> Result<()> {
    static ARMED: Once = Once::new();
    let mut outcome = Ok(());
    ARMED.call_once(|| {
        sweep(|name| owner_of(name).is_some_and(|owner| !owner.is_alive()));
        outcome = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .doing(|| "watch for signals".to_owned())
            .map(|mut signals| {
                thread::spawn(move || {
                    if let Some(signal) = signals.forever().next() {
                        let _never_released = BUILDING.write();
                        sweep(|name| owner_of(name) == Some(Process::current()));
                        process::exit(128 + signal);
                    }
                });
            });
    });
    outcome
}

/// Removes one lab.
pub(crate) fn sweep_lab(id: LabId) {
    sweep(|name| id.owns(name));
}

/// Removes every process, mount, directory and network namespace of the labs whose names match.
fn sweep(matches: impl Fn(&str) -> bool) {
    let names = |dir: &str| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    };
    let mut namespaces = names(NETNS_DIR);
    namespaces.retain(|name| matches(name));
    let mut dirs = names(RUN_DIR);
    dirs.retain(|name| name.strip_prefix(DIR_PREFIX).is_some_and(&matches));

    kill_all_in(&namespaces);
    for dir in dirs {
        remove_dir(&Path::new(RUN_DIR).join(dir));
    }
    // One by one: a name that another sweep removed first must not keep the others.
    for name in namespaces {
        let _ = ip_batch(None, &[format!("netns del {name}")]);
    }
}

/// Unmounts what is mounted in a lab's directory and removes it.
fn remove_dir(dir: &Path) {
    let bpffs = dir.join("bpffs");
    while umount2(&bpffs, MntFlags::MNT_DETACH).is_ok() {}
    if let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        eprintln!(
            "netpol-lab: cannot remove {}: {error}; remove it by hand",
            dir.display()
        );
    }
}

/// Kills what runs in the namespaces (an agent whose lab is gone) and waits until it is gone.
pub(crate) fn kill_all_in(namespaces: &[String]) {
    let inodes: BTreeSet<u64> = namespaces
        .iter()
        .filter_map(|name| fs::metadata(Netns::named(name).path()).ok())
        .map(|meta| meta.ino())
        .collect();
    if inodes.is_empty() {
        return;
    }
    let is_inside = |pid| namespace_of(pid, "net").is_some_and(|inode| inodes.contains(&inode));
    let inhabitants: Vec<Process> = pids()
        .filter(|pid| *pid != process::id() && is_inside(*pid))
        .filter_map(Process::with_pid)
        .collect();
    for inhabitant in &inhabitants {
        inhabitant.signal(Signal::SIGKILL);
    }
    for inhabitant in inhabitants {
        inhabitant.wait_end(Duration::from_secs(2));
    }
}
