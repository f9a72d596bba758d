//! Loading: maps found again or made, programs verified, the kernel's clock measured.
//!
//! ```text
//! pins -> maps -> clock program -> ticks a second -> the programs' globals -> programs
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, RingBuf},
    programs::SchedClassifier,
};
use netpol_common::{
    ABI_VERSION,
    conntrack::TIMEOUT_SECONDS,
    held::Place,
    maps::{self, Digest, Number},
};

use super::{
    clock::Clock,
    debug_log::{self, DebugLog},
    error::LoadError,
    netns, object, syscall,
    tables::{ConntrackTables, Tables},
};

/// Where the pins of this ABI version are.
#[derive(Clone, Debug)]
pub(crate) struct PinDirs {
    /// `<bpffs>/v<ABI>`.
    pub(crate) root: PathBuf,
    /// Pinned maps, by name.
    pub(crate) maps: PathBuf,
    /// Pinned TCX links, `<ifindex>-ingress` and `<ifindex>-egress`.
    pub(crate) links: PathBuf,
    /// An empty directory `<ifindex>` for each clsact qdisc that the agent made.
    pub(crate) qdiscs: PathBuf,
}

impl PinDirs {
    /// The directories of this ABI version under a directory of the BPF file system.
    pub(crate) fn under(bpffs: &Path) -> Self {
        Self::at(bpffs.join(format!("v{ABI_VERSION}")))
    }

    /// The directories of any version.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self {
            maps: root.join("maps"),
            links: root.join("links"),
            qdiscs: root.join("qdiscs"),
            root,
        }
    }

    fn create(&self) -> Result<(), LoadError> {
        for directory in [&self.maps, &self.links, &self.qdiscs] {
            fs::create_dir_all(directory).map_err(|source| LoadError::Pin {
                action: "create",
                path: directory.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

/// How many entries each map is made for.
#[derive(Clone, Debug)]
pub(crate) struct MapSizes(pub(crate) BTreeMap<&'static str, u32>);

/// What the programs are told beside the sizes of the maps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Events a second and CPU.
    pub(crate) events_per_second: u32,
    /// Answers to refused packets a second and endpoint.
    pub(crate) answers_per_second: u32,
    /// New connections that one endpoint may hold in each family.
    pub(crate) new_per_endpoint: u32,
}

/// The two programs of an interface.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) from_endpoint: Program,
    pub(crate) to_endpoint: Program,
}

/// A loaded program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) fd: OwnedFd,
    pub(crate) id: u32,
}

/// All that loading gives.
pub(crate) struct Loaded {
    pub(crate) programs: Programs,
    pub(crate) tables: Tables,
    pub(crate) events: RingBuf<MapData>,
    pub(crate) clock: Clock,
    /// The programs' debug lines, if they write any.
    pub(crate) debug_log: Option<DebugLog>,
    /// Sentences about maps that are not as asked for.
    pub(crate) notes: Vec<String>,
}

/// Loads everything; nothing is attached yet.
pub(crate) fn load(dirs: &PinDirs, sizes: &MapSizes, limits: Limits) -> Result<Loaded, LoadError> {
    raise_memory_limit();
    dirs.create()?;
    netns::note(dirs)?;
    create_numbers(dirs, sizes)?;
    // Twice from one object: the programs' globals are constants, and hold what the clock says.
    let first = loader(dirs, sizes).load(object::OBJECT)?;
    let tables = Tables::open(&dirs.maps)?;
    let clock = Clock::measure(first)?;
    let ticks = clock.ticks_per_second();
    let log_level = debug_log::level();
    let timeouts = TIMEOUT_SECONDS.map(|seconds| seconds.saturating_mul(ticks));
    let capacities = capacities(&ConntrackTables::open(&dirs.maps)?);
    let mut object = loader(dirs, sizes)
        .override_global(maps::TIMEOUTS, &timeouts, true)
        .override_global(maps::TICKS_PER_SECOND, &ticks, true)
        .override_global(maps::CAPACITIES, &capacities, true)
        .override_global(maps::NEW_PER_ENDPOINT, &limits.new_per_endpoint, true)
        .override_global(maps::EVENTS_PER_SECOND, &limits.events_per_second, true)
        .override_global(maps::ANSWERS_PER_SECOND, &limits.answers_per_second, true)
        .override_global(debug_log::LEVEL, &log_level, false)
        .load(object::OBJECT)?;
    Ok(Loaded {
        programs: Programs {
            from_endpoint: load_program(&mut object, maps::FROM_ENDPOINT)?,
            to_endpoint: load_program(&mut object, maps::TO_ENDPOINT)?,
        },
        debug_log: debug_log::of(&mut object),
        events: open_events(dirs)?,
        notes: differing_sizes(dirs, sizes)?,
        tables,
        clock,
    })
}

/// Kernels before 5.11 count maps against RLIMIT_MEMLOCK. Where the limit cannot be raised, either
/// the kernel is newer and does not ask, or making a map fails and says so.
pub(crate) fn raise_memory_limit() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
        tracing::debug!(%error, "RLIMIT_MEMLOCK stays as it is");
    }
}

