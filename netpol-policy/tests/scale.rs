//! A commit touches what a change touches, at the size of a large cluster. Times are printed, not
//! judged; run with `--release -- --nocapture` to read them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken test is to panic"
)]

use std::time::Instant;

use netpol_policy::{Change, ClusterState, Delta, Limits, Object, ObjectKey, Scope};
use serde_json::{Value, json};

const NAMESPACES: u32 = 50;
const PODS: u32 = 10_000;
const LOCAL: u32 = 110;
const POLICIES: u32 = 1_000;

fn pod(number: u32, tier: &str) -> Value {
    // Every node has pods of many namespaces.
    let node = if number.is_multiple_of(PODS / LOCAL) {
        "here"
    } else {
        "elsewhere"
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": format!("ns-{}", number % NAMESPACES),
            "name": format!("pod-{number}"),
            "labels": { "app": format!("app-{}", number / NAMESPACES % 20), "tier": tier },
        },
        "spec": { "nodeName": node, "containers": [] },
        "status": { "podIPs": [{ "ip": format!("10.{}.{}.1", number / 250, number % 250) }] },
    })
}

fn policy(number: u32, port: u32) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {
            "namespace": format!("ns-{}", number % NAMESPACES),
            "name": format!("policy-{number}"),
        },
        "spec": {
            "podSelector": { "matchLabels": { "app": format!("app-{}", number / NAMESPACES) } },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{
                "from": [
                    { "podSelector": { "matchLabels": { "app": format!("app-{}", number % 7) } } },
                    { "namespaceSelector": { "matchLabels": { "team": format!("t{}", number % 5) } } },
                ],
                "ports": [{ "port": port }],
            }],
            "egress": [{ "to": [{ "ipBlock": { "cidr": format!("172.16.{}.0/24", number % 200) } }] }],
        },
    })
}

fn apply(state: &mut ClusterState, object: &Value) {
    let object = Object::from_value(object).unwrap().unwrap();
    state.apply(Change::Set(object));
}

fn timed(what: &str, state: &mut ClusterState, objects: &[Value]) -> Delta {
    let start = Instant::now();
    for object in objects {
        apply(state, object);
    }
    let delta = state.commit();
    let operations = delta.operations.len();
    println!("{what}: {:?}, {operations} operations", start.elapsed());
    delta
}

#[test]
fn a_change_costs_what_it_touches() {
    let limits = Limits::UNLIMITED;
    let mut state = ClusterState::new(Scope::Node("here".into()), limits);
    let mut objects = Vec::new();
    for number in 0..NAMESPACES {
        objects.push(json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": format!("ns-{number}"),
                "labels": { "team": format!("t{}", number % 5) },
            },
        }));
    }
    objects.extend((0..PODS).map(|number| pod(number, "a")));
    objects.extend((0..POLICIES).map(|number| policy(number, 8080)));
    for number in (0..PODS).filter(|number| number.is_multiple_of(PODS / LOCAL)) {
        let namespace = format!("ns-{}", number % NAMESPACES);
        state.apply(Change::Attach {
            pod: ObjectKey::new(namespace, format!("pod-{number}")),
            ifindex: number + 1,
        });
    }
    timed("first commit", &mut state, &objects);
    let uses = state.tables();
    println!("{uses:?}");

    let delta = timed("the same again", &mut state, &objects);
    assert_eq!(delta.operations, vec![]);

    // A label that no policy asks for.
    let delta = timed("a label nobody asks for", &mut state, &[pod(1, "b")]);
    assert_eq!(delta.operations, vec![]);

    // A pod of another node goes to a class that is there already.
    let mut moved = pod(1, "a");
    moved["metadata"]["labels"]["app"] = "app-1".into();
    let delta = timed("one pod's labels", &mut state, &[moved]);
    assert!(delta.operations.len() <= 40, "{:#?}", delta.operations);

    let delta = timed("one policy's port", &mut state, &[policy(0, 9090)]);
    assert!(delta.operations.len() <= 400, "{}", delta.operations.len());
}
