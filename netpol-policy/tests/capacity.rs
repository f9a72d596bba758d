//! What does not fit the maps is refused whole, for the endpoints concerned, and said.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken test is to panic"
)]

use netpol_common::{counter::DropReason, endpoint::flags};
use netpol_policy::{Change, ClusterState, Limits, Object, ObjectKey, Programmed, Scope};
use serde_json::{Value, json};

struct Node {
    state: ClusterState,
    maps: Programmed,
}

impl Node {
    fn new(limits: Limits) -> Self {
        Self {
            state: ClusterState::new(Scope::Node("here".into()), limits),
            maps: Programmed::default(),
        }
    }

    fn set(&mut self, object: &Value) -> &mut Self {
        let object = Object::from_value(object).unwrap().unwrap();
        self.state.apply(Change::Set(object));
        self
    }

    fn commit(&mut self) -> &mut Self {
        for operation in self.state.commit().operations {
            self.maps.apply(&operation);
        }
        self
    }

    fn pod(&mut self, number: u8) -> &mut Self {
        let name = format!("pod-{number}");
        self.set(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "shop", "name": name, "labels": { "app": name } },
            "spec": { "nodeName": "here", "containers": [] },
            "status": { "podIPs": [{ "ip": format!("10.0.0.{number}") }] },
        }));
        self.state.apply(Change::Attach {
            pod: ObjectKey::new("shop", name),
            ifindex: u32::from(number),
        });
        self
    }

    /// A policy for one pod, with so many blocks.
    fn policy(&mut self, number: u8, blocks: u8) -> &mut Self {
        let blocks: Vec<Value> = (0..blocks)
            .map(|block| json!({ "ipBlock": { "cidr": format!("192.168.{block}.{number}/32") } }))
            .collect();
        self.set(&json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "namespace": "shop", "name": format!("policy-{number}") },
            "spec": {
                "podSelector": { "matchLabels": { "app": format!("pod-{number}") } },
                "ingress": [{ "from": blocks }],
            },
        }))
    }

    fn closed(&self) -> Vec<String> {
        let endpoints = self.state.endpoints().into_iter();
        let closed = endpoints.filter(|endpoint| endpoint.closed.is_some());
        closed.map(|endpoint| endpoint.pod.name).collect()
    }
}

fn limits() -> Limits {
    Limits {
        cidrs_v4: 8,
        ..Limits::UNLIMITED
    }
}

#[test]
fn the_endpoint_that_asks_for_too_much_is_closed_and_the_others_are_not() {
    let mut node = Node::new(limits());
    node.pod(1).pod(2).policy(1, 5).policy(2, 6).commit();
    assert_eq!(node.closed(), ["pod-2"]);
    let closed = node.maps.endpoints[&2];
    for direction in [closed.ingress, closed.egress] {
        assert_eq!(direction.flags, flags::ISOLATED);
        assert_eq!(direction.set, 0);
        assert_eq!(direction.deny_rule, DropReason::PolicyTooLarge.counter());
    }
    assert_eq!(node.maps.endpoints[&1].egress.flags, 0);
    assert_eq!(
        node.maps.cidrs_v4.len(),
        5,
        "nothing of what was refused is there"
    );
}

#[test]
fn what_fits_again_is_enforced_again() {
    let mut node = Node::new(limits());
    node.pod(1).pod(2).policy(1, 5).policy(2, 6).commit();
    node.policy(1, 2).commit();
    assert_eq!(node.closed(), Vec::<String>::new());
    assert_eq!(node.maps.cidrs_v4.len(), 8);
}

#[test]
fn the_way_there_does_not_decide_who_is_closed() {
    let mut one = Node::new(limits());
    one.pod(1).pod(2).policy(1, 6).policy(2, 7).commit();
    let mut other = Node::new(limits());
    other
        .policy(2, 7)
        .pod(2)
        .commit()
        .policy(1, 6)
        .commit()
        .pod(1)
        .commit();
    assert_eq!(one.closed(), other.closed());
    assert_eq!(one.closed(), ["pod-2"]);
}

#[test]
fn an_endpoint_without_room_has_no_entry_and_says_so() {
    let mut node = Node::new(Limits {
        endpoints: 1,
        ..Limits::UNLIMITED
    });
    node.pod(1).pod(2).commit();
    assert_eq!(node.closed(), ["pod-2"]);
    assert_eq!(node.maps.endpoints.keys().collect::<Vec<_>>(), [&1]);
}

#[test]
fn every_limit_closes() {
    let full = Limits::UNLIMITED;
    let limits = [
        Limits {
            policy_entries: 1,
            ..full
        },
        Limits { rules: 1, ..full },
        Limits {
            cidrs_v4: 1,
            ..full
        },
    ];
    for limits in limits {
        let mut node = Node::new(limits);
        node.pod(1).policy(1, 3).commit();
        assert_eq!(node.closed(), ["pod-1"], "{limits:?}");
        for table in node.state.tables() {
            assert!(table.used <= table.capacity, "{table:?}");
        }
    }
}
