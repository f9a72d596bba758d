//! The ways of addresses from one identity to another, and the entries that these need.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use netpol_common::{
    identity::{self, POD, SERVICE},
    maps::NumberKind,
    policy::{Grant, PolicyKey},
};

use super::{
    Planner,
    verdicts::{SetsInForce, effective},
};
use crate::operation::Entry;

/// Which way the addresses of a pair of identities go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Early,
    Late,
    Through(u32),
}

impl Planner<'_> {
    /// Finds each pair's way, and builds what it needs.
    pub(super) fn ways(&mut self, pairs: &BTreeSet<(u32, u32)>) -> HashMap<(u32, u32), Way> {
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
            let early = self.leaving_agree(from, as_before) && !self.closes_early(from, to);
            let way = if !traded && early {
                Way::Early
            } else if !traded && (leads || self.arriving_agree(from, to)) {
                Way::Late
            } else {
                Way::Through(self.temporary_identity(from, to))
            };
            ways.insert((from, to), way);
        }
        let SetsInForce {
            leaving,
            arriving,
            staying,
            ..
        } = self.sets.clone();
        for (&(from, to), way) in &ways {
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

    /// Contested sets that want different verdicts on the pair's addresses.
    fn traded_over(&self, from: u32, to: u32) -> Vec<(u32, u32)> {
        let (now, end) = (
            self.tables.policy.programmed(),
            self.tables.policy.desired(),
        );
        let contested = self.sets.contested.iter();
        contested
            .map(|(set, flags)| (*set, *flags))
            .filter(|(set, flags)| {
                effective(now, *set, *flags, from) != effective(end, *set, *flags, to)
            })
            .collect()
    }

    fn is_traded(&self, from: u32, to: u32) -> bool {
        !self.traded_over(from, to).is_empty()
    }

    /// Whether a set that an endpoint keeps while it switches to other Services of its own would
    /// close what these have yet to open.
    fn closes_early(&self, from: u32, to: u32) -> bool {
        let (now, end) = (
            self.tables.policy.programmed(),
            self.tables.policy.desired(),
        );
        self.sets.beside_own.iter().any(|(set, flags)| {
            effective(now, *set, *flags, from).rule != 0
                && effective(end, *set, *flags, to).rule == 0
        })
    }

    pub(super) fn is_fresh(&self, id: u32) -> bool {
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
}

fn agree(policy: &HashMap<PolicyKey, Grant>, sets: &BTreeMap<u32, u32>, a: u32, b: u32) -> bool {
    sets.iter().all(|(set, flags)| {
        effective(policy, *set, *flags, a) == effective(policy, *set, *flags, b)
    })
}
