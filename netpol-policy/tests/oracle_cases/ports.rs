//! Items of `ports`.

use serde_json::{Value, json};

use crate::world::World;

/// A policy on every pod of the shop that lets in on `ports` alone.
fn only_on(world: World, ports: &Value) -> World {
    world.policy(
        "shop",
        &json!({ "policyTypes": ["Ingress"], "ingress": [{ "ports": ports }] }),
    )
}

/// Containers with the given ports, as `(name, protocol, number)`.
fn listening(ports: &[(&str, &str, u16)]) -> Value {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, protocol, number)| {
            json!({ "name": name, "protocol": protocol, "containerPort": number })
        })
        .collect();
    json!({ "spec": { "containers": [{ "name": "main", "ports": ports }] } })
}

#[test]
fn a_number_without_a_protocol_is_tcp() {
    for port in [
        json!({ "port": 80 }),
        json!({ "port": 80, "protocol": null }),
        json!({ "port": 80, "protocol": "TCP" }),
    ] {
        only_on(World::shop_and_bank(), &json!([port])).expect(&[
            "bank/web > shop/db TCP/80: allow",
            "bank/web > shop/db TCP/79: deny at ingress",
            "bank/web > shop/db TCP/81: deny at ingress",
            "bank/web > shop/db UDP/80: deny at ingress",
            "bank/web > shop/db SCTP/80: deny at ingress",
        ]);
    }
}

#[test]
fn every_protocol_with_ports_can_be_named() {
    for (protocol, other) in [("UDP", "TCP"), ("SCTP", "UDP")] {
        only_on(
            World::shop_and_bank(),
            &json!([{ "port": 80, "protocol": protocol }]),
        )
        .expect(&[
            &format!("bank/web > shop/db {protocol}/80: allow"),
            &format!("bank/web > shop/db {other}/80: deny at ingress"),
        ]);
    }
}

#[test]
fn no_port_is_every_port_of_the_protocol() {
    for port in [
        json!({ "protocol": "UDP" }),
        json!({ "protocol": "UDP", "port": null }),
    ] {
        only_on(World::shop_and_bank(), &json!([port])).expect(&[
            "bank/web > shop/db UDP/1: allow",
            "bank/web > shop/db UDP/65535: allow",
            "bank/web > shop/db TCP/1: deny at ingress",
            "bank/web > shop/db ICMP: deny at ingress",
        ]);
    }
}

#[test]
fn a_range_includes_both_its_ends() {
    only_on(
        World::shop_and_bank(),
        &json!([{ "port": 8080, "endPort": 8090, "protocol": "UDP" }]),
    )
    .expect(&[
        "bank/web > shop/db UDP/8079: deny at ingress",
        "bank/web > shop/db UDP/8080: allow",
        "bank/web > shop/db UDP/8090: allow",
        "bank/web > shop/db UDP/8091: deny at ingress",
        "bank/web > shop/db TCP/8085: deny at ingress",
    ]);
}

#[test]
fn a_range_may_be_one_port_or_all() {
    only_on(
        World::shop_and_bank(),
        &json!([{ "port": 80, "endPort": 80 }]),
    )
    .expect(&[
        "bank/web > shop/db TCP/80: allow",
        "bank/web > shop/db TCP/81: deny at ingress",
    ]);
    only_on(
        World::shop_and_bank(),
        &json!([{ "port": 1, "endPort": 65535 }]),
    )
    .expect(&[
        "bank/web > shop/db TCP/1: allow",
        "bank/web > shop/db TCP/65535: allow",
        "bank/web > shop/db ICMP: deny at ingress",
    ]);
}

#[test]
fn an_end_port_of_null_is_none() {
    only_on(
        World::shop_and_bank(),
        &json!([{ "port": 80, "endPort": null }]),
    )
    .expect(&[
        "bank/web > shop/db TCP/80: allow",
        "bank/web > shop/db TCP/81: deny at ingress",
    ]);
}

#[test]
fn items_of_ports_are_ored() {
    only_on(
        World::shop_and_bank(),
        &json!([{ "port": 80 }, { "port": 90, "endPort": 95 }, { "port": 93, "endPort": 99 }]),
    )
    .expect(&[
        "bank/web > shop/db TCP/80: allow",
        "bank/web > shop/db TCP/89: deny at ingress",
        "bank/web > shop/db TCP/94: allow",
        "bank/web > shop/db TCP/99: allow",
    ]);
}

#[test]
fn ping_and_other_protocols_pass_by_no_rule_with_ports() {
    let all = json!([
        { "port": 1, "endPort": 65535 },
        { "protocol": "UDP" },
        { "protocol": "SCTP", "port": 1, "endPort": 65535 },
    ]);
    only_on(World::shop_and_bank(), &all).expect(&[
        "bank/web > shop/db ICMP: deny at ingress",
        "bank/web > shop/db GRE: deny at ingress",
    ]);
}

