//! The way from what is programmed to what is desired, without a wrong verdict on it.
//!
//! ```text
//! 1  numbers, port tables, entries of new policy sets and for new identities
//! 2  addresses move to where the sets *in force* say of them what they said before
//! 3  endpoints switch to their new sets, one update each; entries that stood in for others are
//!    taken back
//! 4  addresses move on to their own identities, of which the new sets say the same
//! 5  endpoints of a set that lasts, but judges a moved address otherwise, rise in generation
//! 6  what nothing refers to any more goes, referents last
//! ```
//! An address with identity `a` now and `n` in the end goes one of three ways:
//! - *early*, to `n` in step 2, when the sets that endpoints leave say of `n` what they say of
//!   `a`; a new `n` is given such entries there (a class that splits);
//! - *late*, to `n` in step 4, when the sets that endpoints switch to say of `a` what they say of
//!   `n`; an `a` that ends is given such entries there (classes that merge);
//! - *through* a number made for the pair, which is `a` to the former sets and `n` to the latter.
//!
//! Services' addresses and refused sources are places as addresses are. What a port of every node
//! was, or will be, before and after a Service has it, is many things, one for each node: such a
//! place is denied between steps 2 and 4 where endpoints switch, and changes in one operation where
//! none does.
//!
//! Where one endpoint switches to a set that another leaves, and the two want different verdicts on
//! an address that moves at the same time, the set denies it between steps 2 and 4: closed before
//! open. No single change of the cluster leads there, only several at once.
//!
//! To an endpoint that does not switch, an address is of the old class until it moves, and of the
//! new one from then on. A reviewer should watch that no step writes an entry that a packet could already
//! meet with another meaning; `tests/transitions.rs` judges packets after every operation.

mod places;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use netpol_common::{
    endpoint::Endpoint,
    identity::{self, ANY_POD, NOWHERE, POD, SERVICE},
    maps::NumberKind,
    policy::{Grant, PolicyKey},
    service::ServiceKey,
};

use crate::{
    compile::Compiler,
    operation::{Delta, Entry, Key, Operation},
    table::Difference,
    tables::Tables,
};
use places::Move;
use verdicts::{SetsInForce, effective};

/// Plans the delta; afterwards the tables hold as programmed what the delta leaves.
pub(crate) fn plan(tables: &mut Tables, compiler: &mut Compiler, generation: &mut u32) -> Delta {
    let sets = SetsInForce::of(&tables.endpoints);
    let moves = places::moves(tables);
    let mut planner = Planner {
        tables,
        compiler,
        sets,
        generation: *generation,
        operations: Vec::new(),
        switch_bridges: BTreeSet::new(),
        move_bridges: BTreeSet::new(),
        temporary: Vec::new(),
    };
    planner.run(&moves);
    *generation = planner.generation;
    Delta {
        operations: planner.operations,
    }
}

struct Planner<'a> {
    tables: &'a mut Tables,
    compiler: &'a mut Compiler,
    sets: SetsInForce,
    generation: u32,
    operations: Vec<Operation>,
    /// Policy entries that only the way needs: until endpoints have switched, and until addresses
    /// have moved.
    switch_bridges: BTreeSet<PolicyKey>,
    move_bridges: BTreeSet<PolicyKey>,
    /// Identity numbers that only the way needs.
    temporary: Vec<u32>,
}

/// Which way the addresses of a pair of identities go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Early,
    Late,
    Through(u32),
}

