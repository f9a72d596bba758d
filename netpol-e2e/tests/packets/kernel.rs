//! The loaded programs as a subject of the packet table.

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::{ProgramError, TestRun as _, TestRunOptions};
use netpol_common::address::{v4_word, v6_words};
use netpol_common::conntrack::Connection;
use netpol_common::counter::Counter;
use netpol_common::endpoint::{CACHE_PLACES, Endpoint, Slot, cache_place};
use netpol_common::event::Event;
use netpol_common::fragment::Fragment;
use netpol_common::held::{self, Held, Place, Swept};
use netpol_common::note::Note;
use netpol_common::{Direction, maps};
use netpol_datapath::cases::{
    Holding, IFINDEX, OTHER_IFINDEX, OtherKey, Setup, Subject, Tracked, node_key,
};
use netpol_datapath::{Decision, Table};
use std::net::IpAddr;

use crate::load::{Loaded, TICKS_PER_SECOND};

/// What a program returns: `TC_ACT_UNSPEC`, which is also `TCX_NEXT`, and `TC_ACT_SHOT`.
const NEXT: i32 = -1;
const SHOT: i32 = 2;
/// What it returns for a packet that was made its own answer: `TC_ACT_REDIRECT`.
const REDIRECT: i32 = 7;

/// Words of a [`Held`].
const HELD: usize = size_of::<Held>() / 4;

/// A value as words.
fn words<T: bytemuck::Pod, const N: usize>(value: T) -> [u32; N] {
    bytemuck::cast(value)
}

fn map_of(place: Place) -> &'static str {
    match place {
        Place::NewV4 => maps::CONNTRACK_NEW_V4,
        Place::NewV6 => maps::CONNTRACK_NEW_V6,
        Place::RepliedV4 => maps::CONNTRACK_V4,
        Place::RepliedV6 => maps::CONNTRACK_V6,
    }
}

/// A map with keys of `K` words and values of `V`.
type Words<'a, const K: usize, const V: usize> = HashMap<&'a mut MapData, [u32; K], [u32; V]>;

/// The programs and their maps.
pub(crate) struct Kernel {
    loaded: Loaded,
    events: RingBuf<MapData>,
    answer: Option<Vec<u8>>,
    /// Whether the endpoint is in the cache before its index.
    cached: bool,
    /// How many packets went through `BPF_PROG_TEST_RUN`.
    pub(crate) runs: u64,
}

impl Kernel {
    pub(crate) fn new(mut loaded: Loaded) -> Self {
        let events = loaded.ebpf.take_map(maps::EVENTS).expect("the map");
        Self {
            loaded,
            events: RingBuf::try_from(events).expect("a ring buffer"),
            answer: None,
            cached: false,
            runs: 0,
        }
    }

    fn map(&mut self, name: &str) -> &mut Map {
        self.loaded.ebpf.map_mut(name).expect("the map")
    }

