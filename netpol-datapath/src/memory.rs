//! The maps in memory, for tests and for offline evaluation.
//!
//! [`Memory`] holds what the kernel's maps hold, under the same keys, with the same limits. What
//! the agent writes is public; what the programs write is read through methods. The clock stands
//! still until it is set. Not for several threads at once: one [`Memory`] each.

mod connections;
mod hash;
mod packet;
mod prefix;

use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::vec::Vec;

pub use hash::{Full, HashTable};
pub use packet::SlicePacket;
pub use prefix::{Prefix, PrefixTable};

use netpol_common::answer;
use netpol_common::conntrack::{Connection, Key4, Key6, TIMEOUT_SECONDS, Timeout};
use netpol_common::counter::Counter;
use netpol_common::endpoint::Endpoint;
use netpol_common::event::Event;
use netpol_common::fragment::{Fragment, PLACES_PER_SLOT};
use netpol_common::identity::{Address4, Address6, Prefix4, Prefix6};
use netpol_common::limit::Bucket;
use netpol_common::note::{Note, PLACES};
use netpol_common::policy::{Grant, PolicyKey, PortKey, PortVerdict};
use netpol_common::service::ServiceKey;

use crate::{Table, Tables};
use connections::Conntrack;

/// Ticks a second of [`Memory`]'s clock.
pub const TICKS_PER_SECOND: u32 = 250;

/// Where the clock starts: five minutes before its low half wraps, as Linux does it, so that
/// whoever mishandles the wrap learns of it.
const INITIAL_TICKS: u32 = 0_u32.wrapping_sub(300 * TICKS_PER_SECOND);

/// How many entries the maps hold at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Every map that the agent writes.
    pub agent: usize,
    /// Connections that have seen a reply, of each family.
    pub replied: usize,
    /// Connections that have not, of each family.
    pub new: usize,
    /// Of these, how many one endpoint may hold, however much is free.
    pub new_per_endpoint: usize,
    /// Counters; numbers from here on are not counted.
    pub counters: usize,
    /// Events that nobody has taken yet.
    pub events: usize,
}

impl Default for Capacities {
    /// As the programs declare the maps, or more.
    fn default() -> Self {
        Self {
            agent: 262_144,
            replied: 262_144,
            new: 65_536,
            new_per_endpoint: 65_536,
            counters: 16_384,
            events: 16_384,
        }
    }
}

/// The maps of a node.
pub struct Memory {
    /// Interface index -> endpoint.
    pub endpoint: HashTable<u32, Endpoint>,
    /// IPv4 address -> identity.
    pub identity_v4: HashTable<Address4, u32>,
    /// IPv6 address -> identity.
    pub identity_v6: HashTable<Address6, u32>,
    /// IPv4 prefix -> identity.
    pub cidr_v4: PrefixTable<Prefix4>,
    /// IPv6 prefix -> identity.
    pub cidr_v6: PrefixTable<Prefix6>,
    /// What policy sets grant.
    pub policy: HashTable<PolicyKey, Grant>,
    /// What port tables say.
    pub ports: HashTable<PortKey, PortVerdict>,
    /// Addresses of nodes, IPv4 ones mapped.
    pub node: HashTable<Address6, u32>,
    /// Addresses and ports of Services -> identity.
    pub service: HashTable<ServiceKey, u32>,
    /// Addresses that are denied something here -> identity; IPv4 ones mapped.
    pub source: HashTable<Address6, u32>,
    /// Events a second that are sent at most.
    pub events_per_second: u32,
    /// Answers a second and endpoint that are sent at most.
    pub answers_per_second: u32,
    notes: RefCell<HashTable<u32, Note>>,
    fragments: RefCell<HashTable<(u32, u32), Fragment>>,
    conntrack_v4: RefCell<Conntrack<Key4>>,
    conntrack_v6: RefCell<Conntrack<Key6>>,
    refused: RefCell<BTreeMap<u32, u64>>,
    cuts: RefCell<BTreeMap<u32, u64>>,
    counters: RefCell<Vec<Counter>>,
    events: RefCell<Vec<Event>>,
    event_limit: Cell<Bucket>,
    answer_limits: RefCell<HashTable<u32, Bucket>>,
    ticks: Cell<u32>,
    kept: Cell<[u32; 2]>,
    capacities: Capacities,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Capacities::default())
    }
}

