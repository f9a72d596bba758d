//! What destinations refuse to sources. Until a delta is done, what its beginning or its end refuses
//! is refused, and nothing else: whatever the policies say of an address on the way, a packet that is
//! refused before and after is refused throughout.
//!
//! ```text
//! with step 1     sources that go a way of their own leave; entries grow; sources arrive whose
//!                 refusals grow
//! after step 4    sources leave whose refusals shrink; entries shrink; the others arrive
//! ```
//! A way of its own is a source, and where needed a port table, made for the delta.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use netpol_common::{
    endpoint::flags,
    identity::{ANYONE, Address6},
    maps::NumberKind,
    policy::{ALLOW, Grant, PolicyKey, PortKey, PortVerdict},
};

use super::{Planner, ways::Way};
use crate::{
    compile::ports::{Content, levels_of},
    operation::{Entry, Key},
    table::Difference,
    tables::Tables,
};

/// Refusals while the delta is on its way.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The sets of refusals that endpoints ask now or in the end.
    sets: BTreeSet<u32>,
    /// The sources that have yet to leave for where they are in the end, and those under way.
    leaving: Vec<Address6>,
    under_way: Vec<Address6>,
    /// What only the way needs.
    entries: Vec<PolicyKey>,
    tables: BTreeMap<Content, Grant>,
}

impl Refusals {
    pub(super) fn of(tables: &Tables) -> Self {
        let (now, end) = (tables.endpoints.programmed(), tables.endpoints.desired());
        let sides = now.values().chain(end.values()).map(|e| e.ingress);
        let refusing = sides.filter(|side| side.flags & flags::DENIES != 0);
        Self {
            sets: refusing.map(|side| side.second_set).collect(),
            ..Self::default()
        }
    }

    /// Whether an entry is one of refusals.
    pub(super) fn have(&self, key: &PolicyKey) -> bool {
        self.sets.contains(&key.set)
    }
}

/// What was there when the delta began.
struct Before {
    /// The entries of refusals that change.
    entries: HashMap<PolicyKey, Option<Grant>>,
    /// The port tables that go.
    tables: HashMap<u32, Content>,
}

