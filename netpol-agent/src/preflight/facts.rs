//! What there is on this node, as far as it matters.

use std::{fs, io, path::PathBuf};

use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    utsname::uname,
};

use super::{PreflightError, capability::Capabilities, neighbours, neighbours::Neighbours, places};
use crate::{
    bpf::{
        load::{MapSizes, raise_memory_limit},
        syscall::{
            self,
            probe::{self, MapKind},
        },
    },
    cli::Places,
};

/// What the question is about.
pub(super) struct Wanted<'a> {
    pub(super) places: &'a Places,
    pub(super) sizes: MapSizes,
    pub(super) cni_conf_dir: &'a std::path::Path,
}

/// All facts.
pub(super) struct Facts {
    pub(super) machine: Machine,
    pub(super) places: PlaceFacts,
    pub(super) neighbours: Neighbours,
    pub(super) sysctls: Sysctls,
    pub(super) sizes: MapSizes,
    pub(super) cpus: u64,
    /// Bytes of memory that the node has.
    pub(super) memory: Option<u64>,
}

/// The kernel, and what this process may do there.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) kernel: String,
    pub(super) root: bool,
    pub(super) capabilities: Capabilities,
    /// The kinds of maps the kernel refused to make, and how.
    pub(super) maps: Vec<(MapKind, Refusal)>,
    /// How it refused a program.
    pub(super) program: Option<Refusal>,
    pub(super) tcx: bool,
    /// Whether maps count as locked memory; unknown where none can be made.
    pub(super) counts_maps: Option<bool>,
    /// Bytes a process may lock: now, and at most.
    pub(super) memlock: (u64, u64),
}

/// How the kernel refused something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such thing.
    Absent,
    /// Not to this process.
    Forbidden,
    /// With another error number.
    Other(i32),
}

/// The directories.
pub(super) struct PlaceFacts {
    pub(super) bpffs: PathBuf,
    pub(super) is_bpf: bool,
    /// What another agent holds.
    pub(super) busy: Option<PathBuf>,
    /// Why a directory cannot be used.
    pub(super) unusable: Option<String>,
}

/// Settings of the network namespace; none where the kernel has none of that name.
pub(super) struct Sysctls {
    pub(super) ip_forward: Option<bool>,
    pub(super) bridge_calls_iptables: Option<bool>,
}

impl Facts {
    pub(super) async fn gather(wanted: &Wanted<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            machine: machine(),
            places: place_facts(wanted.places),
            neighbours: neighbours::look(&wanted.places.bpffs, wanted.cni_conf_dir).await?,
            sysctls: Sysctls {
                ip_forward: switch("/proc/sys/net/ipv4/ip_forward"),
                bridge_calls_iptables: switch("/proc/sys/net/bridge/bridge-nf-call-iptables"),
            },
            sizes: wanted.sizes.clone(),
            cpus: possible_cpus(),
            memory: memory(),
        })
    }
}

/// Asks the kernel by trying.
pub(super) fn machine() -> Machine {
    let memlock = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or_default();
    let counts_maps = counts_maps(memlock);
    raise_memory_limit();
    let refused = MapKind::ALL
        .into_iter()
        .filter_map(|kind| Some((kind, refusal(&probe::map(kind).err()?))));
    Machine {
        kernel: uname().map_or_else(
            |_| String::new(),
            |name| name.release().to_string_lossy().into_owned(),
        ),
        root: nix::unistd::geteuid().is_root(),
        capabilities: Capabilities::effective(),
        maps: refused.collect(),
        program: probe::classifier().err().map(|error| refusal(&error)),
        tcx: syscall::has_tcx(),
        counts_maps,
        memlock,
    }
}

/// Tries a map that may lock nothing.
fn counts_maps((now, most): (u64, u64)) -> Option<bool> {
    let try_with = |limit| {
        setrlimit(Resource::RLIMIT_MEMLOCK, limit, most).ok()?;
        Some(probe::map(MapKind::Hash).is_ok())
    };
    let without = try_with(0);
    let with = try_with(now);
    match (without?, with?) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    }
}

fn refusal(error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Refusal::Forbidden,
        Some(libc::EINVAL | libc::ENOSYS) => Refusal::Absent,
        other => Refusal::Other(other.unwrap_or_default()),
    }
}

/// The locks are let go of at once.
fn place_facts(places: &Places) -> PlaceFacts {
    let mut facts = PlaceFacts {
        bpffs: places.bpffs.clone(),
        is_bpf: false,
        busy: None,
        unusable: None,
    };
    let looked = places::is_bpf(&places.bpffs).and_then(|is_bpf| {
        facts.is_bpf = is_bpf;
        places::is_free(places)
    });
    match looked {
        Ok(()) => {}
        Err(PreflightError::Busy { path }) => facts.busy = Some(path),
        Err(error) => facts.unusable = Some(error.to_string()),
    }
    facts
}

fn switch(path: &str) -> Option<bool> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim() != "0")
}

/// How many CPUs a map per CPU has values for.
pub(super) fn possible_cpus() -> u64 {
    possible(&fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default())
}

/// Bytes of memory that the node has.
pub(super) fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// `0-3,8-11`: how many a map per CPU has values for, which is one more than the highest.
fn possible(list: &str) -> u64 {
    let last = list
        .trim()
        .rsplit([',', '-'])
        .next()
        .and_then(|last| last.parse::<u64>().ok());
    last.map_or(1, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn possible_cpus_count_to_the_highest() {
        for (list, count) in [("0", 1), ("0-3\n", 4), ("0-3,8-11", 12), ("", 1)] {
            assert_eq!(possible(list), count, "{list:?}");
        }
    }
}
