//! The pod's own node, and other nodes.

use serde_json::json;

use crate::world::World;

/// Nobody reaches a pod of the shop, and none of them reaches anyone.
fn closed() -> World {
    World::shop_and_bank().policy("shop", &json!({ "policyTypes": ["Ingress", "Egress"] }))
}

#[test]
fn the_own_node_reaches_its_pod_by_all_of_its_addresses() {
    closed().expect(&[
        "192.168.0.1 > shop/db TCP/80: allow",
        "192.168.0.1 > shop/db ICMP: allow",
        "198.51.100.1 > shop/db GRE: allow",
    ]);
}

#[test]
fn another_node_does_not_unless_it_is_allowed() {
    closed().expect(&[
        "192.168.0.2 > shop/db TCP/80: deny at ingress",
        "192.168.0.2 > shop/plain TCP/80: allow",
    ]);
    closed()
        .policy(
            "shop",
            &json!({ "ingress": [{ "from": [{ "ipBlock": { "cidr": "192.168.0.2/32" } }] }] }),
        )
        .expect(&["192.168.0.2 > shop/db TCP/80: allow"]);
}

#[test]
fn egress_towards_the_own_node_is_not_exempt() {
    closed().expect(&["shop/db > 192.168.0.1 TCP/10250: deny at egress"]);
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({ "egress": [{ "to": [{ "ipBlock": { "cidr": "192.168.0.1/32" } }] }] }),
        )
        .expect(&["shop/db > 192.168.0.1 TCP/10250: allow"]);
}

#[test]
fn the_pod_reaching_out_to_its_node_is_another_direction_than_the_node_reaching_in() {
    World::shop_and_bank()
        .policy("shop", &json!({ "policyTypes": ["Ingress"] }))
        .expect(&[
            "shop/db > 192.168.0.1 TCP/80: allow",
            "192.168.0.1 > shop/db TCP/80: allow",
        ]);
}

#[test]
fn only_internal_and_external_addresses_are_the_node_s() {
    World::shop_and_bank()
        .without("node-a")
        .node(
            "node-a",
            &[
                ("Hostname", "192.168.0.77"),
                ("InternalDNS", "192.168.0.78"),
                ("InternalIP", "fd00:9::1"),
            ],
        )
        .with(
            "shop/db",
            &json!({ "status": { "podIPs": [{ "ip": "10.0.0.2" }, { "ip": "fd00::2" }] } }),
        )
        .policy("shop", &json!({}))
        .expect(&[
            "192.168.0.77 > shop/db TCP/80: deny at ingress",
            "192.168.0.78 > shop/db TCP/80: deny at ingress",
            "192.168.0.1 > shop/db TCP/80: deny at ingress",
            "fd00:9::1 > fd00::2 TCP/80: allow",
        ]);
}

#[test]
fn a_node_without_an_object_has_no_addresses() {
    World::shop_and_bank()
        .without("node-a")
        .policy("shop", &json!({}))
        .expect(&["192.168.0.1 > shop/db TCP/80: deny at ingress"]);
}

#[test]
fn a_pod_on_no_node_has_no_own_node() {
    World::shop_and_bank()
        .with("shop/db", &json!({ "spec": { "nodeName": null } }))
        .policy("shop", &json!({}))
        .expect(&["192.168.0.1 > shop/db TCP/80: deny at ingress"]);
}

#[test]
fn a_host_network_pod_reaches_the_pods_of_its_node_as_the_node() {
    let host = json!({
        "spec": { "hostNetwork": true },
        "status": { "podIP": "192.168.0.2", "podIPs": [{ "ip": "192.168.0.2" }] },
    });
    World::shop_and_bank()
        .with("bank/teller", &host)
        .policy("shop", &json!({}))
        .expect(&[
            "bank/teller > shop/plain TCP/80: allow",
            "bank/teller > shop/db TCP/80: deny at ingress",
        ]);
}