#[test]
fn a_name_is_the_policy_s_own_pod_s_for_ingress() {
    let world = World::shop_and_bank()
        .with("shop/db", &listening(&[("api", "TCP", 5432)]))
        .with("shop/web", &listening(&[("api", "TCP", 8080)]))
        .with("bank/web", &listening(&[("api", "TCP", 1234)]));
    only_on(world, &json!([{ "port": "api" }])).expect(&[
        "bank/web > shop/db TCP/5432: allow",
        "bank/web > shop/db TCP/8080: deny at ingress",
        "bank/web > shop/db TCP/1234: deny at ingress",
        "bank/web > shop/web TCP/8080: allow",
        "bank/web > shop/web TCP/5432: deny at ingress",
        "bank/web > shop/plain TCP/8080: deny at ingress",
    ]);
}

#[test]
fn a_name_is_the_peer_pod_s_for_egress() {
    let world = World::shop_and_bank()
        .with("shop/db", &listening(&[("api", "TCP", 5432)]))
        .with("bank/web", &listening(&[("api", "TCP", 1234)]))
        .policy(
            "shop",
            &json!({ "policyTypes": ["Egress"], "egress": [{ "ports": [{ "port": "api" }] }] }),
        );
    world.expect(&[
        "shop/web > bank/web TCP/1234: allow",
        "shop/web > bank/web TCP/5432: deny at egress",
        "shop/web > shop/db TCP/5432: allow",
        "shop/db > bank/web TCP/5432: deny at egress",
        "shop/web > bank/teller TCP/1234: deny at egress",
    ]);
}

#[test]
fn a_name_says_nothing_about_an_address_that_is_no_pod() {
    World::shop_and_bank()
        .with("shop/web", &listening(&[("api", "TCP", 80)]))
        .policy(
            "shop",
            &json!({
                "policyTypes": ["Egress"],
                "egress": [{
                    "to": [{ "ipBlock": { "cidr": "0.0.0.0/0" } }],
                    "ports": [{ "port": "api" }],
                }],
            }),
        )
        .expect(&[
            "shop/db > 8.8.8.8 TCP/80: deny at egress",
            "shop/db > 192.168.0.1 TCP/80: deny at egress",
            "shop/db > shop/web TCP/80: allow",
        ]);
}

#[test]
fn a_name_is_looked_up_with_its_protocol() {
    let world = World::shop_and_bank().with(
        "shop/db",
        &listening(&[("dns", "TCP", 53), ("dns", "UDP", 5353)]),
    );
    only_on(world.clone(), &json!([{ "port": "dns" }])).expect(&[
        "bank/web > shop/db TCP/53: allow",
        "bank/web > shop/db TCP/5353: deny at ingress",
        "bank/web > shop/db UDP/5353: deny at ingress",
    ]);
    only_on(world, &json!([{ "port": "dns", "protocol": "UDP" }])).expect(&[
        "bank/web > shop/db UDP/5353: allow",
        "bank/web > shop/db UDP/53: deny at ingress",
        "bank/web > shop/db TCP/53: deny at ingress",
    ]);
}

#[test]
fn a_container_port_without_a_protocol_is_tcp() {
    let ports = json!([{ "name": "api", "containerPort": 80 }]);
    let ports = json!({ "spec": { "containers": [{ "name": "main", "ports": ports }] } });
    only_on(
        World::shop_and_bank().with("shop/db", &ports),
        &json!([{ "port": "api" }]),
    )
    .expect(&["bank/web > shop/db TCP/80: allow"]);
}

#[test]
fn every_port_of_the_name_on_the_pod_matches_init_containers_and_sidecars_included() {
    let port = |number: u16| json!([{ "name": "api", "containerPort": number }]);
    let spec = json!({ "spec": {
        "containers": [{ "name": "a", "ports": port(81) }, { "name": "b", "ports": port(82) }],
        "initContainers": [
            { "name": "c", "ports": port(83) },
            { "name": "d", "ports": port(84), "restartPolicy": "Always" },
        ],
    } });
    only_on(
        World::shop_and_bank().with("shop/db", &spec),
        &json!([{ "port": "api" }]),
    )
    .expect(&[
        "bank/web > shop/db TCP/81: allow",
        "bank/web > shop/db TCP/82: allow",
        "bank/web > shop/db TCP/83: allow",
        "bank/web > shop/db TCP/84: allow",
        "bank/web > shop/db TCP/85: deny at ingress",
    ]);
}

#[test]
fn a_name_nobody_has_grants_nothing_and_is_no_fault() {
    let world = only_on(World::shop_and_bank(), &json!([{ "port": "ghost" }]));
    world.expect(&["bank/web > shop/db TCP/80: deny at ingress"]);
    assert!(world.oracle().invalid_policies().is_empty());
}
