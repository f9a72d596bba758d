//! Packets judged after every single operation of a delta: each end of each connection has the
//! old verdict or the new one, and nothing else on the way.

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

use std::collections::BTreeSet;

use cases::cases;
use generate::{History, history, probes};
use maps::Opening;
use netpol_common::{Direction, endpoint::Endpoint, protocol};
use netpol_policy::{Operation, Programmed};
use node::{Node, openings};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The ends of the probes worth asking: those before and after the changes.
fn asked(history: &History, seed: u64) -> Vec<Opening> {
    let mut both = probes(&history.before, seed);
    both.extend(probes(&history.after(), seed));
    both.iter().flat_map(openings).collect()
}

/// Verdicts, with what is not programmed as `None`.
fn verdicts(maps: &Programmed, asked: &[Opening]) -> Vec<Option<bool>> {
    asked.iter().map(|o| maps::judge(maps, o)).collect()
}

/// Those of the endpoints that are there before and after, with the same addresses: a packet for
/// an address that passes from one pod to another has no old verdict.
fn lasting(before: &Programmed, after: &Programmed, asked: Vec<Opening>) -> Vec<Opening> {
    let endpoint = |maps: &Programmed, opening: &Opening| {
        let ifindex = maps::interface_at(maps, opening.local)?;
        let endpoint = maps.endpoints[&ifindex];
        Some((ifindex, endpoint.v4, endpoint.v6))
    };
    let mut asked = asked;
    asked.retain(|o| endpoint(before, o) == endpoint(after, o));
    asked
}

/// The endpoints that are there before and after, as they are then.
fn lasting_endpoints<'a>(
    before: &'a Programmed,
    after: &'a Programmed,
) -> impl Iterator<Item = (&'a Endpoint, &'a Endpoint)> {
    let pairs = before.endpoints.iter();
    pairs.filter_map(|(ifindex, e)| Some((e, after.endpoints.get(ifindex)?)))
}

/// Whether an endpoint switches to a policy set that another leaves.
fn trades_sets(before: &Programmed, after: &Programmed) -> bool {
    let sets = |this: &Programmed, other: &Programmed| -> BTreeSet<u32> {
        let sides = lasting_endpoints(this, other)
            .flat_map(|(a, b)| [(a.ingress, b.ingress), (a.egress, b.egress)]);
        let left = sides.flat_map(|(a, b)| {
            let set = (a.set != b.set && a.isolated()).then_some(a.set);
            [set, (a.second_set != b.second_set).then_some(a.second_set)]
        });
        left.flatten().filter(|set| *set != 0).collect()
    };
    !sets(before, after).is_disjoint(&sets(after, before))
}

/// Whether some endpoint keeps its policy set and switches to other refusals.
fn trades_refusals(before: &Programmed, after: &Programmed) -> bool {
    lasting_endpoints(before, after).any(|(a, b)| maps::refusals(a) != maps::refusals(b))
}

/// What changes beside the policies on the way from one state to another: there an opening may be
/// closed for a moment.
struct Upheaval {
    trade: bool,
    refusals: bool,
}

impl Upheaval {
    fn between(before: &Programmed, after: &Programmed) -> Self {
        Self {
            trade: trades_sets(before, after),
            refusals: trades_refusals(before, after),
        }
    }

    fn may_close(&self, before: &Programmed, after: &Programmed, opening: &Opening) -> bool {
        let id = |maps: &Programmed| maps::remote_identity(maps, opening);
        let changes =
            |of: fn(&Programmed, &Opening) -> bool| of(before, opening) != of(after, opening);
        self.trade
            || self.refusals && id(before) != id(after)
            // Without its entry a port of every node is as many things as there are nodes.
            || changes(maps::has_node_port)
            // What a Service's own pods are let through by goes before the Service's place does.
            || changes(maps::is_of_own_service)
    }
}

/// The openings but those to an address that is a node's before and not after, or the other way
/// round: where Services have ports on nodes, what is asked there changes beside the policies.
fn at_lasting_nodes(before: &Programmed, after: &Programmed, asked: Vec<Opening>) -> Vec<Opening> {
    let mut asked = asked;
    asked.retain(|o| {
        maps::is_node(before, o) == maps::is_node(after, o)
            || !(maps::has_node_port(before, o) || maps::has_node_port(after, o))
    });
    asked
}

fn old_or_new(node: &mut Node, asked: &[Opening]) -> Result<(), TestCaseError> {
    let mut maps = node.maps.clone();
    let first = maps.clone();
    let delta = node.commit();
    let upheaval = Upheaval::between(&maps, &node.maps);
    let asked = at_lasting_nodes(&maps, &node.maps, asked.to_vec());
    let asked = &lasting(&maps, &node.maps, asked);
    let before = verdicts(&maps, asked);
    let after = verdicts(&node.maps, asked);
    let changed: BTreeSet<usize> = (0..asked.len())
        .filter(|i| before[*i] != after[*i])
        .collect();
    for (step, operation) in delta.operations.iter().enumerate() {
        maps.apply(operation);
        for (place, opening) in asked.iter().enumerate() {
            let now = maps::judge(&maps, opening);
            let right = now == after[place]
                || now == before[place]
                || (now == Some(false) && upheaval.may_close(&first, &node.maps, opening));
            prop_assert!(
                right,
                "after operation {step} of {:#?}: {opening:?} is {now:?}, was {:?}, will be {:?}",
                delta.operations,
                before[place],
                after[place],
            );
        }
    }
    rejudged(&delta.operations, &node.maps, asked, &changed)
}