impl Memory {
    /// Empty maps.
    #[must_use]
    pub fn new(capacities: Capacities) -> Self {
        Self {
            endpoint: HashTable::new(capacities.agent),
            identity_v4: HashTable::new(capacities.agent),
            identity_v6: HashTable::new(capacities.agent),
            cidr_v4: PrefixTable::new(capacities.agent),
            cidr_v6: PrefixTable::new(capacities.agent),
            policy: HashTable::new(capacities.agent),
            ports: HashTable::new(capacities.agent),
            node: HashTable::new(capacities.agent),
            service: HashTable::new(capacities.agent),
            source: HashTable::new(capacities.agent),
            notes: RefCell::new(HashTable::new(PLACES as usize)),
            fragments: RefCell::new(HashTable::new(capacities.agent * PLACES_PER_SLOT as usize)),
            events_per_second: u32::MAX,
            answers_per_second: u32::MAX,
            conntrack_v4: RefCell::new(Conntrack::new(&capacities)),
            conntrack_v6: RefCell::new(Conntrack::new(&capacities)),
            refused: RefCell::default(),
            cuts: RefCell::default(),
            counters: RefCell::default(),
            events: RefCell::default(),
            event_limit: Cell::default(),
            answer_limits: RefCell::new(HashTable::new(answer::PLACES as usize)),
            ticks: Cell::new(INITIAL_TICKS),
            kept: Cell::default(),
            capacities,
        }
    }

    /// Sets the clock.
    pub fn set_ticks(&self, ticks: u32) {
        self.ticks.set(ticks);
    }

    /// Moves the clock on.
    pub fn advance(&self, seconds: u32) {
        let ticks = seconds.wrapping_mul(TICKS_PER_SECOND);
        self.ticks.set(self.ticks.get().wrapping_add(ticks));
    }

    /// The IPv4 connections of a table, in the order of their keys.
    #[must_use]
    pub fn connections_v4(&self, table: Table) -> Vec<(Key4, Connection)> {
        self.conntrack_v4.borrow().sorted(table)
    }

    /// The IPv6 connections of a table, in the order of their keys.
    #[must_use]
    pub fn connections_v6(&self, table: Table) -> Vec<(Key6, Connection)> {
        self.conntrack_v6.borrow().sorted(table)
    }

    /// Forgets every connection.
    pub fn clear_connections(&self) {
        self.conntrack_v4.borrow_mut().clear();
        self.conntrack_v6.borrow_mut().clear();
    }

    /// What was counted under a number.
    #[must_use]
    pub fn counter(&self, number: u32) -> Counter {
        let counters = self.counters.borrow();
        counters.get(number as usize).copied().unwrap_or_default()
    }

    /// Connections that were cut under a counter.
    #[must_use]
    pub fn cuts(&self, number: u32) -> u64 {
        self.cuts.borrow().get(&number).copied().unwrap_or_default()
    }

    /// Connections of an endpoint that found no room.
    #[must_use]
    pub fn refused(&self, ifindex: u32) -> u64 {
        let refused = self.refused.borrow();
        refused.get(&ifindex).copied().unwrap_or_default()
    }

    /// How many connections an endpoint holds, by [`netpol_common::held::Place`].
    #[must_use]
    pub fn held(&self, ifindex: u32) -> [u64; 4] {
        let (v4, v6) = (self.conntrack_v4.borrow(), self.conntrack_v6.borrow());
        [
            v4.held(Table::New, ifindex),
            v6.held(Table::New, ifindex),
            v4.held(Table::Replied, ifindex),
            v6.held(Table::Replied, ifindex),
        ]
    }

    /// Everything that was counted, by number, without those at zero.
    #[must_use]
    pub fn counters(&self) -> Vec<(u32, Counter)> {
        let counters = self.counters.borrow();
        (0..)
            .zip(counters.iter().copied())
            .filter(|(_, counter)| *counter != Counter::default())
            .collect()
    }

    /// Counts from zero again.
    pub fn clear_counters(&self) {
        self.counters.borrow_mut().clear();
    }

    /// The events since the last call.
    #[must_use]
    pub fn take_events(&self) -> Vec<Event> {
        self.events.take()
    }
}

