//! The kernel's maps behind the datapath's traits.

use core::arch::asm;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, from_ref};

use aya_ebpf::bindings::{BPF_EXIST, BPF_NOEXIST};
use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::maps::HashMap;
use aya_ebpf::maps::lpm_trie;
use netpol_common::conntrack::{Connection, Key4, Key6, Timeout};
use netpol_common::endpoint::{Endpoint, Slot, cache_place};
use netpol_common::event::Event;
use netpol_common::fragment::{Fragment, PLACES_PER_SLOT};
use netpol_common::held::{Held, Moves, Place, Usage, held};
use netpol_common::identity::{Address4, Address6, Prefix4, Prefix6};
use netpol_common::limit::Bucket;
use netpol_common::note::Note;
use netpol_common::policy::{Grant, PolicyKey, PortKey, PortVerdict};
use netpol_common::service::ServiceKey;
use netpol_datapath::{Connections, Inserted, Table, Tables};

use crate::{apart, maps};

/// The maps of this object.
pub(crate) struct KernelMaps;

impl Tables for KernelMaps {
    #[inline(always)]
    fn slot(&self, ifindex: u32) -> Option<u32> {
        if let Some(word) = maps::ENDPOINT_CACHE.get_ptr(cache_place(ifindex)) {
            // SAFETY: `word` is an element of an array. Volatile: the agent may write it at the same time, and it is read
            // once and whole.
            let cached = Slot::from_word(unsafe { word.read_volatile() });
            if cached.ifindex == ifindex {
                return Some(cached.slot);
            }
        }
        let found = copy(&maps::ENDPOINT, &ifindex)?;
        (found.ifindex == ifindex).then_some(found.slot)
    }

    #[inline(always)]
    fn entry(&self, slot: u32) -> Option<&Endpoint> {
        maps::ENDPOINT_ENTRIES.get(slot)
    }

    #[inline(always)]
    fn identity_v4(&self, address: &Address4) -> Option<u32> {
        copy(&maps::IDENTITY_V4, address)
    }

    #[inline(always)]
    fn identity_v6(&self, address: &Address6) -> Option<u32> {
        copy(&maps::IDENTITY_V6, address)
    }

    #[inline(always)]
    fn cidr_v4(&self, address: &Prefix4) -> Option<u32> {
        let key = from_ref(address).cast::<lpm_trie::Key<u32>>();
        // SAFETY: both types are a `struct bpf_lpm_trie_key`: prefix length, then the address.
        // Ours is aligned, so that the key is stored by words.
        maps::CIDR_V4.get(unsafe { &*key }).copied()
    }

    #[inline(always)]
    fn cidr_v6(&self, address: &Prefix6) -> Option<u32> {
        let key = from_ref(address).cast::<lpm_trie::Key<[u32; 4]>>();
        // SAFETY: as in `cidr_v4`.
        maps::CIDR_V6.get(unsafe { &*key }).copied()
    }

    #[inline(always)]
    fn policy(&self, key: &PolicyKey) -> Option<Grant> {
        copy(&maps::POLICY, key)
    }

    #[inline(always)]
    fn port(&self, key: &PortKey) -> Option<PortVerdict> {
        copy(&maps::PORTS, key)
    }

    #[inline(always)]
    fn node(&self, address: &Address6) -> Option<u32> {
        copy(&maps::NODE, address)
    }

    #[inline(always)]
    fn service(&self, key: &ServiceKey) -> Option<u32> {
        copy(&maps::SERVICE, key)
    }

    #[inline(always)]
    fn source(&self, address: &Address6) -> Option<u32> {
        copy(&maps::SOURCE, address)
    }

    #[inline(always)]
    fn note(&self, place: u32) -> Option<Note> {
        copy(&maps::NOTES, &place)
    }

    #[inline(always)]
    fn leave_note(&self, place: u32, note: &Note) {
        // Two CPUs at once may find no element left; the packet is then sent again.
        let _ = maps::NOTES.insert(place, note, 0);
    }

