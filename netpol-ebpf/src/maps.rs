//! The maps and globals, under the names of [`netpol_common::maps`]. The agent sets the sizes
//! when it loads the programs; those here are the defaults.
//!
//! What the agent writes is allocated as it is used (`BPF_F_NO_PREALLOC`). Conntrack is allocated
//! in advance: an insert in the packet path must not wait for memory.

use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LpmTrie, PerCpuArray, RingBuf};
use netpol_common::answer;
use netpol_common::conntrack::{Connection, Key4, Key6, TIMEOUT_SECONDS};
use netpol_common::counter::Counter;
use netpol_common::endpoint::{CACHE_PLACES, Endpoint, Slot};
use netpol_common::fragment::{Fragment, PLACES_PER_SLOT};
use netpol_common::held::{Held, Place, Swept};
use netpol_common::identity::{Address4, Address6};
use netpol_common::limit::Bucket;
use netpol_common::note::{Note, PLACES};
use netpol_common::policy::{Grant, PolicyKey, PortKey, PortVerdict};
use netpol_common::service::ServiceKey;
use netpol_datapath::Answer;

#[map]
pub(crate) static ENDPOINT: HashMap<u32, Slot> = HashMap::with_max_entries(1024, BPF_F_NO_PREALLOC);
/// The agent writes it in memory that it shares with the kernel.
#[map]
pub(crate) static ENDPOINT_CACHE: Array<u64> =
    Array::with_max_entries(CACHE_PLACES, BPF_F_MMAPABLE);
#[map]
pub(crate) static ENDPOINT_ENTRIES: Array<Endpoint> = Array::with_max_entries(1024, 0);
#[map]
pub(crate) static IDENTITY_V4: HashMap<Address4, u32> =
    HashMap::with_max_entries(131_072, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static IDENTITY_V6: HashMap<Address6, u32> =
    HashMap::with_max_entries(131_072, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static CIDR_V4: LpmTrie<u32, u32> = LpmTrie::with_max_entries(16_384, 0);
#[map]
pub(crate) static CIDR_V6: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(16_384, 0);
#[map]
pub(crate) static POLICY: HashMap<PolicyKey, Grant> =
    HashMap::with_max_entries(262_144, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static PORTS: HashMap<PortKey, PortVerdict> =
    HashMap::with_max_entries(131_072, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static NODE: HashMap<Address6, u32> =
    HashMap::with_max_entries(32_768, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static SERVICE: HashMap<ServiceKey, u32> =
    HashMap::with_max_entries(131_072, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static SOURCE: HashMap<Address6, u32> =
    HashMap::with_max_entries(262_144, BPF_F_NO_PREALLOC);
/// Allocated in advance, as conntrack is: one element a place, and some for replacing them.
#[map]
pub(crate) static NOTES: HashMap<u32, Note> = HashMap::with_max_entries(PLACES, 0);
#[map]
pub(crate) static FRAGMENTS: Array<Fragment> = Array::with_max_entries(1024 * PLACES_PER_SLOT, 0);
#[map]
pub(crate) static CONNTRACK_V4: HashMap<Key4, Connection> = HashMap::with_max_entries(262_144, 0);
#[map]
pub(crate) static CONNTRACK_V6: HashMap<Key6, Connection> = HashMap::with_max_entries(65_536, 0);
#[map]
pub(crate) static CONNTRACK_NEW_V4: HashMap<Key4, Connection> =
    HashMap::with_max_entries(65_536, 0);
#[map]
pub(crate) static CONNTRACK_NEW_V6: HashMap<Key6, Connection> =
    HashMap::with_max_entries(16_384, 0);
/// Allocated in advance: a program may add to an element that has just been removed, and must then
/// meet a counter of another endpoint, not another map's memory.
#[map]
pub(crate) static HELD: HashMap<u32, Held> = HashMap::with_max_entries(1024, 0);
#[map]
pub(crate) static HELD_TOTAL: Array<Held> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static SWEPT: HashMap<u32, Swept> = HashMap::with_max_entries(1024, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static SWEPT_TOTAL: Array<Swept> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static CUTS: Array<u64> = Array::with_max_entries(16_384, 0);
#[map]
pub(crate) static COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(16_384, 0);
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
#[map]
pub(crate) static EVENT_LIMIT: PerCpuArray<Bucket> = PerCpuArray::with_max_entries(1, 0);
/// What a run of a program keeps for itself; of no meaning afterwards.
#[map]
pub(crate) static SCRATCH: PerCpuArray<[u32; 2]> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub(crate) static ANSWER_LIMIT: Array<Bucket> = Array::with_max_entries(answer::PLACES, 0);

/// Where an answer is put together: it is too large for the stack. Each program has its own.
#[map]
pub(crate) static ANSWER: PerCpuArray<Answer> = PerCpuArray::with_max_entries(1, 0);

/// `CONFIG_HZ` of most distributions; the agent writes the kernel's own.
const DEFAULT_TICKS_PER_SECOND: u32 = 250;

/// Idle time-outs in ticks, by [`netpol_common::conntrack::Timeout`].
#[unsafe(no_mangle)]
pub(crate) static TIMEOUTS: Global<[u32; TIMEOUT_SECONDS.len()]> = Global::new(default_timeouts());
#[unsafe(no_mangle)]
pub(crate) static TICKS_PER_SECOND: Global<u32> = Global::new(DEFAULT_TICKS_PER_SECOND);
/// Entries of the conntrack maps, by [`Place`].
#[unsafe(no_mangle)]
pub(crate) static CAPACITIES: Global<[u32; Place::COUNT]> =
    Global::new([65_536, 16_384, 262_144, 65_536]);
#[unsafe(no_mangle)]
pub(crate) static NEW_PER_ENDPOINT: Global<u32> = Global::new(u32::MAX);
#[unsafe(no_mangle)]
pub(crate) static EVENTS_PER_SECOND: Global<u32> = Global::new(1000);
#[unsafe(no_mangle)]
pub(crate) static ANSWERS_PER_SECOND: Global<u32> = Global::new(100);

const fn default_timeouts() -> [u32; TIMEOUT_SECONDS.len()] {
    let mut ticks = TIMEOUT_SECONDS;
    let mut class = 0;
    while class < ticks.len() {
        ticks[class] *= DEFAULT_TICKS_PER_SECOND;
        class += 1;
    }
    ticks
}