impl Planner<'_> {
    fn run(&mut self, moves: &[Move]) {
        let seen = moves.iter().filter(|m| !m.blind);
        let pairs: BTreeSet<(u32, u32)> = seen.map(|m| (m.from, m.to)).collect();
        let mut rejudging = self.rejudging(&pairs);
        if moves.iter().any(|m| m.blind) || self.node_ports_move() {
            rejudging.extend(self.sets.lasting.keys());
        }
        let switching = self.switching();
        if !switching.is_empty() || !rejudging.is_empty() {
            self.compiler
                .numbers
                .remember_generation(self.generation + 2);
        }
        self.add_referents();
        let ways = self.ways(&pairs);
        self.move_first(moves, &ways, !switching.is_empty());
        self.switch(&switching);
        self.mend_entries();
        self.move_second(moves, &ways);
        let bridges = std::mem::take(&mut self.move_bridges);
        self.take_back(bridges);
        self.rejudge(&rejudging);
        self.remove(moves);
        self.settle();
    }

    /// Step 1.
    fn add_referents(&mut self) {
        for d in self.compiler.numbers.table.differences() {
            if let Some(number) = d.desired {
                self.put(Entry::Number(d.key, number));
            }
        }
        let fresh: Vec<u32> = self.compiler.numbers.fresh(NumberKind::Rule).collect();
        for rule in fresh {
            self.operations.push(Operation::ResetCounter(rule));
        }
        for d in self.compiler.ports.table.differences() {
            if let Some(verdict) = d.desired {
                self.put(Entry::Port(d.key, verdict));
            }
        }
        for d in self.tables.policy.differences() {
            // Endpoints that leave a set have to leave before its entries change.
            if d.programmed.is_none() || !self.sets.leaving.contains_key(&d.key.set) {
                self.settle_entry(&d);
            }
        }
        for d in self.tables.node.differences() {
            if let Some(one) = d.desired {
                self.put(Entry::Node(d.key, one));
            }
        }
    }

    /// Finds each pair's way, and builds what it needs.
    fn ways(&mut self, pairs: &BTreeSet<(u32, u32)>) -> HashMap<(u32, u32), Way> {
        let mut ways = HashMap::new();
        // An identity that is new can be given verdicts before any address has it, and one that
        // ends can be given those of the only identity that its addresses go to.
        let mut stands_for: BTreeMap<u32, u32> = BTreeMap::new();
        let mut destinations: BTreeMap<u32, usize> = BTreeMap::new();
        for (from, _) in pairs {
            *destinations.entry(*from).or_default() += 1;
        }
        for &(from, to) in pairs {
            let fresh = self.is_fresh(to);
            let as_before = if fresh {
                *stands_for.entry(to).or_insert(from)
            } else {
                to
            };
            let leads = self.leads_to_one(from, &destinations);
            let traded = self.is_traded(from, to);
            // A Service's entry has no ports: what an address is granted cannot stand there.
            let mixed = (from ^ to) & SERVICE != 0;
            let as_before = if mixed { to } else { as_before };
            let leads = leads && !mixed;
            let way = if !traded && self.leaving_agree(from, as_before) {
                Way::Early
            } else if !traded && (leads || self.arriving_agree(from, to)) {
                Way::Late
            } else {
                Way::Through(self.temporary_identity(from, to))
            };
            ways.insert((from, to), way);
        }
        for (&(from, to), way) in &ways {
            let SetsInForce {
                leaving,
                arriving,
                staying,
                ..
            } = self.sets.clone();
            match *way {
                Way::Early if self.is_fresh(to) && (from ^ to) & SERVICE == 0 => {
                    let keys = self.bridge(&leaving, from, to);
                    self.switch_bridges.extend(keys);
                }
                Way::Late
                    if self.leads_to_one(from, &destinations) && (from ^ to) & SERVICE == 0 =>
                {
                    let keys = self.bridge_to(&arriving, to, from);
                    self.move_bridges.extend(keys);
                }
                Way::Early | Way::Late => {}
                Way::Through(id) => {
                    let mut keys = self.bridge(&leaving, from, id);
                    keys.extend(self.bridge(&staying, from, id));
                    keys.extend(self.bridge_to(&arriving, to, id));
                    for (set, flags) in self.traded_over(from, to) {
                        keys.extend(self.bridge_entry(set, flags, id, Grant::default()));
                    }
                    self.move_bridges.extend(keys);
                }
            }
        }
        ways
    }

    /// Sets that some endpoint leaves and another switches to, and of which these want different
    /// verdicts on the pair's addresses.
    fn traded_over(&self, from: u32, to: u32) -> Vec<(u32, u32)> {
        let (now, end) = (
            self.tables.policy.programmed(),
            self.tables.policy.desired(),
        );
        let both = self.sets.leaving.iter();
        both.filter(|(set, _)| self.sets.arriving.contains_key(set))
            .map(|(set, flags)| (*set, *flags))
            .filter(|(set, flags)| {
                effective(now, *set, *flags, from) != effective(end, *set, *flags, to)
            })
            .collect()
    }

    fn is_traded(&self, from: u32, to: u32) -> bool {
        !self.traded_over(from, to).is_empty()
    }

    fn is_fresh(&self, id: u32) -> bool {
        let numbers = &self.compiler.numbers;
        let number = identity::number(id);
        number != 0 && numbers.is_fresh(NumberKind::Identity, number)
    }

    fn temporary_identity(&mut self, from: u32, to: u32) -> u32 {
        let number = self.compiler.numbers.temporary(NumberKind::Identity);
        self.temporary.push(number);
        number | (to & POD) | (from & to & SERVICE)
    }

    /// Whether the sets that endpoints leave judge two identities alike, as they are now.
    fn leaving_agree(&self, a: u32, b: u32) -> bool {
        let policy = self.tables.policy.programmed();
        agree(policy, &self.sets.leaving, a, b)
    }

    /// Whether the sets that endpoints switch to judge `from`, as they are when that happens, as
    /// they judge `to` in the end. A set that lasts keeps its entry for an identity that ends.
    fn arriving_agree(&self, from: u32, to: u32) -> bool {
        let (now, end) = (
            self.tables.policy.programmed(),
            self.tables.policy.desired(),
        );
        let ends = !self.compiler.is_current(from);
        self.sets.arriving.iter().all(|(set, flags)| {
            let keeps = ends && self.sets.lasting.contains_key(set);
            let then = if keeps { now } else { end };
            effective(then, *set, *flags, from) == effective(end, *set, *flags, to)
        })
    }

    /// Whether an identity ends, and all its addresses go to the same one.
    fn leads_to_one(&self, from: u32, destinations: &BTreeMap<u32, usize>) -> bool {
        !self.compiler.is_current(from) && destinations.get(&from) == Some(&1)
    }

    /// Makes sets judge `id` as they judge `like` now; gives the entries that took.
    fn bridge(&mut self, sets: &BTreeMap<u32, u32>, like: u32, id: u32) -> Vec<PolicyKey> {
        let entry = |(set, flags): (&u32, &u32)| {
            let wanted = effective(self.tables.policy.programmed(), *set, *flags, like);
            self.bridge_entry(*set, *flags, id, wanted)
        };
        sets.iter().filter_map(entry).collect()
    }

    /// Makes sets judge `id` as they will judge `like` in the end; gives the entries that took.
    fn bridge_to(&mut self, sets: &BTreeMap<u32, u32>, like: u32, id: u32) -> Vec<PolicyKey> {
        let entry = |(set, flags): (&u32, &u32)| {
            let wanted = effective(self.tables.policy.desired(), *set, *flags, like);
            self.bridge_entry(*set, *flags, id, wanted)
        };
        sets.iter().filter_map(entry).collect()
    }

    fn bridge_entry(&mut self, set: u32, flags: u32, id: u32, wanted: Grant) -> Option<PolicyKey> {
        if effective(self.tables.policy.programmed(), set, flags, id) == wanted {
            return None;
        }
        let key = PolicyKey { set, identity: id };
        self.put(Entry::Policy(key, wanted));
        Some(key)
    }

    /// Step 2.
    fn move_first(&mut self, moves: &[Move], ways: &HashMap<(u32, u32), Way>, switching: bool) {
        for m in moves {
            if m.blind {
                if switching {
                    self.put(m.place.entry(NOWHERE));
                }
                continue;
            }
            match ways[&(m.from, m.to)] {
                Way::Early => self.arrive(m),
                Way::Through(id) => self.put(m.place.entry(id)),
                // What covers the place may change before the place itself does.
                Way::Late if m.comes => self.put(m.place.entry(m.from)),
                Way::Late => {}
            }
        }
    }

    /// Step 3.
    fn switch(&mut self, switching: &[(u32, Option<Endpoint>)]) {
        if !switching.is_empty() {
            self.generation += 1;
        }
        for (ifindex, endpoint) in switching {
            match endpoint {
                Some(endpoint) => {
                    let generation = self.generation;
                    let endpoint = Endpoint {
                        generation,
                        ..*endpoint
                    };
                    self.put(Entry::Endpoint(*ifindex, endpoint));
                }
                None => self.delete(Key::Endpoint(*ifindex)),
            }
        }
    }

    /// Now that nobody leaves a set any more: the entries that step 1 had to leave, and those
    /// that stood in for others.
    fn mend_entries(&mut self) {
        let bridges = std::mem::take(&mut self.switch_bridges);
        self.take_back(bridges);
        for d in self.tables.policy.differences() {
            if !self.move_bridges.contains(&d.key) {
                self.settle_entry(&d);
            }
        }
    }

    /// Writes an entry of the end. An entry that is there with another value, or that an identity
    /// of the end should not have, is left over from a way not gone to its end.
    fn settle_entry(&mut self, d: &Difference<PolicyKey, Grant>) {
        match d.desired {
            Some(grant) => self.put(Entry::Policy(d.key, grant)),
            None => {
                let id = d.key.identity;
                let left_over = self.sets.end.contains_key(&d.key.set)
                    && (id == ANY_POD || self.compiler.is_current(id));
                if left_over {
                    self.delete(Key::Policy(d.key));
                }
            }
        }
    }

    /// Step 4.
    fn move_second(&mut self, moves: &[Move], ways: &HashMap<(u32, u32), Way>) {
        for m in moves {
            if m.blind {
                self.arrive(m);
                continue;
            }
            match ways[&(m.from, m.to)] {
                Way::Early => {}
                Way::Through(_) | Way::Late => self.arrive(m),
            }
        }
    }

    fn arrive(&mut self, m: &Move) {
        if m.goes_at_once {
            self.delete(m.place.key());
        } else {
            self.put(m.place.entry(m.to));
        }
    }

    /// Gives entries that only the way needs what they have in the end.
    fn take_back(&mut self, bridges: BTreeSet<PolicyKey>) {
        for key in bridges {
            match self.tables.policy.desired().get(&key).copied() {
                Some(grant) if self.tables.policy.programmed().get(&key) != Some(&grant) => {
                    self.put(Entry::Policy(key, grant));
                }
                Some(_) => {}
                None => self.delete(Key::Policy(key)),
            }
        }
    }

    /// Endpoints whose entry changes.
    fn switching(&self) -> Vec<(u32, Option<Endpoint>)> {
        let differs = |d: &Difference<u32, Endpoint>| {
            let programmed = d.programmed.map(|e| Endpoint { generation: 0, ..e });
            programmed != d.desired
        };
        let differences = self.tables.endpoints.differences();
        let differing = differences.into_iter().filter(differs);
        differing.map(|d| (d.key, d.desired)).collect()
    }

    /// Sets that last and judge some moving address otherwise in the end.
    fn rejudging(&self, pairs: &BTreeSet<(u32, u32)>) -> BTreeSet<u32> {
        let (before, after) = (
            self.tables.policy.programmed(),
            self.tables.policy.desired(),
        );
        let changes = |set: u32, flags: u32| {
            pairs.iter().any(|(from, to)| {
                effective(before, set, flags, *from) != effective(after, set, flags, *to)
            })
        };
        // What had an entry, or what is there and had none.
        let known = |d: &Difference<PolicyKey, Grant>| {
            d.programmed.is_some() || !self.is_fresh(d.key.identity)
        };
        let differences = self.tables.policy.differences();
        let known = differences.iter().filter(|d| known(d));
        let in_place: BTreeSet<u32> = known.map(|d| d.key.set).collect();
        let lasting = self.sets.lasting.iter();
        lasting
            .filter(|(set, flags)| in_place.contains(set) || changes(**set, **flags))
            .map(|(set, _)| *set)
            .collect()
    }

    /// Whether some address is a node's that was none, or the other way round, while Services have
    /// ports on nodes.
    fn node_ports_move(&self) -> bool {
        let services = &self.tables.services;
        let all = services
            .programmed()
            .keys()
            .chain(services.desired().keys());
        !self.tables.node.differences().is_empty() && all.into_iter().any(ServiceKey::is_node_port)
    }

    /// Step 5. Also for an endpoint that switched in step 3 but kept this set in one direction:
    /// it may have judged a connection again before the address moved.
    fn rejudge(&mut self, sets: &BTreeSet<u32>) {
        if sets.is_empty() {
            return;
        }
        self.generation += 1;
        let endpoints = self.tables.endpoints.programmed().iter();
        let mut affected: Vec<(u32, Endpoint)> = endpoints
            .filter(|(_, endpoint)| verdicts::asked(endpoint).any(|(set, _)| sets.contains(&set)))
            .map(|(ifindex, endpoint)| (*ifindex, *endpoint))
            .collect();
        affected.sort_unstable_by_key(|(ifindex, _)| *ifindex);
        for (ifindex, endpoint) in affected {
            let generation = self.generation;
            let endpoint = Endpoint {
                generation,
                ..endpoint
            };
            self.put(Entry::Endpoint(ifindex, endpoint));
        }
    }

    /// Step 6.
    fn remove(&mut self, moves: &[Move]) {
        for m in moves {
            if m.goes && !m.goes_at_once {
                self.delete(m.place.key());
            }
        }
        for d in self.tables.policy.differences() {
            if d.desired.is_none() {
                self.delete(Key::Policy(d.key));
            }
        }
        for d in self.compiler.ports.table.differences() {
            if d.desired.is_none() {
                self.delete(Key::Port(d.key));
            }
        }
        for d in self.tables.node.differences() {
            if d.desired.is_none() {
                self.delete(Key::Node(d.key));
            }
        }
        for d in self.compiler.numbers.table.differences() {
            if d.desired.is_none() {
                self.delete(Key::Number(d.key));
            }
        }
    }

    fn settle(&mut self) {
        for number in std::mem::take(&mut self.temporary) {
            self.compiler.numbers.retire(NumberKind::Identity, number);
        }
        self.compiler.numbers.settle();
        self.compiler.numbers.table.settle();
        self.compiler.ports.table.settle();
        self.tables.endpoints.settle();
        self.tables.identities_v4.settle();
        self.tables.identities_v6.settle();
        self.tables.cidrs_v4.settle();
        self.tables.cidrs_v6.settle();
        self.tables.policy.settle();
        self.tables.node.settle();
        self.tables.services.settle();
        self.tables.sources.settle();
    }

    fn put(&mut self, entry: Entry) {
        let tables = &mut *self.tables;
        match entry {
            Entry::Endpoint(key, value) => tables.endpoints.programme(key, value),
            Entry::IdentityV4(key, value) => tables.identities_v4.programme(key, value),
            Entry::IdentityV6(key, value) => tables.identities_v6.programme(key, value),
            Entry::CidrV4(key, value) => tables.cidrs_v4.programme(key, value),
            Entry::CidrV6(key, value) => tables.cidrs_v6.programme(key, value),
            Entry::Policy(key, value) => tables.policy.programme(key, value),
            Entry::Node(key, value) => tables.node.programme(key, value),
            Entry::Service(key, value) => tables.services.programme(key, value),
            Entry::Source(key, value) => tables.sources.programme(key, value),
            Entry::Port(key, value) => self.compiler.ports.table.programme(key, value),
            Entry::Number(key, value) => self.compiler.numbers.table.programme(key, value),
        }
        self.operations.push(Operation::Put(entry));
    }

    fn delete(&mut self, key: Key) {
        let tables = &mut *self.tables;
        match &key {
            Key::Endpoint(key) => tables.endpoints.unprogramme(key),
            Key::IdentityV4(key) => tables.identities_v4.unprogramme(key),
            Key::IdentityV6(key) => tables.identities_v6.unprogramme(key),
            Key::CidrV4(key) => tables.cidrs_v4.unprogramme(key),
            Key::CidrV6(key) => tables.cidrs_v6.unprogramme(key),
            Key::Policy(key) => tables.policy.unprogramme(key),
            Key::Node(key) => tables.node.unprogramme(key),
            Key::Service(key) => tables.services.unprogramme(key),
            Key::Source(key) => tables.sources.unprogramme(key),
            Key::Port(key) => self.compiler.ports.table.unprogramme(key),
            Key::Number(key) => self.compiler.numbers.table.unprogramme(key),
        }
        self.operations.push(Operation::Delete(key));
    }
}

fn agree(policy: &HashMap<PolicyKey, Grant>, sets: &BTreeMap<u32, u32>, a: u32, b: u32) -> bool {
    sets.iter().all(|(set, flags)| {
        effective(policy, *set, *flags, a) == effective(policy, *set, *flags, b)
    })
}
