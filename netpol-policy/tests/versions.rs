//! What a policy says decides what is in the maps; which version of the object says it does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken test is to panic"
)]

use netpol_policy::{Change, ClusterState, Limits, Object, ObjectKey, Operation, Scope};
use serde_json::{Value, json};

fn set(state: &mut ClusterState, object: &Value) -> Vec<Operation> {
    let object = Object::from_value(object).expect("valid").expect("known");
    state.apply(Change::Set(object));
    state.commit().operations
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "shop", "name": "web", "labels": { "app": "web" } },
        "spec": { "nodeName": "here", "containers": [] },
        "status": { "podIPs": [{ "ip": "10.0.0.1" }] },
    })
}

fn policy(uid: &str, generation: i64, port: u16) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {
            "namespace": "shop", "name": "web", "uid": uid, "generation": generation,
        },
        "spec": { "podSelector": {}, "ingress": [{ "ports": [{ "port": port }] }] },
    })
}

fn version(state: &ClusterState) -> (String, Option<i64>) {
    let version = &state.policies()[0].version;
    (version.uid.clone(), version.generation)
}

#[test]
fn a_version_that_says_the_same_changes_nothing_but_the_version() {
    let mut state = ClusterState::new(Scope::Node("here".to_owned()), Limits::UNLIMITED);
    set(&mut state, &pod());
    state.apply(Change::Attach {
        pod: ObjectKey::new("shop", "web"),
        ifindex: 7,
    });
    assert!(!set(&mut state, &policy("one", 1, 80)).is_empty());
    assert_eq!(version(&state), ("one".to_owned(), Some(1)));

    assert_eq!(set(&mut state, &policy("one", 2, 80)), []);
    assert_eq!(version(&state), ("one".to_owned(), Some(2)));

    assert_eq!(set(&mut state, &policy("two", 1, 80)), []);
    assert_eq!(version(&state), ("two".to_owned(), Some(1)));

    assert!(!set(&mut state, &policy("two", 2, 81)).is_empty());
}
