//! Objects that are listed anew: what is the same changes nothing, what is not listed is gone.

use std::collections::HashSet;

use netpol_policy::{Change, ClusterState, Kind, Limits, Object, ObjectKey, Scope};
use serde_json::{Value, json};

fn object(value: &Value) -> Object {
    Object::from_value(value)
        .expect("readable")
        .expect("of use")
}

fn pod(name: &str, app: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "shop", "name": name, "uid": name, "labels": { "app": app } },
        "spec": { "nodeName": "node-a", "containers": [] },
        "status": { "phase": "Running", "podIP": address },
    })
}

fn policy(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "namespace": "shop", "name": name },
        "spec": {
            "podSelector": { "matchLabels": { "app": "db" } },
            "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": "web" } } }] }],
        },
    })
}

fn set(state: &mut ClusterState, value: &Value) -> bool {
    state.apply(Change::Set(object(value)))
}

fn only(state: &mut ClusterState, kind: Kind, names: &[&str]) -> bool {
    let keys = names.iter().map(|name| ObjectKey::new("shop", *name));
    let keys: HashSet<ObjectKey> = keys.collect();
    state.apply(Change::Only { kind, keys })
}

fn shop() -> ClusterState {
    let mut state = ClusterState::new(Scope::Node("node-a".to_owned()), Limits::UNLIMITED);
    for (number, (name, app)) in [("web", "web"), ("db", "db")].into_iter().enumerate() {
        assert!(set(
            &mut state,
            &pod(name, app, &format!("10.0.0.{number}"))
        ));
        let ifindex = number as u32 + 10;
        let pod = ObjectKey::new("shop", name);
        state.apply(Change::Attach { pod, ifindex });
    }
    assert!(set(&mut state, &policy("to-db")));
    state.commit();
    state
}

#[test]
fn what_is_the_same_is_no_change() {
    let mut state = shop();
    let mut web = pod("web", "web", "10.0.0.0");
    web["metadata"]["resourceVersion"] = "7".into();
    web["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
    assert!(!set(&mut state, &web));
    assert!(!set(&mut state, &policy("to-db")));
    assert!(!only(&mut state, Kind::Pod, &["web", "db"]));
    assert!(!only(&mut state, Kind::NetworkPolicy, &["to-db"]));
    assert_eq!(state.commit().operations, []);
}

#[test]
fn a_change_among_what_is_listed_is_one() {
    let mut state = shop();
    assert!(set(&mut state, &pod("web", "other", "10.0.0.0")));
    assert!(!state.commit().operations.is_empty());
}

#[test]
fn what_is_not_listed_is_gone_and_other_kinds_stay() {
    let mut state = shop();
    assert!(only(&mut state, Kind::Pod, &["db"]));
    assert!(!state.commit().operations.is_empty());
    assert!(state.pod(&ObjectKey::new("shop", "web")).is_none());
    assert!(!state.is_local(&ObjectKey::new("shop", "web")));
    assert!(state.is_local(&ObjectKey::new("shop", "db")));
    assert_eq!(state.policies().len(), 1);
    assert!(only(&mut state, Kind::NetworkPolicy, &[]));
    state.commit();
    assert!(state.policies().is_empty());
}