fn loader<'a>(dirs: &PinDirs, sizes: &'a MapSizes) -> EbpfLoader<'a> {
    let mut loader = EbpfLoader::new();
    // Nothing in the programs depends on the kernel's types, and reading those takes a while.
    loader.btf(None);
    for name in maps::PROGRAM_MAPS {
        loader.map_pin_path(name, dirs.maps.join(name));
    }
    for (name, size) in &sizes.0 {
        loader.map_max_entries(name, *size);
    }
    loader
}

/// As the kernel has them: pinned maps keep the size they were made with.
fn capacities(tables: &ConntrackTables) -> [u32; Place::COUNT] {
    Place::ALL.map(|place| tables.capacity(place) as u32)
}

/// The map of numbers is the agent's alone, so no program brings it along.
fn create_numbers(dirs: &PinDirs, sizes: &MapSizes) -> Result<(), LoadError> {
    let path = dirs.maps.join(maps::NUMBERS);
    if path.exists() {
        return Ok(());
    }
    let size = sizes.0.get(maps::NUMBERS).copied().unwrap_or(65_536);
    syscall::create_hash::<Digest, Number>(maps::NUMBERS, size)
        .and_then(|map| syscall::object_pin(map.as_fd(), &path))
        .map_err(|source| LoadError::Pin {
            action: "create",
            path,
            source,
        })
}

fn load_program(object: &mut Ebpf, name: &'static str) -> Result<Program, LoadError> {
    let failed = |source| LoadError::Program { name, source };
    let program: &mut SchedClassifier = object
        .program_mut(name)
        .ok_or(LoadError::NoProgram(name))?
        .try_into()
        .map_err(failed)?;
    program.load().map_err(failed)?;
    let fd = program.fd().map_err(failed)?;
    Ok(Program {
        name,
        fd: fd
            .as_fd()
            .try_clone_to_owned()
            .map_err(|e| failed(e.into()))?,
        id: program.info().map_err(failed)?.id(),
    })
}

/// Opened from the pin: its size is the kernel's, not the object's.
fn open_events(dirs: &PinDirs) -> Result<RingBuf<MapData>, LoadError> {
    let name = maps::EVENTS;
    MapData::from_pin(dirs.maps.join(name))
        .and_then(Map::from_map_data)
        .and_then(RingBuf::try_from)
        .map_err(|source| LoadError::Map { name, source })
}

/// A pinned map of another size is kept: what is in force outranks what a flag asks for.
fn differing_sizes(dirs: &PinDirs, sizes: &MapSizes) -> Result<Vec<String>, LoadError> {
    let mut notes = Vec::new();
    // The agent's own map of numbers follows from the others' sizes.
    for (name, asked) in sizes.0.iter().filter(|(name, _)| **name != maps::NUMBERS) {
        let path = dirs.maps.join(name);
        let info = match syscall::object_get(&path) {
            Ok(map) => syscall::map_info(map.as_fd()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Err(error),
        };
        let there = info.map_err(|source| LoadError::Pin {
            action: "read",
            path,
            source,
        })?;
        if there.max_entries != *asked {
            notes.push(format!(
                "the map {name} has {} entries, not the {asked} asked for: it was made with that \
                 size and is in use; to resize it, stop the agent, run `netpol-agent cleanup` and \
                 start it again",
                there.max_entries
            ));
        }
    }
    Ok(notes)
}
