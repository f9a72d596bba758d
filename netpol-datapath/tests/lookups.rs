//! What a packet costs in look-ups: the same with one rule in force as with very many.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use netpol_common::address::v4_word;
use netpol_common::conntrack::{Connection, Key4, Key6, Timeout};
use netpol_common::endpoint::{Endpoint, EndpointDirection, flags};
use netpol_common::event::Event;
use netpol_common::fragment::Fragment;
use netpol_common::held::Usage;
use netpol_common::identity::{Address4, Address6, POD, Prefix4, Prefix6};
use netpol_common::limit::Bucket;
use netpol_common::note::Note;
use netpol_common::policy::{ALLOW, Grant, PolicyKey, PortKey, PortVerdict};
use netpol_common::protocol::TCP;
use netpol_common::service::ServiceKey;
use netpol_datapath::build::{packet, tcp};
use netpol_datapath::memory::{Memory, SlicePacket};
use netpol_datapath::{Connections, Decision, Inserted, Table, Tables, from_endpoint, to_endpoint};

/// Maps that count how often they are asked.
struct Counted<'a> {
    memory: &'a Memory,
    asked: RefCell<BTreeMap<&'static str, u32>>,
}

impl<'a> Counted<'a> {
    fn new(memory: &'a Memory) -> Self {
        Self {
            memory,
            asked: RefCell::default(),
        }
    }

    fn ask(&self, map: &'static str) -> &Memory {
        *self.asked.borrow_mut().entry(map).or_default() += 1;
        self.memory
    }

    /// How often each map was asked since the last call.
    fn take(&self) -> BTreeMap<&'static str, u32> {
        self.asked.take()
    }
}

impl Tables for Counted<'_> {
    fn slot(&self, ifindex: u32) -> Option<u32> {
        self.ask("endpoint").slot(ifindex)
    }
    fn entry(&self, slot: u32) -> Option<&Endpoint> {
        self.ask("endpoint entries").entry(slot)
    }
    fn identity_v4(&self, address: &Address4) -> Option<u32> {
        Tables::identity_v4(self.ask("identity"), address)
    }
    fn identity_v6(&self, address: &Address6) -> Option<u32> {
        Tables::identity_v6(self.ask("identity"), address)
    }
    fn cidr_v4(&self, address: &Prefix4) -> Option<u32> {
        Tables::cidr_v4(self.ask("cidr"), address)
    }
    fn cidr_v6(&self, address: &Prefix6) -> Option<u32> {
        Tables::cidr_v6(self.ask("cidr"), address)
    }
    fn policy(&self, key: &PolicyKey) -> Option<Grant> {
        Tables::policy(self.ask("policy"), key)
    }
    fn port(&self, key: &PortKey) -> Option<PortVerdict> {
        self.ask("ports").port(key)
    }
    fn node(&self, address: &Address6) -> Option<u32> {
        Tables::node(self.ask("node"), address)
    }
    fn service(&self, key: &ServiceKey) -> Option<u32> {
        Tables::service(self.ask("service"), key)
    }
    fn source(&self, address: &Address6) -> Option<u32> {
        Tables::source(self.ask("source"), address)
    }
    fn note(&self, place: u32) -> Option<Note> {
        self.ask("notes").note(place)
    }
    fn leave_note(&self, place: u32, note: &Note) {
        self.ask("notes, written").leave_note(place, note);
    }
    fn drop_note(&self, place: u32) {
        self.ask("notes, written").drop_note(place);
    }
    fn fragment(&self, slot: u32, place: u32) -> Option<Fragment> {
        self.ask("fragments").fragment(slot, place)
    }
    fn leave_fragment(&self, slot: u32, place: u32, fragment: &Fragment) {
        self.ask("fragments, written")
            .leave_fragment(slot, place, fragment);
    }
    fn count(&self, counter: u32, bytes: u32) -> bool {
        self.ask("counters").count(counter, bytes)
    }
    fn count_cut(&self, counter: u32) -> bool {
        self.ask("cuts").count_cut(counter)
    }
    fn emit(&self, event: &Event) -> bool {
        self.memory.emit(event)
    }
    fn event_limit(&self) -> Option<Bucket> {
        self.memory.event_limit()
    }
    fn set_event_limit(&self, limit: Bucket) {
        self.memory.set_event_limit(limit);
    }
    fn keep(&self, words: [u32; 2]) {
        self.ask("scratch").keep(words);
    }
    fn kept(&self) -> [u32; 2] {
        self.ask("scratch").kept()
    }
    fn answer_limit(&self, place: u32) -> Option<Bucket> {
        self.memory.answer_limit(place)
    }
    fn set_answer_limit(&self, place: u32, limit: Bucket) {
        self.memory.set_answer_limit(place, limit);
    }
    fn ticks(&self) -> u32 {
        self.memory.ticks()
    }
    fn ticks_per_second(&self) -> u32 {
        self.memory.ticks_per_second()
    }
    fn timeout(&self, class: Timeout) -> u32 {
        self.memory.timeout(class)
    }
    fn events_per_second(&self) -> u32 {
        self.memory.events_per_second()
    }
    fn answers_per_second(&self) -> u32 {
        self.memory.answers_per_second()
    }
}