/// Every endpoint that has a new verdict on anything has a new generation, written after the last
/// operation that could change a verdict of its: tracked connections are judged again.
fn rejudged(
    operations: &[Operation],
    maps: &Programmed,
    asked: &[Opening],
    changed: &BTreeSet<usize>,
) -> Result<(), TestCaseError> {
    use netpol_policy::Entry;
    for place in changed {
        let Some(ifindex) = maps::interface_at(maps, asked[*place].local) else {
            continue;
        };
        let written = operations
            .iter()
            .any(|o| matches!(o, Operation::Put(Entry::Endpoint(index, _)) if *index == ifindex));
        prop_assert!(
            written,
            "{:?} changed without a new generation",
            asked[*place]
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn each_change_by_itself(history in history(), seed in any::<u64>()) {
        let asked = asked(&history, seed);
        let mut node = Node::with(&history.before.objects);
        for change in &history.changes {
            node.change(change);
            old_or_new(&mut node, &asked)?;
        }
    }

    #[test]
    fn all_changes_at_once(history in history(), seed in any::<u64>()) {
        let asked = asked(&history, seed);
        let mut node = Node::with(&history.before.objects);
        for change in &history.changes {
            node.change(change);
        }
        old_or_new(&mut node, &asked)?;
    }

    /// A crash anywhere on the way: a new agent leads from there to the same end, and what was the
    /// old or the new verdict stays one of these.
    #[test]
    fn a_crash_on_the_way(history in history(), seed in any::<u64>(), at in any::<prop::sample::Index>()) {
        let asked = asked(&history, seed);
        let mut node = Node::with(&history.before.objects);
        let mut maps = node.maps.clone();
        for change in &history.changes {
            node.change(change);
        }
        let delta = node.commit();
        let asked = at_lasting_nodes(&maps, &node.maps, asked);
        let asked = lasting(&maps, &node.maps, asked);
        let first = maps.clone();
        let before = verdicts(&maps, &asked);
        let upheaval = Upheaval::between(&maps, &node.maps);
        let after = verdicts(&node.maps, &asked);
        prop_assume!(!delta.operations.is_empty());
        for operation in &delta.operations[..at.index(delta.operations.len())] {
            maps.apply(operation);
        }
        let mut new = Node::new();
        new.maps = maps.clone();
        new.state.resync(maps.clone());
        for object in &history.after().objects {
            new.set(object);
        }
        let recovery = new.commit();
        let half_way = maps.clone();
        let recovering = Upheaval::between(&half_way, &new.maps);
        for operation in &recovery.operations {
            maps.apply(operation);
            for (place, opening) in asked.iter().enumerate() {
                let now = maps::judge(&maps, opening);
                let right = now == before[place] || now == after[place];
                let closed = now == Some(false)
                    && (upheaval.may_close(&first, &node.maps, opening)
                        || recovering.may_close(&half_way, &node.maps, opening));
                prop_assert!(
                    right || closed,
                    "{opening:?} is {now:?}, was {:?}, will be {:?}",
                    before[place],
                    after[place],
                );
            }
        }
        prop_assert_eq!(maps::canonical(&maps), maps::canonical(&node.maps));
    }
}

/// What `asked` lets pass in the middle of a delta that neither its beginning nor its end lets pass.
fn opened_on_the_way(node: &mut Node, asked: &Opening) -> Vec<usize> {
    let mut maps = node.maps.clone();
    let before = maps::judge(&maps, asked);
    let delta = node.commit();
    let after = maps::judge(&node.maps, asked);
    assert_eq!((before, after), (Some(false), Some(false)));
    let mut opened = Vec::new();
    for (step, operation) in delta.operations.iter().enumerate() {
        maps.apply(operation);
        if maps::judge(&maps, asked) == Some(true) {
            opened.push(step);
        }
    }
    opened
}

/// The first sender that a backend refuses brings the refusals with it: its address must not be
/// what the backend's policies allow before they are in force.
#[test]
fn the_first_sender_that_a_backend_refuses_is_refused_from_the_start() {
    let pod = |name: &str, address: &str| {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "shop", "name": name, "labels": {"app": name}},
            "spec": {"nodeName": "node-a"}, "status": {"phase": "Running", "podIP": address}})
    };
    let policy = |name: &str, spec: Value| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": "shop", "name": name}, "spec": spec})
    };
    let before = [
        pod("db", "10.0.0.1"),
        pod("web", "10.0.0.2"),
        policy(
            "from-shop",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": [{"podSelector": {}}]}]}),
        ),
        policy(
            "nowhere",
            json!({"podSelector": {"matchLabels": {"app": "job"}}, "policyTypes": ["Egress"]}),
        ),
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": "shop", "name": "db"},
            "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "selector": {"app": "db"},
                "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]}}),
    ];
    let mut node = Node::with(&before);
    let job = Opening {
        direction: Direction::Ingress,
        local: "10.0.0.1".parse().unwrap(),
        remote: "10.0.0.3".parse().unwrap(),
        protocol: protocol::TCP,
        port: Some(8080),
    };
    let web = Opening {
        remote: "10.0.0.2".parse().unwrap(),
        ..job
    };
    assert_eq!(maps::judge(&node.maps, &web), Some(true));
    node.set(&pod("job", "10.0.0.3"));
    assert_eq!(opened_on_the_way(&mut node, &job), Vec::<usize>::new());
    assert_eq!(maps::judge(&node.maps, &web), Some(true));
}