    fn words<const K: usize, const V: usize>(&mut self, name: &str) -> Words<'_, K, V> {
        HashMap::try_from(self.map(name)).expect("a hash map of these sizes")
    }

    fn put<const K: usize, const V: usize>(&mut self, name: &str, key: [u32; K], value: [u32; V]) {
        let mut map = self.words(name);
        map.insert(key, value, 0).expect("the map has room");
    }

    fn entries<const K: usize, const V: usize>(&mut self, name: &str) -> Vec<([u32; K], [u32; V])> {
        let map = self.words(name);
        map.iter()
            .map(|entry| entry.expect("read the map"))
            .collect()
    }

    fn clear<const K: usize, const V: usize>(&mut self, name: &str) {
        for (key, _) in self.entries::<K, V>(name) {
            self.words::<K, V>(name).remove(&key).expect("remove a key");
        }
    }

    fn cache(&mut self, word: u64) {
        let cache = self.map(maps::ENDPOINT_CACHE);
        let mut cache: Array<_, u64> = cache.try_into().expect("an array of words");
        let place = cache_place(IFINDEX);
        cache.set(place, word, 0).expect("write a place");
    }

    fn clear_all(&mut self) {
        self.clear::<1, 2>(maps::ENDPOINT);
        self.cache(0);
        self.clear::<1, 1>(maps::IDENTITY_V4);
        self.clear::<4, 1>(maps::IDENTITY_V6);
        self.clear::<2, 3>(maps::POLICY);
        self.clear::<2, 2>(maps::PORTS);
        self.clear::<4, 1>(maps::NODE);
        self.clear::<5, 1>(maps::SERVICE);
        self.clear::<4, 1>(maps::SOURCE);
        self.clear::<1, 5>(maps::NOTES);
        for ifindex in [IFINDEX, OTHER_IFINDEX] {
            self.put::<1, HELD>(maps::HELD, [ifindex], words(Held::default()));
            self.put::<1, 8>(maps::SWEPT, [ifindex], words(Swept::default()));
        }
        self.set_total(Held::default());
        self.clear::<4, 4>(maps::CONNTRACK_V4);
        self.clear::<4, 4>(maps::CONNTRACK_NEW_V4);
        self.clear::<7, 4>(maps::CONNTRACK_V6);
        self.clear::<7, 4>(maps::CONNTRACK_NEW_V6);
        self.change_fragments(|fragment| *fragment = Fragment::default());
        self.clear_prefixes::<1>(maps::CIDR_V4);
        self.clear_prefixes::<4>(maps::CIDR_V6);
    }

    fn set_total(&mut self, held: Held) {
        let map = Array::<_, [u32; HELD]>::try_from(self.map(maps::HELD_TOTAL));
        let mut map = map.expect("an array");
        map.set(0, words(held), 0).expect("write the sum");
    }

    /// Connections of another endpoint, with the counts that its packets would have left.
    fn put_others(&mut self, setup: &Setup) {
        let mut held = Held::default();
        for other in setup.others.connections() {
            let value = bytemuck::cast(other.connection);
            let (place, key) = match (other.key, other.table) {
                (OtherKey::V4(key), Table::New) => (Place::NewV4, Err(key)),
                (OtherKey::V4(key), Table::Replied) => (Place::RepliedV4, Err(key)),
                (OtherKey::V6(key), Table::New) => (Place::NewV6, Ok(key)),
                (OtherKey::V6(key), Table::Replied) => (Place::RepliedV6, Ok(key)),
            };
            match key {
                Ok(key) => self.put::<7, 4>(map_of(place), bytemuck::cast(key), value),
                Err(key) => self.put::<4, 4>(map_of(place), bytemuck::cast(key), value),
            }
            held.tables[place as usize].opened += 1;
        }
        self.put::<1, HELD>(maps::HELD, [OTHER_IFINDEX], words(held));
        self.set_total(held);
    }

    fn held(&mut self) -> (Held, Held) {
        let own = self.words::<1, HELD>(maps::HELD).get(&[IFINDEX], 0);
        let own = own.expect("the endpoint's counts");
        let all = Array::<_, [u32; HELD]>::try_from(self.map(maps::HELD_TOTAL));
        let all = all.expect("an array").get(&0, 0).expect("the sum");
        (
            bytemuck::pod_read_unaligned(bytemuck::cast_slice(&own)),
            bytemuck::pod_read_unaligned(bytemuck::cast_slice(&all)),
        )
    }

    fn clear_prefixes<const N: usize>(&mut self, name: &str) {
        let mut map: LpmTrie<_, [u32; N], u32> =
            LpmTrie::try_from(self.map(name)).expect("a prefix map");
        let keys: Vec<_> = map.keys().map(|key| key.expect("read the map")).collect();
        for key in keys {
            map.remove(&key).expect("remove a prefix");
        }
    }

    fn put_prefix<const N: usize>(
        &mut self,
        name: &str,
        length: u32,
        words: [u32; N],
        identity: u32,
    ) {
        let mut map: LpmTrie<_, [u32; N], u32> =
            LpmTrie::try_from(self.map(name)).expect("a prefix map");
        map.insert(&Key::new(length, words), identity, 0)
            .expect("the map has room");
    }

    /// Makes the connections of a map older, since the kernel's clock cannot be set.
    fn age<const K: usize>(&mut self, name: &str, ticks: u32) {
        for (key, value) in self.entries::<K, 4>(name) {
            let mut connection: Connection = bytemuck::cast(value);
            connection.last_seen = connection.last_seen.wrapping_sub(ticks);
            self.put::<K, 4>(name, key, bytemuck::cast(connection));
        }
    }

    /// Changes every first fragment that is noted.
    fn change_fragments(&mut self, change: impl Fn(&mut Fragment)) {
        let map = self.map(maps::FRAGMENTS);
        let mut map: Array<_, [u32; 12]> = map.try_into().expect("an array of fragments");
        for place in 0..map.len() {
            let mut fragment: Fragment = bytemuck::cast(map.get(&place, 0).expect("read a place"));
            if fragment == Fragment::default() {
                continue;
            }
            change(&mut fragment);
            let words: [u32; 12] = bytemuck::cast(fragment);
            map.set(place, words, 0).expect("write a place");
        }
    }

    fn tracked<const K: usize>(&mut self, table: Table, name: &str) -> Vec<Tracked> {
        self.entries::<K, 4>(name)
            .into_iter()
            .map(|(key, value)| Tracked::new(table, &key, &bytemuck::cast(value)))
            .collect()
    }

    /// Judges a packet of which only the Ethernet and IP headers are in the linear part.
    pub(crate) fn judge_in_pages(
        &mut self,
        direction: Direction,
        frame: &[u8],
    ) -> Result<Decision, ProgramError> {
        // `data_end` of the context says how much is linear, from Linux 6.19 on.
        let linear = shortest(frame) as u32;
        let mut context = [0_u8; SK_BUFF];
        context[DATA_END..DATA_END + 4].copy_from_slice(&linear.to_ne_bytes());
        self.run(direction, frame, Some(&context))
    }

    fn run(
        &mut self,
        direction: Direction,
        frame: &[u8],
        context: Option<&[u8]>,
    ) -> Result<Decision, ProgramError> {
        let name = match direction {
            Direction::Egress => maps::FROM_ENDPOINT,
            Direction::Ingress => maps::TO_ENDPOINT,
        };
        let mut out = vec![0; frame.len().max(LONGEST_ANSWER)];
        let mut context_out = context.map(<[u8]>::to_vec);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: context,
            ctx_out: context_out.as_deref_mut(),
            ..TestRunOptions::new()
        };
        let run = self.loaded.program(name).test_run(options)?;
        self.runs += 1;
        Ok(match run.return_value as i32 {
            NEXT if mark_of(context) != mark_of(context_out.as_deref()) => Decision::Answer,
            NEXT => Decision::Next,
            SHOT => Decision::Drop,
            REDIRECT => {
                out.truncate(run.data_size_out as usize);
                self.answer = Some(out);
                Decision::Reject
            }
            other => panic!("the program returned {other}"),
        })
    }
}