macro_rules! counted_connections {
    ($key:ty) => {
        impl Connections<$key> for Counted<'_> {
            type Place = <Memory as Connections<$key>>::Place;

            fn find(&self, table: Table, key: &$key) -> Option<(Connection, Self::Place)> {
                self.ask("conntrack").find(table, key)
            }
            fn touch(&self, place: Self::Place, ticks: u32) {
                <Memory as Connections<$key>>::touch(self.memory, place, ticks);
            }
            fn insert(&self, table: Table, key: &$key, connection: &Connection) -> Inserted {
                self.ask("conntrack, written")
                    .insert(table, key, connection)
            }
            fn replace(&self, table: Table, key: &$key, connection: &Connection) -> bool {
                self.ask("conntrack, written")
                    .replace(table, key, connection)
            }
            fn remove(&self, table: Table, key: &$key) {
                self.ask("conntrack, written").remove(table, key);
            }
            fn usage(&self, table: Table, key: &$key) -> Option<Usage> {
                self.ask("held").usage(table, key)
            }
            fn refuse(&self, key: &$key) {
                self.ask("held, written").refuse(key);
            }
        }
    };
}

counted_connections!(Key4);
counted_connections!(Key6);

const POD_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
const IFINDEX: u32 = 3;
const SET: u32 = 1;
const PORTS_PER_POLICY: u16 = 20;

/// A node with so many policies' worth of rules, all in the set of one endpoint: each lets pods
/// and prefixes of its own reach ports of its own, and the peer reach all of them.
fn node(policies: u32) -> Memory {
    let mut memory = Memory::default();
    let direction = EndpointDirection {
        flags: flags::ISOLATED | flags::CIDR,
        set: SET,
        deny_rule: 64,
        second_set: 0,
    };
    let endpoint = Endpoint {
        generation: 1,
        ingress: direction,
        egress: direction,
        v4: [v4_word(POD_ADDRESS), 0],
        ..Endpoint::default()
    };
    memory.endpoint.insert(IFINDEX, endpoint).expect("room");
    for policy in 0..policies {
        let identity = POD | (policy + 1);
        let address = Address4 {
            word: (0x0a01_0000 + policy).to_be(),
        };
        memory.identity_v4.insert(address, identity).expect("room");
        let prefix = Prefix4 {
            length: 24,
            word: (0xc000_0000 + (policy << 8)).to_be(),
        };
        memory.cidr_v4.insert(prefix, identity ^ POD).expect("room");
        for port in 0..PORTS_PER_POLICY {
            let port = (policy as u16).wrapping_mul(PORTS_PER_POLICY) + port;
            let key = PortKey::new(1, TCP, 16, port);
            let rule = 65 + policy;
            let verdict = PortVerdict {
                verdict: ALLOW,
                rule,
            };
            memory.ports.insert(key, verdict).expect("room");
        }
        let grant = Grant {
            rule: 0,
            table: 1,
            levels: 1,
        };
        for identity in [identity, identity ^ POD] {
            let key = PolicyKey { set: SET, identity };
            memory.policy.insert(key, grant).expect("room");
        }
    }
    let peer = Address4 {
        word: v4_word(PEER),
    };
    memory.identity_v4.insert(peer, POD | 1).expect("room");
    memory
}

/// Look-ups of a new connection, of its answer, of an established packet, and of a denied one.
fn look_ups(policies: u32) -> [BTreeMap<&'static str, u32>; 4] {
    let memory = node(policies);
    let counted = Counted::new(&memory);
    let (pod, peer) = (IpAddr::from(POD_ADDRESS), IpAddr::from(PEER));
    let to = |port, flags| {
        let frame = packet(peer, pod).tcp(40_000, port, flags);
        to_endpoint(IFINDEX, &SlicePacket::new(&frame), &counted)
    };
    assert_eq!(to(7, tcp::SYN), Decision::Next);
    let new = counted.take();
    let answer = packet(pod, peer).tcp(7, 40_000, tcp::SYN | tcp::ACK);
    let answered = from_endpoint(IFINDEX, &SlicePacket::new(&answer), &counted);
    assert_eq!(answered, Decision::Next);
    let answer = counted.take();
    assert_eq!(to(7, tcp::ACK), Decision::Next);
    let established = counted.take();
    assert_eq!(to(65_000, tcp::SYN), Decision::Drop);
    [new, answer, established, counted.take()]
}

#[test]
fn look_ups_do_not_depend_on_the_number_of_rules() {
    let one = look_ups(1);
    let thousand = look_ups(1000);
    let names = ["new", "first answer", "established", "denied"];
    for (name, (one, thousand)) in names.iter().zip(one.iter().zip(&thousand)) {
        let sum = |asked: &BTreeMap<_, u32>| asked.values().sum::<u32>();
        println!(
            "{name}: {} look-ups with 1 policy, {} with 1000: {thousand:?}",
            sum(one),
            sum(thousand),
        );
        assert_eq!(one, thousand, "{name}");
    }
    let established = BTreeMap::from([
        ("conntrack", 1),
        ("counters", 1),
        ("endpoint", 1),
        ("endpoint entries", 1),
    ]);
    assert_eq!(thousand[2], established);
}
