//! From a failing case to a small one: leave something out, see whether it still fails.

use std::fmt;

use proptest::arbitrary::any;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::surroundings::addresses_are_unique;
use super::{Change, Cluster, History};

/// What `make` makes of a random seed.
#[derive(Clone, Debug)]
pub(super) struct FromSeed<T> {
    make: fn(u64) -> T,
}

impl<T> FromSeed<T> {
    pub(super) const fn new(make: fn(u64) -> T) -> Self {
        Self { make }
    }
}

impl<T: Shrink> Strategy for FromSeed<T> {
    type Tree = Tree<T>;
    type Value = T;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let seed = any::<u64>().new_tree(runner)?.current();
        Ok(Tree::new((self.make)(seed)))
    }
}

/// A value that parts can be left out of.
pub(super) trait Shrink: Clone + fmt::Debug {
    /// What can be left out, the large parts first.
    fn parts(&self) -> Vec<Part>;
    fn without(&self, part: &Part) -> Self;
    /// Whether the value still keeps its promises.
    fn is_sound(&self) -> bool;
}

/// A part of a cluster or of a history.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Change(usize),
    Object(usize),
    /// A JSON pointer into the object written by a change.
    InChange(usize, String),
    /// A JSON pointer into an object.
    InObject(usize, String),
}

/// Tries the parts in turn, and as long as one could go, tries again.
#[derive(Debug)]
pub(super) struct Tree<T> {
    current: T,
    /// What `current` was made from by leaving out a part, until it is known to fail too.
    larger: Option<T>,
    next: usize,
    progress: bool,
}

impl<T: Shrink> Tree<T> {
    const fn new(value: T) -> Self {
        Self {
            current: value,
            larger: None,
            next: 0,
            progress: false,
        }
    }

    fn try_next(&mut self) -> bool {
        loop {
            let parts = self.current.parts();
            let Some(part) = parts.get(self.next) else {
                if !self.progress {
                    return false;
                }
                self.progress = false;
                self.next = 0;
                continue;
            };
            let smaller = self.current.without(part);
            if smaller.is_sound() {
                self.larger = Some(std::mem::replace(&mut self.current, smaller));
                return true;
            }
            self.next += 1;
        }
    }
}

impl<T: Shrink> ValueTree for Tree<T> {
    type Value = T;

    fn current(&self) -> T {
        self.current.clone()
    }

    /// What is there fails: it stays, and the next part is left out.
    fn simplify(&mut self) -> bool {
        self.progress |= self.larger.take().is_some();
        self.try_next()
    }

    /// What is there does not fail: the part comes back, and the next one is left out.
    fn complicate(&mut self) -> bool {
        let Some(larger) = self.larger.take() else {
            return false;
        };
        self.current = larger;
        self.next += 1;
        self.try_next()
    }
}

impl Shrink for Cluster {
    fn parts(&self) -> Vec<Part> {
        // Policies come last in a cluster; without them the rest matters less.
        let objects = (0..self.objects.len()).rev().map(Part::Object);
        let inside = self
            .objects
            .iter()
            .enumerate()
            .rev()
            .flat_map(|(index, object)| {
                pointers_into(object)
                    .into_iter()
                    .map(move |pointer| Part::InObject(index, pointer))
            });
        objects.chain(inside).collect()
    }

    fn without(&self, part: &Part) -> Self {
        let mut cluster = self.clone();
        match part {
            Part::Object(index) => {
                cluster.objects.remove(*index);
            }
            Part::InObject(index, pointer) => remove(&mut cluster.objects[*index], pointer),
            Part::Change(_) | Part::InChange(..) => {}
        }
        cluster
    }

    fn is_sound(&self) -> bool {
        addresses_are_unique(self)
    }
}

impl Shrink for History {
    fn parts(&self) -> Vec<Part> {
        let changes = (0..self.changes.len()).rev().map(Part::Change);
        let inside = self
            .changes
            .iter()
            .enumerate()
            .flat_map(|(index, change)| match change {
                Change::Upsert(object) => pointers_into(object)
                    .into_iter()
                    .map(|pointer| Part::InChange(index, pointer))
                    .collect(),
                Change::Delete { .. } => Vec::new(),
            });
        changes.chain(self.before.parts()).chain(inside).collect()
    }

    fn without(&self, part: &Part) -> Self {
        let mut history = self.clone();
        match part {
            Part::Change(index) => {
                history.changes.remove(*index);
            }
            Part::InChange(index, pointer) => {
                if let Change::Upsert(object) = &mut history.changes[*index] {
                    remove(object, pointer);
                }
            }
            Part::Object(_) | Part::InObject(..) => history.before = self.before.without(part),
        }
        history
    }

    /// A change that freed an address cannot go as long as one that takes it is there.
    fn is_sound(&self) -> bool {
        self.states().iter().all(addresses_are_unique)
    }
}

/// Where an object has parts it can do without.
const OPTIONAL: &[&str] = &[
    "/spec/containers",
    "/spec/initContainers",
    "/spec/policyTypes",
    "/spec/ingress",
    "/spec/egress",
    "/spec/podSelector",
    "/metadata/labels",
    "/endpoints",
    "/ports",
    "/spec/externalIPs",
    "/spec/selector",
    "/status/loadBalancer",
];

/// Fields that make their object another thing, not a smaller one, when they go.
const NEEDED: &[&str] = &["cidr", "key", "operator", "values", "containerPort"];

fn pointers_into(object: &Value) -> Vec<String> {
    let mut pointers = Vec::new();
    for root in OPTIONAL {
        if let Some(value) = object.pointer(root) {
            pointers.push((*root).to_owned());
            collect(value, root, &mut pointers);
        }
    }
    pointers
}

fn collect(value: &Value, path: &str, pointers: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                if !NEEDED.contains(&field.as_str()) {
                    let pointer =
                        &format!("{path}/{}", field.replace('~', "~0").replace('/', "~1"));
                    collect_with(value, pointer, pointers);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_with(item, &format!("{path}/{index}"), pointers);
            }
        }
        _ => {}
    }
}

fn collect_with(value: &Value, pointer: &str, pointers: &mut Vec<String>) {
    pointers.push(pointer.to_owned());
    collect(value, pointer, pointers);
}

fn remove(object: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return;
    };
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            if let Ok(index) = last.parse::<usize>() {
                items.remove(index);
            }
        }
        _ => {}
    }
}
