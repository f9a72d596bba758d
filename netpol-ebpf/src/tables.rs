//! The kernel's maps behind the datapath's traits.

use core::mem::MaybeUninit;
use core::ptr::{NonNull, from_ref};

use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::maps::HashMap;
use aya_ebpf::maps::lpm_trie;
use netpol_common::conntrack::{Connection, Key4, Key6, Timeout};
use netpol_common::endpoint::Endpoint;
use netpol_common::event::{Event, EventLimit};
use netpol_common::identity::{Address4, Address6, Prefix4, Prefix6};
use netpol_common::note::Note;
use netpol_common::policy::{Grant, PolicyKey, PortKey, PortVerdict};
use netpol_common::service::ServiceKey;
use netpol_datapath::{Connections, Table, Tables};

use crate::maps;

/// The maps of this object.
pub(crate) struct KernelMaps;

impl Tables for KernelMaps {
    #[inline(always)]
    fn endpoint(&self, ifindex: u32) -> Option<&Endpoint> {
        let place = copy(&maps::ENDPOINT, &ifindex)?;
        if place.ifindex != ifindex {
            return None;
        }
        maps::ENDPOINT_ENTRIES.get(place.slot)
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
    fn emit(&self, event: &Event) -> bool {
        let Some(mut record) = maps::EVENTS.reserve::<MaybeUninit<Event>>(0) else {
            return false;
        };
        record.write(MaybeUninit::new(*event));
        record.submit(0);
        true
    }

    #[inline(always)]
    fn event_limit(&self) -> Option<EventLimit> {
        maps::EVENT_LIMIT.get(0).copied()
    }

    #[inline(always)]
    fn set_event_limit(&self, limit: EventLimit) {
        if let Some(slot) = maps::EVENT_LIMIT.get_ptr_mut(0) {
            // SAFETY: as in `count`.
            unsafe { *slot = limit };
        }
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

/// The two conntrack maps of a family.
trait Family: Sized + 'static {
    fn map(table: Table) -> &'static HashMap<Self, Connection>;
}

impl Family for Key4 {
    #[inline(always)]
    fn map(table: Table) -> &'static HashMap<Self, Connection> {
        match table {
            Table::Replied => &maps::CONNTRACK_V4,
            Table::New => &maps::CONNTRACK_NEW_V4,
        }
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
    fn put(&self, table: Table, key: &K, connection: &Connection) -> bool {
        K::map(table).insert(key, connection, 0).is_ok()
    }

    #[inline(always)]
    fn remove(&self, table: Table, key: &K) {
        // Another CPU may have been faster.
        let _ = K::map(table).remove(key);
    }
}
