//! Loading the programs with small maps and without pins.

use aya::programs::SchedClassifier;
use aya::{Ebpf, EbpfLoader};
use netpol_common::conntrack::TIMEOUT_SECONDS;
use netpol_common::held::Place;
use netpol_common::maps;
use netpol_datapath::cases::{NEW_CAPACITY, REPLIED_CAPACITY};

/// What the time-outs are counted in. The kernel's own ticks may be longer, which no test notices.
pub(crate) const TICKS_PER_SECOND: u32 = 1000;

/// What differs between tests.
pub(crate) struct Sizes {
    /// Bytes of the ring buffer.
    pub(crate) ring: u32,
    pub(crate) events_per_second: u32,
    pub(crate) answers_per_second: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            ring: 1 << 16,
            events_per_second: u32::MAX,
            answers_per_second: u32::MAX,
        }
    }
}

/// The loaded programs and their maps.
pub(crate) struct Loaded {
    pub(crate) ebpf: Ebpf,
}

impl Loaded {
    /// Of the object that the agent carries.
    pub(crate) fn new(sizes: &Sizes) -> Self {
        Self::of(netpol_agent::bpf::object::OBJECT, sizes)
    }

    /// Of any object of the same maps and programs.
    pub(crate) fn of(object: &[u8], sizes: &Sizes) -> Self {
        unlock_memory();
        let timeouts = TIMEOUT_SECONDS.map(|seconds| seconds * TICKS_PER_SECOND);
        let capacities = Place::ALL.map(|place| match place {
            Place::NewV4 | Place::NewV6 => NEW_CAPACITY as u32,
            Place::RepliedV4 | Place::RepliedV6 => REPLIED_CAPACITY as u32,
        });
        let mut loader = EbpfLoader::new();
        for name in maps::PROGRAM_MAPS {
            loader.map_max_entries(name, entries(name, sizes));
        }
        loader
            .override_global(maps::TIMEOUTS, &timeouts, true)
            .override_global(maps::TICKS_PER_SECOND, &TICKS_PER_SECOND, true)
            .override_global(maps::CAPACITIES, &capacities, true)
            .override_global(maps::EVENTS_PER_SECOND, &sizes.events_per_second, true)
            .override_global(maps::ANSWERS_PER_SECOND, &sizes.answers_per_second, true);
        let mut ebpf = loader.load(object).expect("create the maps");
        for name in [maps::FROM_ENDPOINT, maps::TO_ENDPOINT, maps::CLOCK] {
            let program = ebpf.program_mut(name).expect("the object has the program");
            let program: &mut SchedClassifier = program.try_into().expect("a TC program");
            program.load().expect("the verifier accepts the program");
        }
        Self { ebpf }
    }

    pub(crate) fn program(&self, name: &str) -> &SchedClassifier {
        let program = self.ebpf.program(name).expect("the object has the program");
        program.try_into().expect("a TC program")
    }
}

/// The size of a map.
fn entries(name: &str, sizes: &Sizes) -> u32 {
    match name {
        maps::CONNTRACK_V4 | maps::CONNTRACK_V6 => REPLIED_CAPACITY as u32,
        maps::CONNTRACK_NEW_V4 | maps::CONNTRACK_NEW_V6 => NEW_CAPACITY as u32,
        maps::COUNTERS | maps::CUTS => 256,
        maps::HELD_TOTAL | maps::SWEPT_TOTAL => 1,
        maps::NOTES => netpol_common::note::PLACES,
        // The endpoint of the cases has the first slot.
        maps::FRAGMENTS => netpol_common::fragment::PLACES_PER_SLOT,
        maps::EVENTS => sizes.ring,
        maps::EVENT_LIMIT | maps::SCRATCH => 1,
        maps::ANSWER_LIMIT => netpol_common::answer::PLACES,
        _ => 64,
    }
}

/// Before 5.11 maps count against the limit of locked memory, 64 KiB by default.
fn unlock_memory() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the pointer is to a value that lives longer than the call. Where the limit cannot
    // be raised and matters, creating the maps says so.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}