    #[inline(always)]
    fn drop_note(&self, place: u32) {
        // Another note may have taken its place.
        let _ = maps::NOTES.remove(place);
    }

    #[inline(always)]
    fn fragment(&self, slot: u32, place: u32) -> Option<Fragment> {
        maps::FRAGMENTS.get(element(slot, place)).copied()
    }

    #[inline(always)]
    fn leave_fragment(&self, slot: u32, place: u32, fragment: &Fragment) {
        // It fails beyond the map alone, and then there is nothing to be found either.
        let _ = maps::FRAGMENTS.set(element(slot, place), fragment, 0);
    }

    #[inline(always)]
    fn count(&self, counter: u32, bytes: u32) -> bool {
        let Some(slot) = maps::COUNTERS.get_ptr_mut(counter) else {
            return false;
        };
        // SAFETY: the slot is this CPU's own, and a TC program runs on it to its end.
        unsafe {
            (*slot).packets += 1;
            (*slot).bytes += u64::from(bytes);
        }
        true
    }

    #[inline(always)]
    fn count_cut(&self, counter: u32) -> bool {
        let Some(cuts) = maps::CUTS.get_ptr_mut(counter) else {
            return false;
        };
        // SAFETY: `cuts` is an element of an array.
        unsafe { add_one(cuts) };
        true
    }

    #[inline(always)]
    fn emit(&self, event: &Event) -> bool {
        let Some(mut record) = maps::EVENTS.reserve::<MaybeUninit<Event>>(0) else {
            return false;
        };
        record.write(MaybeUninit::new(*event));
        record.submit(0);
        true
    }

    #[inline(always)]
    fn event_limit(&self) -> Option<Bucket> {
        maps::EVENT_LIMIT.get(0).copied()
    }

    #[inline(always)]
    fn set_event_limit(&self, limit: Bucket) {
        if let Some(slot) = maps::EVENT_LIMIT.get_ptr_mut(0) {
            // SAFETY: as in `count`.
            unsafe { *slot = limit };
        }
    }

    #[inline(always)]
    fn keep(&self, words: [u32; 2]) {
        if let Some(slot) = maps::SCRATCH.get_ptr_mut(0) {
            // SAFETY: as in `count`.
            unsafe { slot.write(words) };
        }
    }

    #[inline(always)]
    fn answer_limit(&self, place: u32) -> Option<Bucket> {
        maps::ANSWER_LIMIT.get(place).copied()
    }

    #[inline(always)]
    fn set_answer_limit(&self, place: u32, limit: Bucket) {
        if let Some(slot) = maps::ANSWER_LIMIT.get_ptr_mut(place) {
            // SAFETY: the map's memory lives as long as the map, and every value of it is a valid
            // `Bucket`. Another CPU may write at the same time: one of the two is lost.
            unsafe { slot.write(limit) };
        }
    }

    #[inline(always)]
    fn kept(&self) -> [u32; 2] {
        // The map has the element; were it not there, zero is nothing that passes.
        maps::SCRATCH.get(0).copied().unwrap_or([0; 2])
    }

    #[inline(always)]
    fn judge_v4(&self, slot: u32, remote: u32, opening: u32) -> u64 {
        apart::netpol_judge_v4(slot, remote, opening)
    }

    #[inline(always)]
    fn judge_v6(&self, slot: u32, remote: [u32; 4], opening: u32) -> u64 {
        let half = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let [a, b, c, d] = remote;
        apart::netpol_judge_v6(slot, half(a, b), half(c, d), opening)
    }

    #[inline(always)]
    fn ticks(&self) -> u32 {
        // SAFETY: the helper has no arguments and only reads the clock.
        (unsafe { bpf_jiffies64() }) as u32
    }

    #[inline(always)]
    fn ticks_per_second(&self) -> u32 {
        maps::TICKS_PER_SECOND.load()
    }

