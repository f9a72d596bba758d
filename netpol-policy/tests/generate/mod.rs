//! Random clusters, the probes worth asking of them, and random histories from one cluster to
//! another.
//!
//! ```text
//! seed > Dice > objects (namespaces, nodes, pods, policies) > Cluster > probes
//!                                                             Cluster > changes > Cluster
//! ```
//!
//! A test program that has this module has `mod oracle` too, whose `Probe` it uses.
//!
//! Everything is drawn from small vocabularies, so that labels, selectors, addresses, prefixes and
//! ports meet often. A cluster is a function of one 64-bit seed, which is what proptest draws; what
//! shrinks is not the seed but the cluster itself, by leaving parts of it out (see `shrink`).

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "a module of several test programs, none of which uses all of it"
)]

mod changes;
mod dice;
mod faults;
mod peer;
mod pod;
mod policy;
mod port;
mod probes;
mod selector;
mod service;
mod shrink;
mod spoil;
mod surroundings;
mod vocabulary;

use std::fmt;

use proptest::strategy::Strategy;
use serde_json::Value;

pub use probes::probes;
pub use spoil::{ALL_KINDS, spoiled_by};
pub use surroundings::addresses_are_unique;

/// A cluster's complete objects: Namespaces, Nodes, Pods, NetworkPolicies, Services and their
/// EndpointSlices, in this order. No two
/// pods that have not finished share an address, and none has a node's (but host-network pods,
/// which have only these).
#[derive(Clone, PartialEq)]
pub struct Cluster {
    pub objects: Vec<Value>,
}

/// One change of one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The object is now this, whether it was there before or not.
    Upsert(Value),
    /// The object is gone, if it was there. `namespace` is `None` for what lives in none.
    Delete {
        kind: String,
        namespace: Option<String>,
        name: String,
    },
}

/// A cluster and what happened to it. The state after each change is a cluster that keeps the
/// promises of [`Cluster`].
#[derive(Clone, PartialEq)]
pub struct History {
    pub before: Cluster,
    pub changes: Vec<Change>,
}

/// A random cluster.
pub fn cluster() -> impl Strategy<Value = Cluster> {
    shrink::FromSeed::new(Cluster::from_seed)
}

/// A random cluster with 1 to 12 steps that change it. A step is one change or, where an address
/// moves from one pod to another, two.
pub fn history() -> impl Strategy<Value = History> {
    shrink::FromSeed::new(History::from_seed)
}

/// 1 to 12 steps that change `from`.
pub fn changes(from: &Cluster) -> impl Strategy<Value = Vec<Change>> + use<> {
    let from = from.clone();
    proptest::arbitrary::any::<u64>()
        .prop_map(move |seed| changes::draw(&mut dice::Dice::new(seed), &from))
}

impl Cluster {
    /// The same cluster for the same seed.
    pub fn from_seed(seed: u64) -> Self {
        let dice = &mut dice::Dice::new(seed);
        let mut cluster = Self {
            objects: surroundings::draw(dice),
        };
        // None at all is worth a look, but not many.
        let few = |dice: &mut dice::Dice| usize::from(!dice.chance(5));
        let pods = few(dice) * dice.between(1, 12);
        let policies = few(dice) * dice.between(1, 8);
        for number in 0..pods {
            let around = surroundings::Surroundings::of(&cluster);
            cluster
                .objects
                .push(pod::draw(dice, &around, &format!("pod-{number}")));
        }
        for number in 0..policies {
            let around = surroundings::Surroundings::of(&cluster);
            cluster
                .objects
                .push(policy::draw(dice, &around, &format!("policy-{number}")));
        }
        for number in 0..dice.between(0, 3) {
            let around = surroundings::Surroundings::of(&cluster);
            let service = service::draw(dice, &around, &format!("service-{number}"));
            for _ in 0..dice.between(0, 3) {
                let slice = service::draw_slice(dice, &cluster, &service);
                cluster.apply(&Change::Upsert(slice));
            }
            cluster.objects.push(service);
        }
        // What lives in a namespace may be known before the namespace is.
        cluster
            .objects
            .retain(|object| object["kind"] != "Namespace" || !dice.chance(15));
        cluster
    }

    /// Makes one change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Upsert(object) => {
                let same = |other: &Value| identity(other) == identity(object);
                match self.objects.iter().position(same) {
                    Some(index) => self.objects[index] = object.clone(),
                    None => self.objects.push(object.clone()),
                }
            }
            Change::Delete {
                kind,
                namespace,
                name,
            } => {
                let gone = (kind.as_str(), namespace.as_deref(), name.as_str());
                self.objects.retain(|object| identity(object) != gone);
            }
        }
    }

    fn of_kind(&self, kind: &str) -> Vec<&Value> {
        let of_kind = |object: &&Value| object["kind"] == kind;
        self.objects.iter().filter(of_kind).collect()
    }
}

impl History {
    /// The same history for the same seed.
    pub fn from_seed(seed: u64) -> Self {
        let before = Cluster::from_seed(seed);
        let changes = changes::draw(&mut dice::Dice::new(!seed), &before);
        Self { before, changes }
    }

    /// The cluster that all changes lead to.
    pub fn after(&self) -> Cluster {
        let mut cluster = self.before.clone();
        for change in &self.changes {
            cluster.apply(change);
        }
        cluster
    }

    /// The cluster before the first change, and after each.
    pub fn states(&self) -> Vec<Cluster> {
        let mut states = vec![self.before.clone()];
        for change in &self.changes {
            let mut next = states[states.len() - 1].clone();
            next.apply(change);
            states.push(next);
        }
        states
    }
}

/// Kind, namespace and name.
pub fn identity(object: &Value) -> (&str, Option<&str>, &str) {
    (
        object["kind"].as_str().unwrap_or_default(),
        object["metadata"]["namespace"].as_str(),
        object["metadata"]["name"].as_str().unwrap_or_default(),
    )
}

/// One object a line, as JSON: to read, and to keep as a fixture.
impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[")?;
        for object in &self.objects {
            writeln!(f, "  {object},")?;
        }
        write!(f, "]")
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "before: {:?}", self.before)?;
        for change in &self.changes {
            match change {
                Change::Upsert(object) => writeln!(f, "upsert {object}")?,
                Change::Delete { .. } => writeln!(f, "{change:?}")?,
            }
        }
        Ok(())
    }
}
