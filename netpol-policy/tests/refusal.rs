//! The annotation of a namespace that says how its policies refuse.

#![allow(clippy::expect_used, reason = "a broken test is to panic")]

use netpol_common::endpoint::{Endpoint, flags};
use netpol_policy::{
    Change, ClusterState, Delta, Entry, Kind, Limits, Object, ObjectKey, ObjectRef, Operation,
    REFUSE_ANNOTATION, Scope,
};
use serde_json::{Value, json};

const INTERFACE: u32 = 7;

fn state() -> ClusterState {
    ClusterState::new(Scope::Node("here".to_owned()), Limits::UNLIMITED)
}

fn set(state: &mut ClusterState, value: &Value) -> bool {
    let object = Object::from_value(value).expect("valid").expect("known");
    state.apply(Change::Set(object))
}

fn namespace(annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "a", "annotations": annotations},
    })
}

/// A pod `x` of the namespace `a`, isolated for ingress.
fn isolate(state: &mut ClusterState) {
    set(
        state,
        &json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "a", "name": "x", "uid": "1"},
            "spec": {"nodeName": "here", "containers": []},
            "status": {"podIPs": [{"ip": "10.0.0.1"}]},
        }),
    );
    set(
        state,
        &json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": "a", "name": "deny"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        }),
    );
    state.apply(Change::Attach {
        pod: ObjectKey::new("a", "x"),
        ifindex: INTERFACE,
    });
}

/// The endpoint's entry, if it is written again.
fn entry(delta: &Delta) -> Option<Endpoint> {
    let operations = delta.operations.iter().rev();
    operations
        .into_iter()
        .find_map(|operation| match operation {
            Operation::Put(Entry::Endpoint(INTERFACE, endpoint)) => Some(*endpoint),
            _ => None,
        })
}

/// Whether it answers, in the one direction and the other.
fn answers(endpoint: Endpoint) -> [bool; 2] {
    [endpoint.ingress, endpoint.egress].map(|direction| direction.flags & flags::REJECT != 0)
}

#[test]
fn the_directions_that_are_isolated_answer_where_the_namespace_says_so() {
    let mut state = state();
    set(
        &mut state,
        &namespace(&json!({REFUSE_ANNOTATION: "reject", "other": 1})),
    );
    isolate(&mut state);
    let first = entry(&state.commit()).expect("an entry");
    assert_eq!(answers(first), [true, false]);
    let view = state.endpoints().remove(0);
    assert!(view.ingress.rejects && !view.egress.rejects);

    for other in [json!({}), json!({REFUSE_ANNOTATION: "drop"}), json!(null)] {
        set(
            &mut state,
            &namespace(&json!({REFUSE_ANNOTATION: "reject"})),
        );
        state.commit();
        assert!(set(&mut state, &namespace(&other)), "{other}");
        let changed = entry(&state.commit()).expect("an entry");
        assert_eq!(answers(changed), [false; 2], "{other}");
        assert!(changed.generation > first.generation);
        assert!(!set(&mut state, &namespace(&other)), "the same again");
    }
}

#[test]
fn the_order_in_which_objects_come_does_not_matter() {
    let mut state = state();
    isolate(&mut state);
    state.commit();
    set(
        &mut state,
        &namespace(&json!({REFUSE_ANNOTATION: "reject"})),
    );
    assert_eq!(
        answers(entry(&state.commit()).expect("an entry")),
        [true, false]
    );
    state.apply(Change::Remove(ObjectRef {
        kind: Kind::Namespace,
        key: ObjectKey::new("", "a"),
    }));
    assert_eq!(
        answers(entry(&state.commit()).expect("an entry")),
        [false; 2]
    );
}

#[test]
fn a_value_that_is_not_understood_drops_and_is_named() {
    let mut state = state().with_reject();
    isolate(&mut state);
    assert_eq!(
        answers(entry(&state.commit()).expect("an entry")),
        [true, false]
    );
    for value in [json!("Reject"), json!(""), json!("drop")] {
        set(&mut state, &namespace(&json!({REFUSE_ANNOTATION: value})));
        if let Some(entry) = entry(&state.commit()) {
            assert_eq!(answers(entry), [false; 2], "{value}");
        }
        let unknown: Vec<_> = state.unknown_refusals().collect();
        match value.as_str() {
            Some("drop") => assert!(unknown.is_empty()),
            text => assert_eq!(unknown, [("a", text.unwrap_or_default())]),
        }
    }
}