/// Size of `struct __sk_buff` up to and with `data_end`, and where that is.
const SK_BUFF: usize = 192;
const DATA_END: usize = 80;
/// Where its mark is.
const MARK: usize = 8;

/// The mark of a context.
fn mark_of(context: Option<&[u8]>) -> Option<&[u8]> {
    context.and_then(|bytes| bytes.get(MARK..MARK + 4))
}

/// Room for an answer that is longer than what it answers.
const LONGEST_ANSWER: usize = 128;

impl Subject for Kernel {
    fn set_up(&mut self, setup: &Setup) {
        self.clear_all();
        if let Some(endpoint) = &setup.endpoint {
            self.switch(endpoint);
        }
        for &(address, identity) in &setup.identities {
            match address {
                IpAddr::V4(a) => self.put(maps::IDENTITY_V4, [v4_word(a)], [identity]),
                IpAddr::V6(a) => self.put(maps::IDENTITY_V6, v6_words(a), [identity]),
            }
        }
        for &(address, length, identity) in &setup.prefixes {
            match address {
                IpAddr::V4(a) => self.put_prefix(maps::CIDR_V4, length, [v4_word(a)], identity),
                IpAddr::V6(a) => self.put_prefix(maps::CIDR_V6, length, v6_words(a), identity),
            }
        }
        for (key, grant) in &setup.grants {
            self.put::<2, 3>(maps::POLICY, bytemuck::cast(*key), bytemuck::cast(*grant));
        }
        for (key, verdict) in &setup.ports {
            self.put::<2, 2>(maps::PORTS, bytemuck::cast(*key), bytemuck::cast(*verdict));
        }
        for node in &setup.nodes {
            self.put(maps::NODE, node_key(*node).words, [maps::OWN_NODE]);
        }
        for node in &setup.other_nodes {
            self.put(maps::NODE, node_key(*node).words, [maps::OTHER_NODE]);
        }
        for (key, identity) in &setup.services {
            self.put::<5, 1>(maps::SERVICE, bytemuck::cast(*key), [*identity]);
        }
        for (address, identity) in &setup.sources {
            self.put(maps::SOURCE, node_key(*address).words, [*identity]);
        }
        self.put_others(setup);
    }

