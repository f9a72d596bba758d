//! Nothing stays behind: what a cluster made is found by name, in the system itself, whoever made it and however that
//! ended.
//!
//! ```text
//! first processes, by record ──> kill: all that runs in their process namespaces goes with them
//! netns npc-CLUSTER-* ─────────> kill what still runs there, delete (with them: interfaces, this computer's as well)
//! cgroups netpol-CLUSTER ──────> remove
//! BASE/CLUSTER ────────────────> remove
//! ```

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::{
    control_plane,
    directory::Directory,
    error::{ClusterError, Result},
    machine::{Machine, NETNS_PREFIX, cgroup_name, netns_name},
    network,
};
use crate::lab::{command::ip_batch, netns::NETNS_DIR, sweep::kill_all_in};

/// The machine that stands for hosts outside the cluster.
pub(super) const OUTSIDE: &str = "outside";
const PATIENCE: Duration = Duration::from_secs(10);

/// Network namespaces of a cluster. `npc-a-node1` is one of `a`, `npc-a-node1-outside` one of `a-node1`.
pub(super) fn namespaces(cluster: &str) -> Vec<String> {
    let start = format!("{NETNS_PREFIX}-{cluster}-");
    let is_machine = |name: &str| {
        name == control_plane::MACHINE
            || name == OUTSIDE
            || name
                .strip_prefix("node")
                .is_some_and(|number| number.parse::<u8>().is_ok())
    };
    let entries = fs::read_dir(NETNS_DIR).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.strip_prefix(&start).is_some_and(is_machine))
        .collect()
}

/// Ends everything and removes every trace but the directory.
pub(super) fn end(directory: &Directory, cluster: &str) -> Result<()> {
    let machines: Vec<Machine> = directory
        .records("machines")
        .iter()
        .filter_map(|name| Machine::find(directory, cluster, name))
        .collect();
    for machine in &machines {
        machine.first().signal(Signal::SIGKILL);
    }
    for machine in machines {
        machine.first().wait_end(PATIENCE);
    }
    let namespaces = namespaces(cluster);
    kill_all_in(&namespaces);
    network::cut_wire(&netns_name(cluster, control_plane::MACHINE));
    for name in namespaces {
        // One by one: a name that another removed first must not keep the others.
        let _ = ip_batch(None, &[format!("netns del {name}")]);
    }
    remove_cgroups(cluster, "")
}

/// Removes the cgroup of a machine in every hierarchy, or the cluster's, with all that is below it; processes that were
/// killed take a moment to leave it.
pub(super) fn remove_cgroups(cluster: &str, machine: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left: Vec<PathBuf> = cgroups(cluster)
            .into_iter()
            .map(|path| path.join(machine))
            .filter(|path| remove_tree(path).is_err() && path.exists())
            .collect();
        let Some(first) = left.first() else {
            return Ok(());
        };
        if Instant::now() > deadline {
            return Err(ClusterError::Remains {
                cluster: cluster.to_owned(),
                what: format!("the cgroup {}", first.display()),
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The cluster's cgroup in each hierarchy that is mounted here.
pub(super) fn cgroups(cluster: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let points: BTreeSet<&str> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let point = fields.nth(1)?;
            fields
                .next()
                .is_some_and(|kind| kind.starts_with("cgroup"))
                .then_some(point)
        })
        .collect();
    points
        .into_iter()
        .map(|point| Path::new(point).join(cgroup_name(cluster)))
        .filter(|path| path.exists())
        .collect()
}

/// The files of a cgroup are not removed, only its directories, children first.
fn remove_tree(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}