    #[inline(always)]
    fn timeout(&self, class: Timeout) -> u32 {
        let first = (&raw const maps::TIMEOUTS).cast::<u32>();
        // SAFETY: a class is an index of the array. Volatile, since the loader patches it.
        unsafe { first.add(class as usize).read_volatile() }
    }

    #[inline(always)]
    fn events_per_second(&self) -> u32 {
        maps::EVENTS_PER_SECOND.load()
    }

    #[inline(always)]
    fn answers_per_second(&self) -> u32 {
        maps::ANSWERS_PER_SECOND.load()
    }

    #[cfg(feature = "log")]
    #[inline(always)]
    fn trace(&self, event: impl FnOnce() -> Event) {
        crate::log::verdict(&event());
    }
}

/// A copy of a map's value.
#[inline(always)]
fn copy<K, V: Copy>(map: &HashMap<K, V>, key: &K) -> Option<V> {
    // SAFETY: an element lives at least as long as this run of the program (RCU).
    unsafe { map.get(key) }.copied()
}

/// Where the map of fragments has a place of an endpoint.
#[inline(always)]
const fn element(slot: u32, place: u32) -> u32 {
    slot.wrapping_mul(PLACES_PER_SLOT).wrapping_add(place)
}

/// The two conntrack maps of a family.
trait Family: Sized + 'static {
    fn map(table: Table) -> &'static HashMap<Self, Connection>;
    fn place(table: Table) -> Place;
    fn endpoint(&self) -> u32;
}

impl Family for Key4 {
    #[inline(always)]
    fn map(table: Table) -> &'static HashMap<Self, Connection> {
        match table {
            Table::Replied => &maps::CONNTRACK_V4,
            Table::New => &maps::CONNTRACK_NEW_V4,
        }
    }

    #[inline(always)]
    fn place(table: Table) -> Place {
        match table {
            Table::Replied => Place::RepliedV4,
            Table::New => Place::NewV4,
        }
    }

    #[inline(always)]
    fn endpoint(&self) -> u32 {
        self.endpoint
    }
}

impl Family for Key6 {
    #[inline(always)]
    fn map(table: Table) -> &'static HashMap<Self, Connection> {
        match table {
            Table::Replied => &maps::CONNTRACK_V6,
            Table::New => &maps::CONNTRACK_NEW_V6,
        }
    }

    #[inline(always)]
    fn place(table: Table) -> Place {
        match table {
            Table::Replied => Place::RepliedV6,
            Table::New => Place::NewV6,
        }
    }

    #[inline(always)]
    fn endpoint(&self) -> u32 {
        self.endpoint
    }
}

impl<K: Family> Connections<K> for KernelMaps {
    type Place = NonNull<Connection>;

    #[inline(always)]
    fn find(&self, table: Table, key: &K) -> Option<(Connection, Self::Place)> {
        let place = NonNull::new(K::map(table).get_ptr_mut(key)?)?;
        // SAFETY: the map's memory lives as long as the map. The element may be given to another
        // key meanwhile; every value of it is a valid `Connection`.
        Some((unsafe { place.read() }, place))
    }

    #[inline(always)]
    fn touch(&self, place: Self::Place, ticks: u32) {
        // SAFETY: as in `find`. Should the element be another connection's by now, that one was
        // just created, and `ticks` is as good a time for it.
        unsafe { (*place.as_ptr()).last_seen = ticks };
    }

    #[inline(always)]
    fn insert(&self, table: Table, key: &K, connection: &Connection) -> Inserted {
        match K::map(table).insert(key, connection, u64::from(BPF_NOEXIST)) {
            Ok(()) => {
                count_for(key.endpoint(), |held| {
                    // SAFETY: `held` points at an element, as `count_for` says.
                    unsafe { &raw mut (*held).tables[K::place(table) as usize].opened }
                });
                Inserted::Created
            }
            Err(EEXIST) => Inserted::There,
            Err(_) => Inserted::Full,
        }
    }