impl Tables for Memory {
    fn slot(&self, ifindex: u32) -> Option<u32> {
        // Each has the slot of its interface's number.
        self.endpoint.get(&ifindex).map(|_| ifindex)
    }

    fn entry(&self, slot: u32) -> Option<&Endpoint> {
        self.endpoint.get(&slot)
    }

    fn identity_v4(&self, address: &Address4) -> Option<u32> {
        self.identity_v4.get(address).copied()
    }

    fn identity_v6(&self, address: &Address6) -> Option<u32> {
        self.identity_v6.get(address).copied()
    }

    fn cidr_v4(&self, address: &Prefix4) -> Option<u32> {
        self.cidr_v4.longest_match(address)
    }

    fn cidr_v6(&self, address: &Prefix6) -> Option<u32> {
        self.cidr_v6.longest_match(address)
    }

    fn policy(&self, key: &PolicyKey) -> Option<Grant> {
        self.policy.get(key).copied()
    }

    fn port(&self, key: &PortKey) -> Option<PortVerdict> {
        self.ports.get(key).copied()
    }

    fn node(&self, address: &Address6) -> Option<u32> {
        self.node.get(address).copied()
    }

    fn service(&self, key: &ServiceKey) -> Option<u32> {
        self.service.get(key).copied()
    }

    fn source(&self, address: &Address6) -> Option<u32> {
        self.source.get(address).copied()
    }

    fn note(&self, place: u32) -> Option<Note> {
        self.notes.borrow().get(&place).copied()
    }

    fn leave_note(&self, place: u32, note: &Note) {
        // There are as many places as it holds.
        let _ = self.notes.borrow_mut().insert(place, *note);
    }

    fn drop_note(&self, place: u32) {
        self.notes.borrow_mut().remove(&place);
    }

    fn fragment(&self, slot: u32, place: u32) -> Option<Fragment> {
        let there = self.fragments.borrow().get(&(slot, place)).copied();
        Some(there.unwrap_or_default())
    }

    fn leave_fragment(&self, slot: u32, place: u32, fragment: &Fragment) {
        // There are as many places as it holds.
        let _ = self.fragments.borrow_mut().insert((slot, place), *fragment);
    }

    fn count(&self, counter: u32, bytes: u32) -> bool {
        let number = counter as usize;
        if number >= self.capacities.counters {
            return false;
        }
        let mut counters = self.counters.borrow_mut();
        if counters.len() <= number {
            counters.resize(number + 1, Counter::default());
        }
        counters[number].packets += 1;
        counters[number].bytes += u64::from(bytes);
        true
    }

    fn count_cut(&self, counter: u32) -> bool {
        let there = (counter as usize) < self.capacities.counters;
        if there {
            *self.cuts.borrow_mut().entry(counter).or_default() += 1;
        }
        there
    }

    fn emit(&self, event: &Event) -> bool {
        let mut events = self.events.borrow_mut();
        let room = events.len() < self.capacities.events;
        if room {
            events.push(*event);
        }
        room
    }

    fn event_limit(&self) -> Option<Bucket> {
        Some(self.event_limit.get())
    }

    fn set_event_limit(&self, limit: Bucket) {
        self.event_limit.set(limit);
    }

    fn keep(&self, words: [u32; 2]) {
        self.kept.set(words);
    }

    fn kept(&self) -> [u32; 2] {
        self.kept.get()
    }

    fn answer_limit(&self, place: u32) -> Option<Bucket> {
        let limits = self.answer_limits.borrow();
        Some(limits.get(&place).copied().unwrap_or_default())
    }

    fn set_answer_limit(&self, place: u32, limit: Bucket) {
        // There are as many places as it holds.
        let _ = self.answer_limits.borrow_mut().insert(place, limit);
    }

    fn ticks(&self) -> u32 {
        self.ticks.get()
    }

    fn ticks_per_second(&self) -> u32 {
        TICKS_PER_SECOND
    }

    fn timeout(&self, class: Timeout) -> u32 {
        TIMEOUT_SECONDS[class as usize] * TICKS_PER_SECOND
    }

    fn events_per_second(&self) -> u32 {
        self.events_per_second
    }

    fn answers_per_second(&self) -> u32 {
        self.answers_per_second
    }
}