impl Planner<'_> {
    /// The identities that sources move from and to.
    pub(super) fn source_pairs(&self) -> BTreeSet<(u32, u32)> {
        let differences = self.tables.sources.differences();
        differences.iter().map(pair).collect()
    }

    /// Refuses what is refused in the end beside what is refused now.
    pub(super) fn refuse_first(&mut self, pairs: BTreeSet<(u32, u32)>) {
        let entries = self.tables.policy.differences();
        let entries: Vec<_> = entries
            .into_iter()
            .filter(|d| self.refusals.have(&d.key))
            .collect();
        let sources = self.tables.sources.differences();
        if entries.is_empty() && sources.is_empty() {
            return;
        }
        let before = self.before(&entries);
        let mut ways = BTreeMap::new();
        for (from, to) in pairs {
            ways.insert((from, to), self.source_way(from, to, &before));
        }
        for d in &sources {
            if let Way::Through(id) = ways[&pair(d)] {
                self.put(Entry::Source(d.key, id));
                self.refusals.under_way.push(d.key);
            }
        }
        for d in &entries {
            let ports = self.joined(d.programmed, d.desired, &before);
            self.refuse(d.key, ports, [d.desired, d.programmed], &before);
        }
        for d in &sources {
            match ways[&pair(d)] {
                Way::Early => self.arrive_source(d.key),
                Way::Late => self.refusals.leaving.push(d.key),
                Way::Through(_) => {}
            }
        }
    }

    /// Takes back what is not refused in the end.
    pub(super) fn refuse_last(&mut self) {
        for address in std::mem::take(&mut self.refusals.leaving) {
            self.arrive_source(address);
        }
        for d in self.tables.policy.differences() {
            match d.desired {
                _ if !self.refusals.have(&d.key) => {}
                Some(grant) => self.put(Entry::Policy(d.key, grant)),
                None => self.delete(Key::Policy(d.key)),
            }
        }
        for address in std::mem::take(&mut self.refusals.under_way) {
            self.arrive_source(address);
        }
        for key in std::mem::take(&mut self.refusals.entries) {
            self.delete(Key::Policy(key));
        }
        for (content, grant) in std::mem::take(&mut self.refusals.tables) {
            let table = grant.table;
            for port in content.into_keys() {
                self.delete(Key::Port(PortKey { table, port }));
            }
            let numbers = &mut self.compiler.numbers;
            numbers.retire(NumberKind::PortTable, table);
        }
    }

    fn arrive_source(&mut self, address: Address6) {
        match self.tables.sources.desired().get(&address).copied() {
            Some(id) => self.put(Entry::Source(address, id)),
            None => self.delete(Key::Source(address)),
        }
    }

    /// When a source can move. Early, where its new identity refuses, once entries have grown, what
    /// the way wants; late, where its old one does, and the new one no more.
    fn source_way(&mut self, from: u32, to: u32, before: &Before) -> Way {
        let sets: Vec<u32> = self.refusals.sets.iter().copied().collect();
        let key = |set, identity| PolicyKey { set, identity };
        let wanted = |set| {
            let now = self.at_first(key(set, from), before);
            self.joined(now, self.in_the_end(key(set, to)), before)
        };
        let wanted: Vec<Content> = sets.iter().map(|set| wanted(*set)).collect();
        let grown = |set, identity| {
            let now = self.at_first(key(set, identity), before);
            self.joined(now, self.in_the_end(key(set, identity)), before)
        };
        let pairs = || sets.iter().copied().zip(&wanted);
        if pairs().all(|(set, wanted)| grown(set, to) == *wanted) {
            return Way::Early;
        }
        let no_more =
            |ports: Content, wanted: &Content| ports.keys().all(|p| wanted.contains_key(p));
        if pairs()
            .all(|(set, wanted)| grown(set, from) == *wanted && no_more(grown(set, to), wanted))
        {
            return Way::Late;
        }
        let id = self.compiler.numbers.temporary(NumberKind::Identity);
        self.temporary.push(id);
        for (set, ports) in sets.into_iter().zip(wanted) {
            let grants = [
                self.in_the_end(key(set, to)),
                self.at_first(key(set, from), before),
            ];
            if !ports.is_empty() {
                self.refuse(key(set, id), ports, grants, before);
                self.refusals.entries.push(key(set, id));
            }
        }
        Way::Through(id)
    }

    /// Makes an entry refuse some ports, by one of the grants if that does.
    fn refuse(
        &mut self,
        key: PolicyKey,
        ports: Content,
        grants: [Option<Grant>; 2],
        before: &Before,
    ) {
        let known = || grants.into_iter().flatten();
        let Some(rule) = known().next().map(|grant| grant.rule) else {
            return;
        };
        let same = known().find(|grant| self.content(Some(*grant), before) == ports);
        let grant = match same {
            Some(grant) => grant,
            None => Grant {
                rule,
                ..self.table_for_the_way(ports)
            },
        };
        if self.tables.policy.programmed().get(&key) != Some(&grant) {
            self.put(Entry::Policy(key, grant));
        }
    }

    fn table_for_the_way(&mut self, ports: Content) -> Grant {
        if let Some(grant) = self.refusals.tables.get(&ports) {
            return *grant;
        }
        let table = self.compiler.numbers.temporary(NumberKind::PortTable);
        for (port, rule) in &ports {
            let verdict = PortVerdict {
                verdict: ALLOW,
                rule: *rule,
            };
            self.put(Entry::Port(PortKey { table, port: *port }, verdict));
        }
        let grant = Grant {
            rule: 0,
            table,
            levels: levels_of(&ports),
        };
        self.refusals.tables.insert(ports, grant);
        grant
    }

    fn before(&self, entries: &[Difference<PolicyKey, Grant>]) -> Before {
        let entries = entries.iter().map(|d| (d.key, d.programmed)).collect();
        let mut tables: HashMap<u32, Content> = HashMap::new();
        for d in self.compiler.ports.table.differences() {
            if let Some(verdict) = d.programmed {
                let content = tables.entry(d.key.table).or_default();
                content.insert(d.key.port, verdict.rule);
            }
        }
        Before { entries, tables }
    }

    fn at_first(&self, key: PolicyKey, before: &Before) -> Option<Grant> {
        match before.entries.get(&key) {
            Some(grant) => *grant,
            None => self.tables.policy.programmed().get(&key).copied(),
        }
    }

    fn in_the_end(&self, key: PolicyKey) -> Option<Grant> {
        self.tables.policy.desired().get(&key).copied()
    }

    fn content(&self, grant: Option<Grant>, before: &Before) -> Content {
        let Some(Grant { table, .. }) = grant else {
            return Content::new();
        };
        let lasting = self.compiler.ports.content(table);
        let content = lasting.or_else(|| before.tables.get(&table));
        content.cloned().unwrap_or_default()
    }

    fn joined(&self, a: Option<Grant>, b: Option<Grant>, before: &Before) -> Content {
        let mut content = self.content(a, before);
        content.extend(self.content(b, before));
        content
    }
}

fn pair(d: &Difference<Address6, u32>) -> (u32, u32) {
    (d.programmed.unwrap_or(ANYONE), d.desired.unwrap_or(ANYONE))
}