    #[inline(always)]
    fn replace(&self, table: Table, key: &K, connection: &Connection) -> bool {
        K::map(table)
            .insert(key, connection, u64::from(BPF_EXIST))
            .is_ok()
    }

    #[inline(always)]
    fn remove(&self, table: Table, key: &K) {
        // Another CPU, or the agent, may have been faster: then they count it.
        if K::map(table).remove(key).is_ok() {
            count_for(key.endpoint(), |held| {
                // SAFETY: as in `insert`.
                unsafe { &raw mut (*held).tables[K::place(table) as usize].closed }
            });
        }
    }

    #[inline(always)]
    fn usage(&self, table: Table, key: &K) -> Option<Usage> {
        let place = K::place(table) as usize;
        let endpoint = key.endpoint();
        let own = maps::HELD.get_ptr(endpoint)?;
        let all = maps::HELD_TOTAL.get_ptr(0)?;
        // SAFETY: both point at elements; other CPUs add to them, and each number is read whole.
        let (own, all) = unsafe { (moves(own, place), moves(all, place)) };
        // SAFETY: as in `copy`.
        let swept = unsafe { maps::SWEPT.get(endpoint) }?.tables[place];
        let swept_total = maps::SWEPT_TOTAL.get(0)?.tables[place];
        let first = (&raw const maps::CAPACITIES).cast::<u32>();
        // SAFETY: a place is an index of the array. Volatile, since the loader patches it.
        let capacity = unsafe { first.add(place).read_volatile() };
        Some(Usage {
            own: held(own, swept),
            all: held(all, swept_total),
            capacity: u64::from(capacity),
            most: match table {
                Table::New => u64::from(maps::NEW_PER_ENDPOINT.load()),
                Table::Replied => u64::MAX,
            },
        })
    }

    #[inline(always)]
    fn refuse(&self, key: &K) {
        count_for(key.endpoint(), |held| {
            // SAFETY: as in `insert`.
            unsafe { &raw mut (*held).refused }
        });
    }
}

/// What `bpf_map_update_elem` returns for a key that is there.
const EEXIST: i32 = -17;

/// What came and went in a table.
///
/// # Safety
///
/// `held` points at an element.
#[inline(always)]
unsafe fn moves(held: *const Held, place: usize) -> Moves {
    // SAFETY: by this function's contract. Volatile: others write at the same time.
    unsafe {
        let moves = &raw const (*held).tables[place];
        Moves {
            opened: (&raw const (*moves).opened).read_volatile(),
            closed: (&raw const (*moves).closed).read_volatile(),
        }
    }
}

/// Adds one to a number of an endpoint, and to that of all of them. `number` is given a pointer to
/// an element. An endpoint that has just gone has none.
#[inline(always)]
fn count_for(endpoint: u32, number: impl Fn(*mut Held) -> *mut u64) {
    if let Some(held) = maps::HELD.get_ptr_mut(endpoint) {
        // SAFETY: the number is one of the element.
        unsafe { add_one(number(held)) };
    }
    if let Some(held) = maps::HELD_TOTAL.get_ptr_mut(0) {
        // SAFETY: the number is one of the element.
        unsafe { add_one(number(held)) };
    }
}

/// Adds one to a number that other CPUs add to.
///
/// By assembly: the atomic operation that returns nothing, the one that kernels before 5.12 have,
/// has no name in Rust.
///
/// # Safety
///
/// `number` is in an element of a map.
#[inline(always)]
unsafe fn add_one(number: *mut u64) {
    // SAFETY: by this function's contract; the verifier checks it.
    unsafe {
        asm!(
            "lock *(u64 *)({number} + 0) += {one}",
            number = in(reg) number,
            one = in(reg) 1_u64,
            options(nostack),
        );
    }
}
