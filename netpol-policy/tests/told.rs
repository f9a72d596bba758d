//! Addresses that the node knows of before the API shows them.

#![allow(clippy::expect_used, reason = "a broken test is to panic")]

use std::{collections::BTreeSet, net::IpAddr};

use netpol_policy::{Change, ClusterState, Limits, Object, ObjectKey, ObjectRef, Scope};
use serde_json::{Value, json};

const FIRST: &str = "10.0.0.1";
const SECOND: &str = "10.0.0.2";

fn state() -> ClusterState {
    ClusterState::new(Scope::Node("here".to_owned()), Limits::UNLIMITED)
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("a", name)
}

fn pod(name: &str, uid: &str, addresses: &[&str]) -> Value {
    let ips: Vec<_> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "a", "name": name, "uid": uid, "labels": {"app": name}},
        "spec": {"nodeName": "here", "containers": []},
        "status": {"podIPs": ips},
    })
}

fn set(state: &mut ClusterState, value: &Value) {
    let object = Object::from_value(value).expect("valid").expect("known");
    state.apply(Change::Set(object));
}

fn ips(addresses: &[&str]) -> BTreeSet<IpAddr> {
    let parsed = addresses.iter().map(|ip| ip.parse().expect("an address"));
    parsed.collect()
}

fn tell(state: &mut ClusterState, name: &str, uid: &str, addresses: Option<&[&str]>) {
    state.apply(Change::Addresses {
        pod: key(name),
        uid: uid.to_owned(),
        addresses: addresses.map(ips),
    });
}

fn addresses(state: &mut ClusterState, name: &str) -> BTreeSet<IpAddr> {
    state.commit();
    let mut views = state.endpoints().into_iter();
    let view = views.find(|view| view.pod == key(name));
    view.expect("an endpoint").addresses.into_iter().collect()
}

fn owner(state: &ClusterState, address: &str) -> Option<String> {
    let owner = state.pod_at(address.parse().expect("an address"));
    owner.map(|owner| owner.name.clone())
}

#[test]
fn the_node_s_word_counts_until_the_api_shows_something_new() {
    let mut state = state();
    // As after a reboot: what the API shows was the former sandbox's.
    set(&mut state, &pod("x", "1", &[FIRST]));
    tell(&mut state, "x", "1", Some(&[SECOND]));
    assert_eq!(addresses(&mut state, "x"), ips(&[SECOND]));
    assert_eq!(owner(&state, FIRST), None);
    set(&mut state, &pod("x", "1", &[FIRST]));
    assert_eq!(addresses(&mut state, "x"), ips(&[SECOND]), "shown again");
    set(&mut state, &pod("x", "1", &[SECOND, "fd00::2"]));
    assert_eq!(addresses(&mut state, "x"), ips(&[SECOND, "fd00::2"]));
    tell(&mut state, "x", "1", None);
    assert_eq!(addresses(&mut state, "x"), ips(&[SECOND, "fd00::2"]));
}

#[test]
fn an_address_that_was_given_back_is_the_next_pod_s_at_once() {
    let mut state = state();
    set(&mut state, &pod("old", "1", &[FIRST]));
    set(&mut state, &pod("new", "2", &[]));
    tell(&mut state, "old", "1", Some(&[]));
    assert_eq!(owner(&state, FIRST), None);
    tell(&mut state, "new", "2", Some(&[FIRST]));
    assert_eq!(owner(&state, FIRST).as_deref(), Some("new"));
    let former = state.former_owner(&key("new"), &ips(&[FIRST]));
    assert_eq!(former, Some(key("old")), "the API still shows it");
    let pod = ObjectRef {
        kind: netpol_policy::Kind::Pod,
        key: key("old"),
    };
    state.apply(Change::Remove(pod));
    assert_eq!(state.former_owner(&key("new"), &ips(&[FIRST])), None);
}

#[test]
fn the_node_s_word_on_who_has_an_address_counts_before_the_api_s() {
    let mut state = state();
    set(&mut state, &pod("b", "1", &[FIRST]));
    set(&mut state, &pod("c", "2", &[]));
    tell(&mut state, "c", "2", Some(&[FIRST]));
    assert_eq!(owner(&state, FIRST).as_deref(), Some("c"));
}

#[test]
fn a_sandbox_made_without_the_node_s_word_is_known_by_the_api_again() {
    let mut state = state();
    set(&mut state, &pod("x", "1", &[FIRST]));
    tell(&mut state, "x", "1", Some(&[]));
    assert_eq!(addresses(&mut state, "x"), ips(&[]));
    set(&mut state, &pod("x", "1", &[SECOND]));
    assert_eq!(addresses(&mut state, "x"), ips(&[SECOND]));
}

#[test]
fn another_pod_of_the_name_is_not_meant() {
    let mut state = state();
    set(&mut state, &pod("x", "1", &[]));
    tell(&mut state, "x", "2", Some(&[FIRST]));
    assert_eq!(addresses(&mut state, "x"), ips(&[]));
    tell(&mut state, "x", "1", Some(&[FIRST]));
    set(&mut state, &pod("x", "2", &[]));
    assert_eq!(addresses(&mut state, "x"), ips(&[]));
    assert_eq!(owner(&state, FIRST), None);
}

#[test]
fn a_static_pod_is_known_by_the_kubelet_s_uid() {
    let mut mirror = pod("static", "of-the-mirror", &[]);
    mirror["metadata"]["annotations"] = json!({
        "kubernetes.io/config.mirror": "hash", "kubernetes.io/config.hash": "hash",
    });
    let mut state = state();
    set(&mut state, &mirror);
    let object = state.pod(&key("static")).expect("it is there");
    assert!(object.is_known_as("hash") && object.is_known_as("of-the-mirror"));
    assert!(object.is_known_as(""), "a runtime that names no uid");
    assert!(!object.is_known_as("another"));
}
