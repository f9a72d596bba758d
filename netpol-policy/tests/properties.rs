//! The compiled maps against the oracle, over random clusters and their histories.
//!
//! `PROPTEST_CASES` sets how many clusters; `cargo xtask fuzz policy` runs more of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken test is to panic"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the modules serve several test files"
)]

mod cases;
mod generate;
mod maps;
mod node;
mod oracle;

use cases::cases;
use generate::{Cluster, cluster, history, probes};
use netpol_policy::{Change, Object};
use node::Node;
use oracle::Oracle;
use proptest::prelude::*;

fn agrees_with_the_oracle(node: &Node, cluster: &Cluster, seed: u64) -> Result<(), TestCaseError> {
    let oracle = Oracle::new(&cluster.objects);
    for probe in probes(cluster, seed) {
        let wanted = oracle.judge(&probe);
        prop_assert_eq!(
            node.allows(&probe),
            wanted.allow,
            "{:?}: {:?}",
            probe,
            wanted
        );
    }
    for probe in probes(cluster, seed) {
        if let Some(wanted) = oracle.judge_at_destination(&probe) {
            let [_, ingress] = node::openings(&probe);
            let seen = maps::judge(&node.maps, &ingress);
            prop_assert_eq!(seen, Some(wanted), "at its destination: {:?}", probe);
        }
    }
    let invalid: Vec<String> = oracle
        .invalid_policies()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let reported = node.state.policies().into_iter();
    let reported: Vec<String> = reported
        .filter(|policy| policy.problem.is_some())
        .map(|policy| policy.key.to_string())
        .collect();
    prop_assert_eq!(reported, invalid);
    Ok(())
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn the_maps_say_what_the_oracle_says(cluster in cluster(), seed in any::<u64>()) {
        let node = Node::with(&cluster.objects);
        agrees_with_the_oracle(&node, &cluster, seed)?;
    }
}

proptest! {
    #![proptest_config(cases(3_000))]

    /// After each change the maps say what the oracle says, and what maps filled from nothing say.
    #[test]
    fn changes_lead_where_a_fresh_start_leads(history in history(), seed in any::<u64>()) {
        let states = history.states();
        let mut node = Node::with(&states[0].objects);
        for (change, state) in history.changes.iter().zip(&states[1..]) {
            node.change(change);
            node.commit();
            agrees_with_the_oracle(&node, state, seed)?;
            let fresh = Node::with(&state.objects);
            prop_assert_eq!(maps::canonical(&node.maps), maps::canonical(&fresh.maps));
        }
    }

    /// The order in which objects become known, and where the commits fall, changes nothing.
    #[test]
    fn order_and_splitting_do_not_matter(
        (cluster, order) in cluster().prop_flat_map(|cluster| {
            let order = Just((0..cluster.objects.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(cluster), order)
        }),
        commits in any::<u64>(),
    ) {
        let whole = Node::with(&cluster.objects);
        let mut split = Node::new();
        for (step, place) in order.into_iter().enumerate() {
            split.set(&cluster.objects[place]);
            if commits >> (step % 64) & 1 == 1 {
                split.commit();
            }
        }
        split.commit();
        prop_assert_eq!(maps::canonical(&split.maps), maps::canonical(&whole.maps));
    }

    /// All changes at once, there and back, lead to the same maps.
    #[test]
    fn there_and_back_is_nothing(history in history()) {
        let mut node = Node::with(&history.before.objects);
        let before = maps::canonical(&node.maps);
        for change in &history.changes {
            node.change(change);
        }
        node.commit();
        let after = Node::with(&history.after().objects);
        prop_assert_eq!(maps::canonical(&node.maps), maps::canonical(&after.maps));
        for change in way_back(&history) {
            node.change(&change);
        }
        node.commit();
        prop_assert_eq!(maps::canonical(&node.maps), before);
    }

    /// An agent that starts on maps of another time changes only what differs: nothing at all when
    /// the objects are the same, and to the same end when they are not.
    #[test]
    fn a_new_agent_takes_over(history in history()) {
        let old = Node::with(&history.before.objects);
        let mut same = Node::new();
        same.maps = old.maps.clone();
        same.state.resync(same.maps.clone());
        for object in &history.before.objects {
            same.set(object);
        }
        let delta = same.commit();
        prop_assert_eq!(delta.operations, vec![]);

        let after = history.after();
        let mut new = Node::new();
        new.maps = old.maps;
        new.state.resync(new.maps.clone());
        for object in &after.objects {
            new.set(object);
        }
        new.commit();
        let fresh = Node::with(&after.objects);
        prop_assert_eq!(maps::canonical(&new.maps), maps::canonical(&fresh.maps));
    }

    /// The same content is not written twice.
    #[test]
    fn an_object_set_again_changes_nothing(cluster in cluster()) {
        let mut node = Node::with(&cluster.objects);
        for object in &cluster.objects {
            node.state.apply(Change::Set(Object::from_value(object).unwrap().unwrap()));
        }
        prop_assert_eq!(node.commit().operations, vec![]);
    }
}

/// The changes that undo a history, in an order that keeps addresses unique.
fn way_back(history: &generate::History) -> Vec<generate::Change> {
    let (before, after) = (&history.before, history.after());
    let mut back = Vec::new();
    for object in &after.objects {
        let (kind, namespace, name) = generate::identity(object);
        back.push(generate::Change::Delete {
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        });
    }
    let objects = before.objects.iter().cloned();
    back.extend(objects.map(generate::Change::Upsert));
    back
}
