//! Which pods are subjects and peers: phases, host network, addresses, the pod itself.

use serde_json::{Value, json};

use crate::world::World;

/// Nobody in the shop hears from or speaks to anyone but pods.
fn pods_only(world: World) -> World {
    let anyone = json!([{ "namespaceSelector": {} }]);
    world.policy(
        "shop",
        &json!({
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{ "from": anyone }],
            "egress": [{ "to": anyone }],
        }),
    )
}

/// No pod of the shop hears from or speaks to anyone.
fn closed(world: World) -> World {
    world.policy("shop", &json!({ "policyTypes": ["Ingress", "Egress"] }))
}

fn listening_on_api() -> Value {
    json!([{ "name": "main", "ports": [{ "name": "api", "containerPort": 80 }] }])
}

#[test]
fn a_pod_reaches_itself_on_any_of_its_addresses() {
    let three = json!([{ "ip": "10.0.0.2" }, { "ip": "10.0.0.22" }, { "ip": "fd00::2" }]);
    let three = json!({ "status": { "podIPs": three } });
    closed(World::shop_and_bank().with("shop/db", &three)).expect(&[
        "shop/db > shop/db TCP/80: allow",
        "10.0.0.2 > 10.0.0.22 ICMP: allow",
        "10.0.0.22 > 10.0.0.2 GRE: allow",
        "fd00::2 > fd00::2 UDP/1: allow",
        "shop/db > shop/web TCP/80: deny at egress",
    ]);
}

#[test]
fn every_address_of_a_pod_is_isolated() {
    let two = json!({ "status": { "podIPs": [{ "ip": "10.0.0.2" }, { "ip": "fd00::2" }] } });
    closed(World::shop_and_bank().with("shop/db", &two)).expect(&[
        "8.8.8.8 > 10.0.0.2 TCP/80: deny at ingress",
        "2001:db8::1 > fd00::2 TCP/80: deny at ingress",
        "fd00::2 > 2001:db8::1 TCP/80: deny at egress",
    ]);
}

#[test]
fn an_address_may_stand_in_either_field() {
    closed(World::shop_and_bank().with("shop/db", &json!({ "status": { "podIPs": null } })))
        .expect(&["8.8.8.8 > 10.0.0.2 TCP/80: deny at ingress"]);
    closed(World::shop_and_bank().with("shop/db", &json!({ "status": { "podIP": null } })))
        .expect(&["8.8.8.8 > 10.0.0.2 TCP/80: deny at ingress"]);
}

#[test]
fn a_pod_without_an_address_yet_is_at_none() {
    for status in [
        json!({ "status": null }),
        json!({ "status": { "phase": "Pending", "podIP": null, "podIPs": [] } }),
    ] {
        let world = World::shop_and_bank().with("shop/db", &status);
        closed(world.clone()).expect(&["8.8.8.8 > 10.0.0.2 TCP/80: allow"]);
        pods_only(world).expect(&["10.0.0.2 > shop/web TCP/80: deny at ingress"]);
    }
}

#[test]
fn a_pending_pod_with_an_address_counts() {
    let pending = json!({ "status": { "phase": "Pending" } });
    closed(World::shop_and_bank().with("shop/db", &pending))
        .expect(&["8.8.8.8 > shop/db TCP/80: deny at ingress"]);
}

#[test]
fn a_terminating_pod_keeps_its_policy_and_stays_a_peer() {
    let terminating = json!({ "metadata": { "deletionTimestamp": "2025-01-01T00:00:00Z" } });
    let world = World::shop_and_bank().with("shop/db", &terminating);
    closed(world.clone()).expect(&["8.8.8.8 > shop/db TCP/80: deny at ingress"]);
    pods_only(world).expect(&[
        "shop/db > shop/web TCP/80: allow",
        "shop/web > shop/db TCP/80: allow",
    ]);
}

#[test]
fn a_finished_pod_is_neither_subject_nor_peer_and_its_names_are_gone() {
    for phase in ["Succeeded", "Failed"] {
        let world = World::shop_and_bank().with(
            "shop/db",
            &json!({
                "status": { "phase": phase },
                "spec": { "containers": listening_on_api() },
            }),
        );
        closed(world.clone()).expect(&[
            "8.8.8.8 > 10.0.0.2 TCP/80: allow",
            "10.0.0.2 > 8.8.8.8 TCP/80: allow",
        ]);
        pods_only(world.clone()).expect(&[
            "10.0.0.2 > shop/web TCP/80: deny at ingress",
            "shop/web > 10.0.0.2 TCP/80: deny at egress",
        ]);
        world
            .policy(
                "shop",
                &json!({ "policyTypes": ["Egress"], "egress": [{ "ports": [{ "port": "api" }] }] }),
            )
            .expect(&["shop/web > 10.0.0.2 TCP/80: deny at egress"]);
    }
}

#[test]
fn the_address_of_a_finished_pod_is_its_next_owner_s() {
    let world = World::shop_and_bank()
        .with("shop/db", &json!({ "status": { "phase": "Succeeded" } }))
        .with(
            "bank/teller",
            &json!({ "status": { "podIP": "10.0.0.2", "podIPs": [{ "ip": "10.0.0.2" }] } }),
        );
    closed(world).expect(&[
        "8.8.8.8 > 10.0.0.2 TCP/80: allow",
        "10.0.0.2 > shop/web TCP/80: deny at ingress",
    ]);
}

fn on_host_network(world: World) -> World {
    let host = json!({
        "spec": { "hostNetwork": true, "containers": listening_on_api() },
        "status": { "podIP": "192.168.0.1", "podIPs": [{ "ip": "192.168.0.1" }] },
    });
    world.with("shop/db", &host)
}

#[test]
fn a_host_network_pod_is_no_subject() {
    closed(on_host_network(World::shop_and_bank())).expect(&[
        "8.8.8.8 > 192.168.0.1 TCP/80: allow",
        "192.168.0.1 > 8.8.8.8 TCP/80: allow",
        "bank/web > 192.168.0.1 TCP/80: allow",
    ]);
}

#[test]
fn a_host_network_pod_is_no_peer_and_has_no_port_names() {
    let world = on_host_network(World::shop_and_bank());
    pods_only(world.clone()).expect(&[
        "192.168.0.1 > shop/plain TCP/80: deny at ingress",
        "shop/web > 192.168.0.1 TCP/80: deny at egress",
    ]);
    world
        .clone()
        .policy(
            "shop",
            &json!({ "policyTypes": ["Egress"], "egress": [{ "ports": [{ "port": "api" }] }] }),
        )
        .expect(&["shop/plain > 192.168.0.1 TCP/80: deny at egress"]);
    let block = json!([{ "ipBlock": { "cidr": "192.168.0.1/32" } }]);
    world
        .policy("shop", &json!({ "ingress": [{ "from": block }] }))
        .expect(&["192.168.0.1 > shop/plain TCP/80: allow"]);
}

#[test]
fn a_pod_without_a_namespace_is_in_default() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "stray" },
        "spec": {}, "status": { "podIP": "10.0.0.9" },
    });
    World::shop_and_bank()
        .object(pod)
        .policy("default", &json!({}))
        .expect(&["8.8.8.8 > 10.0.0.9 TCP/80: deny at ingress"]);
}

#[test]
#[should_panic(expected = "share address 10.0.0.1")]
fn two_live_pods_at_one_address_are_refused() {
    let labels: Value = json!({});
    World::shop_and_bank()
        .pod("bank/twin", "10.0.0.1", &labels, "node-a")
        .oracle();
}