    fn switch(&mut self, endpoint: &Endpoint) {
        // No program runs meanwhile, so the one slot may be written again.
        let entries = self.map(maps::ENDPOINT_ENTRIES);
        let mut entries: Array<_, [u32; 21]> = entries.try_into().expect("an array of entries");
        let entry: [u32; 21] = bytemuck::cast(*endpoint);
        entries.set(0, entry, 0).expect("write the entry");
        self.put::<1, 2>(maps::ENDPOINT, [IFINDEX], [0, IFINDEX]);
        // Every other time it has its place in the cache; or another has it, whose entry would judge otherwise.
        self.cached = !self.cached;
        let cached = match self.cached {
            true => Slot {
                slot: 0,
                ifindex: IFINDEX,
            },
            false => Slot {
                slot: 1,
                ifindex: IFINDEX + CACHE_PLACES,
            },
        };
        self.cache(cached.word());
    }

    fn forget_nodes(&mut self) {
        self.clear::<4, 1>(maps::NODE);
    }

    fn wait(&mut self, seconds: u32) {
        let ticks = seconds * TICKS_PER_SECOND;
        self.age::<4>(maps::CONNTRACK_V4, ticks);
        self.age::<4>(maps::CONNTRACK_NEW_V4, ticks);
        self.age::<7>(maps::CONNTRACK_V6, ticks);
        self.age::<7>(maps::CONNTRACK_NEW_V6, ticks);
        self.change_fragments(|fragment| {
            fragment.ticks = fragment.ticks.wrapping_sub(ticks);
            fragment.seal = fragment.digest();
        });
        for (place, value) in self.entries::<1, 5>(maps::NOTES) {
            let mut note: Note = bytemuck::cast(value);
            note.ticks = note.ticks.wrapping_sub(ticks);
            self.put::<1, 5>(maps::NOTES, place, bytemuck::cast(note));
        }
    }

    fn judge_marked(
        &mut self,
        direction: Direction,
        frame: &[u8],
        _local_socket: bool,
        mark: u32,
    ) -> Option<Decision> {
        let mut context = [0; SK_BUFF];
        context[MARK..MARK + 4].copy_from_slice(&mark.to_ne_bytes());
        match self.run(direction, frame, (mark != 0).then_some(&context)) {
            Ok(decision) => Some(decision),
            Err(error) if frame.len() < shortest(frame) && is_invalid(&error) => None,
            Err(error) => panic!("{} bytes: {error:?}", frame.len()),
        }
    }

    fn answer(&mut self) -> Option<Vec<u8>> {
        self.answer.clone()
    }

    fn counter(&mut self, number: u32) -> Counter {
        let map = PerCpuArray::<_, [u64; 2]>::try_from(self.map(maps::COUNTERS));
        let values = map
            .expect("an array of counters")
            .get(&number, 0)
            .expect("read a counter");
        values
            .iter()
            .fold(Counter::default(), |sum, value| Counter {
                packets: sum.packets + value[0],
                bytes: sum.bytes + value[1],
            })
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(record) = self.events.next() {
            events.push(bytemuck::pod_read_unaligned(&record));
        }
        events
    }

    fn holding(&mut self) -> Holding {
        let (own, all) = self.held();
        let count = |held: Held| held.tables.map(|moves| held::held(moves, 0));
        Holding {
            own: count(own),
            all: count(all),
            refused: own.refused,
        }
    }

    fn cuts(&mut self, number: u32) -> u64 {
        let map = Array::<_, u64>::try_from(self.map(maps::CUTS));
        map.expect("an array").get(&number, 0).expect("read cuts")
    }

    fn connections(&mut self) -> Vec<Tracked> {
        let mut all = self.tracked::<4>(Table::Replied, maps::CONNTRACK_V4);
        all.extend(self.tracked::<7>(Table::Replied, maps::CONNTRACK_V6));
        all.extend(self.tracked::<4>(Table::New, maps::CONNTRACK_NEW_V4));
        all.extend(self.tracked::<7>(Table::New, maps::CONNTRACK_NEW_V6));
        all.sort_unstable();
        all
    }
}

/// The shortest frame of which every kernel's test run makes a packet: with an Ethernet header and
/// one byte; later kernels (6.18 is one) want the whole of an IP header too.
fn shortest(frame: &[u8]) -> usize {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => 14 + 20,
        Some([0x86, 0xdd]) => 14 + 40,
        _ => 15,
    }
}

fn is_invalid(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(error)
        if error.io_error.raw_os_error() == Some(libc::EINVAL))
}
