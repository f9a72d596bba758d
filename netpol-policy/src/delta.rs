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
//! Services' addresses are places as addresses are; the sources that destinations refuse go a way of
//! their own (`refusals`). What a port of every node
//! was, or will be, before and after a Service has it, is many things, one for each node: such a
//! place is denied between steps 2 and 4 where endpoints switch, and changes in one operation where
//! none does.
//!
//! Where one endpoint switches to a set that another leaves, and the two want different verdicts on
//! an address that moves at the same time, the set denies it between steps 2 and 4: closed before
//! open. The same holds of a set that an endpoint keeps while it switches to other refusals: an
//! address that the set begins to allow may be one that these refuse.
//!
//! To an endpoint that does not switch, an address is of the old class until it moves, and of the
//! new one from then on. A reviewer should watch that no step writes an entry that a packet could already
//! meet with another meaning; `tests/transitions.rs` judges packets after every operation.

mod places;
mod refusals;
mod verdicts;
mod ways;

use std::collections::{BTreeSet, HashMap};

use netpol_common::{
    endpoint::Endpoint,
    identity::{ANY_POD, NOWHERE},
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
use refusals::Refusals;
use verdicts::{SetsInForce, effective};
use ways::Way;

/// Plans the delta; afterwards the tables hold as programmed what the delta leaves.
pub(crate) fn plan(tables: &mut Tables, compiler: &mut Compiler, generation: &mut u32) -> Delta {
    let sets = SetsInForce::of(&tables.endpoints);
    let refusals = Refusals::of(tables);
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
        refusals,
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
    refusals: Refusals,
}

impl Planner<'_> {
    fn run(&mut self, moves: &[Move]) {
        let seen = moves.iter().filter(|m| !m.blind);
        let pairs: BTreeSet<(u32, u32)> = seen.map(|m| (m.from, m.to)).collect();
        let source_pairs = self.source_pairs();
        let mut rejudging = self.rejudging(&(&pairs | &source_pairs));
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
        self.refuse_first(source_pairs);
        let ways = self.ways(&pairs);
        self.move_first(moves, &ways, !switching.is_empty());
        self.switch(&switching);
        self.mend_entries();
        self.move_second(moves, &ways);
        let bridges = std::mem::take(&mut self.move_bridges);
        self.take_back(bridges);
        self.refuse_last();
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
        for d in self.policy_differences() {
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
        for d in self.policy_differences() {
            if !self.move_bridges.contains(&d.key) {
                self.settle_entry(&d);
            }
        }
    }

    /// The entries that change, but those of refusals.
    fn policy_differences(&self) -> Vec<Difference<PolicyKey, Grant>> {
        let mut differences = self.tables.policy.differences();
        differences.retain(|d| !self.refusals.have(&d.key));
        differences
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
