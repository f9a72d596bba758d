//! How the maps are read and written.
//!
//! What is looked up comes back as a copy, and a connection is written back whole, by its key: an
//! element of a kernel map may be removed, and its memory given to another key, while a program
//! still holds a pointer to it. The exceptions are [`Tables::endpoint`], too large to copy, and
//! [`Connections::touch`], which can do no harm to another connection.

use netpol_common::conntrack::{Connection, Timeout};
use netpol_common::endpoint::Endpoint;
use netpol_common::event::Event;
use netpol_common::fragment::Fragment;
use netpol_common::held::{Place, Usage};
use netpol_common::identity::{Address4, Address6, Prefix4, Prefix6};
use netpol_common::limit::Bucket;
use netpol_common::note::Note;
use netpol_common::policy::{Grant, PolicyKey, PortKey, PortVerdict};
use netpol_common::service::ServiceKey;

use crate::judge::{judge_v4, judge_v6};

/// One of the two conntrack tables of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Connections that have seen a reply.
    Replied,
    /// Connections that have not.
    New,
}

impl Table {
    /// How many times what is left free of the table one endpoint may hold.
    #[inline(always)]
    pub(crate) const fn weight(self) -> u64 {
        match self {
            Self::Replied => Place::RepliedV4.weight(),
            Self::New => Place::NewV4.weight(),
        }
    }
}

/// What became of an entry that was to be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is there now.
    Created,
    /// There is one of its key; it was left alone.
    There,
    /// The table is full.
    Full,
}

/// The conntrack tables of one family, by its key. What is inserted and removed is counted for
/// the endpoint of the key.
pub trait Connections<K> {
    /// Where a connection was found.
    type Place: Copy;

    /// The connection of a key.
    fn find(&self, table: Table, key: &K) -> Option<(Connection, Self::Place)>;

    /// Writes [`Connection::last_seen`] in place.
    fn touch(&self, place: Self::Place, ticks: u32);

    /// Inserts a connection where there is none.
    #[must_use]
    fn insert(&self, table: Table, key: &K, connection: &Connection) -> Inserted;

    /// Writes over a connection; false when there is none.
    fn replace(&self, table: Table, key: &K, connection: &Connection) -> bool;

    /// Removes a connection, if it is there.
    fn remove(&self, table: Table, key: &K);

    /// How a table is used, by the endpoint of a key and by all; none when the endpoint's entries
    /// are missing.
    fn usage(&self, table: Table, key: &K) -> Option<Usage>;

    /// Counts, for the endpoint of a key, a connection that found no room.
    fn refuse(&self, key: &K);
}

/// Every other map, the clock, and the globals.
pub trait Tables {
    /// The slot with the entry of the endpoint behind a host interface. It holds the same entry
    /// until the end of the run.
    fn slot(&self, ifindex: u32) -> Option<u32>;
    /// The entry in a slot.
    fn entry(&self, slot: u32) -> Option<&Endpoint>;
    /// The identity of an address that has an entry of its own.
    fn identity_v4(&self, address: &Address4) -> Option<u32>;
    /// The identity of an address that has an entry of its own.
    fn identity_v6(&self, address: &Address6) -> Option<u32>;
    /// The identity of the longest prefix that contains the address (prefix length 32).
    fn cidr_v4(&self, address: &Prefix4) -> Option<u32>;
    /// The identity of the longest prefix that contains the address (prefix length 128).
    fn cidr_v6(&self, address: &Prefix6) -> Option<u32>;
    /// What a policy set grants.
    fn policy(&self, key: &PolicyKey) -> Option<Grant>;
    /// What a port table says.
    fn port(&self, key: &PortKey) -> Option<PortVerdict>;
    /// Whose node's an address is, if a node's: `OWN_NODE` or `OTHER_NODE` of
    /// [`netpol_common::maps`]. IPv4 addresses are mapped.
    fn node(&self, address: &Address6) -> Option<u32>;
    /// The identity of a Service's address and port.
    fn service(&self, key: &ServiceKey) -> Option<u32>;
    /// The identity under which an address is denied; IPv4 addresses are mapped.
    fn source(&self, address: &Address6) -> Option<u32>;

    /// The note at a place.
    fn note(&self, place: u32) -> Option<Note>;
    /// Leaves a note, whatever is at its place.
    fn leave_note(&self, place: u32, note: &Note);
    /// Removes the note at a place.
    fn drop_note(&self, place: u32);

    /// What is at one of the places for fragments of the endpoint in a slot.
    fn fragment(&self, slot: u32, place: u32) -> Option<Fragment>;
    /// Writes one of the places for fragments of the endpoint in a slot.
    fn leave_fragment(&self, slot: u32, place: u32, fragment: &Fragment);

    /// Adds one packet of `bytes` to a counter; false when there is no such counter.
    #[must_use]
    fn count(&self, counter: u32, bytes: u32) -> bool;
    /// Counts a connection that was cut under a counter; false when there is no such counter.
    #[must_use]
    fn count_cut(&self, counter: u32) -> bool;
    /// Sends an event; false when the ring buffer is full.
    #[must_use]
    fn emit(&self, event: &Event) -> bool;
    /// This CPU's token bucket for events.
    fn event_limit(&self) -> Option<Bucket>;
    /// Writes this CPU's token bucket for events.
    fn set_event_limit(&self, limit: Bucket);

    /// The token bucket for answers at a place ([`netpol_common::answer::place`]).
    fn answer_limit(&self, place: u32) -> Option<Bucket>;
    /// Writes the token bucket for answers at a place. What another CPU takes at the same time may
    /// be lost: the limit keeps floods down and is no account.
    fn set_answer_limit(&self, place: u32, limit: Bucket);

    /// Keeps two words until the end of this run.
    fn keep(&self, words: [u32; 2]);
    /// What this run has kept last. The kernel's verifier knows nothing about these words, and so
    /// walks what depends on them once, not once for each way on which they may have come.
    fn kept(&self) -> [u32; 2];

    /// What policy says of a connection of the endpoint in a slot: [`judge_v4`], in a function of
    /// its own where that matters.
    #[inline(always)]
    fn judge_v4(&self, slot: u32, remote: u32, opening: u32) -> u64
    where
        Self: Sized,
    {
        judge_v4(self, slot, remote, opening)
    }
    /// The same of an IPv6 peer: [`judge_v6`].
    #[inline(always)]
    fn judge_v6(&self, slot: u32, remote: [u32; 4], opening: u32) -> u64
    where
        Self: Sized,
    {
        judge_v6(self, slot, remote, opening)
    }

    /// Kernel ticks now (low half of `jiffies`).
    fn ticks(&self) -> u32;
    /// Kernel ticks a second.
    fn ticks_per_second(&self) -> u32;
    /// Idle time-out of a class, in kernel ticks.
    fn timeout(&self, class: Timeout) -> u32;
    /// Events a second and CPU that are sent at most.
    fn events_per_second(&self) -> u32;
    /// Answers a second and endpoint that are sent at most.
    fn answers_per_second(&self) -> u32;

    /// Called with every verdict on an isolated endpoint, for debug lines. `event` gives the
    /// verdict, without protocol, ports and addresses; it costs nothing unless it is called.
    #[inline(always)]
    fn trace(&self, event: impl FnOnce() -> Event) {
        let _ = event;
    }
}
