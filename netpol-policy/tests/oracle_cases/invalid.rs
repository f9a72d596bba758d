//! What makes a policy invalid, and that it then grants nothing.

use serde_json::{Value, json};

use crate::world::World;

/// A policy on shop/db with `spec` is invalid for a reason that holds `reason`; the valid rule
/// beside the fault grants nothing, and shop/web, which is not selected, stays open.
#[track_caller]
fn invalid(spec: &Value, reason: &str) {
    let mut spec = spec.clone();
    spec["podSelector"] = json!({ "matchLabels": { "app": "db" } });
    spec["policyTypes"] = json!(["Ingress"]);
    let world = World::shop_and_bank().policy("shop", &spec);
    world.expect(&[
        "bank/web > shop/db TCP/80: deny at ingress",
        "shop/db > bank/web TCP/80: allow",
        "bank/web > shop/web TCP/80: allow",
    ]);
    assert_fault(&world, reason);
}

#[track_caller]
pub(crate) fn assert_fault(world: &World, reason: &str) {
    let faults = world.oracle().invalid_policies();
    let [(_, fault)] = faults.as_slice() else {
        panic!("not one fault: {faults:?}")
    };
    assert!(fault.contains(reason), "{fault:?} is not about {reason:?}");
}

#[track_caller]
fn invalid_peer(peer: &Value, reason: &str) {
    invalid(
        &json!({ "ingress": [{}, { "from": [{ "podSelector": {} }, peer] }] }),
        reason,
    );
    // In a section `policyTypes` leaves out, the object is no less invalid.
    invalid(
        &json!({ "ingress": [{}], "egress": [{ "to": [peer] }] }),
        reason,
    );
}

#[track_caller]
fn invalid_port(port: &Value, reason: &str) {
    invalid(
        &json!({ "ingress": [{}, { "ports": [{ "port": 80 }, port] }] }),
        reason,
    );
}

#[track_caller]
fn invalid_selector(selector: &Value, reason: &str) {
    invalid_peer(&json!({ "podSelector": selector }), reason);
    invalid_peer(&json!({ "namespaceSelector": selector }), reason);
    // As the policy's own selector it leaves open whom it means: everyone of the namespace.
    let world =
        World::shop_and_bank().policy("shop", &json!({ "podSelector": selector, "ingress": [{}] }));
    world.expect(&[
        "bank/web > shop/db TCP/80: deny at ingress",
        "bank/web > shop/web TCP/80: deny at ingress",
        "shop/plain > bank/web TCP/80: allow",
    ]);
    assert_fault(&world, reason);
}

#[test]
fn a_cidr_that_is_none() {
    for cidr in [
        "",
        "10.0.0.0",
        "10.0.0.0/33",
        "fd00::/129",
        "10.0.0/24",
        "256.0.0.0/8",
        "10.0.0.0/-1",
        "web",
    ] {
        invalid_peer(&json!({ "ipBlock": { "cidr": cidr } }), "is no CIDR");
        invalid_peer(
            &json!({ "ipBlock": { "cidr": "10.0.0.0/8", "except": [cidr] } }),
            "is no CIDR",
        );
    }
    invalid_peer(&json!({ "ipBlock": {} }), "is no CIDR");
    invalid_peer(
        &json!({ "ipBlock": { "except": ["10.0.0.0/8"] } }),
        "is no CIDR",
    );
}

#[test]
fn an_except_outside_of_its_cidr() {
    for except in [
        "10.1.0.0/24",
        "10.0.0.0/8",
        "10.0.0.0/15",
        "::/0",
        "fd00::/64",
    ] {
        invalid_peer(
            &json!({ "ipBlock": { "cidr": "10.0.0.0/16", "except": ["10.0.1.0/24", except] } }),
            "is outside of",
        );
    }
    invalid_peer(
        &json!({ "ipBlock": { "cidr": "::/0", "except": ["10.0.0.0/8"] } }),
        "is outside of",
    );
}

#[test]
fn a_v4_mapped_cidr() {
    for cidr in ["::ffff:10.0.0.0/104", "::ffff:0:0/96", "::ffff:a00:1/128"] {
        invalid_peer(&json!({ "ipBlock": { "cidr": cidr } }), "IPv4-mapped");
        invalid_peer(
            &json!({ "ipBlock": { "cidr": "::/0", "except": [cidr] } }),
            "IPv4-mapped",
        );
    }
}

#[test]
fn a_selector_that_means_nothing() {
    let expression = |operator: &str, values: Value| {
        let expression = json!({ "key": "app", "operator": operator, "values": values });
        json!({ "matchExpressions": [expression] })
    };
    for operator in ["", "in", "Gt", "Equals"] {
        invalid_selector(&expression(operator, json!(["web"])), "unknown operator");
    }
    for nothing in [json!(null), json!([])] {
        invalid_selector(&expression("In", nothing.clone()), "In without values");
        invalid_selector(&expression("NotIn", nothing), "NotIn without values");
    }
    invalid_selector(&expression("Exists", json!(["web"])), "Exists with values");
    invalid_selector(
        &expression("DoesNotExist", json!(["web"])),
        "DoesNotExist with values",
    );
    invalid_selector(
        &json!({ "matchExpressions": [{ "operator": "Exists" }] }),
        "has no key",
    );
}

#[test]
fn a_selector_that_does_not_decode() {
    for selector in [
        json!("app=web"),
        json!([]),
        json!({ "matchLabels": [] }),
        json!({ "matchLabels": { "app": 1 } }),
        json!({ "matchExpressions": {} }),
        json!({ "matchExpressions": ["app"] }),
        json!({ "matchExpressions": [{ "key": 1, "operator": "Exists" }] }),
        json!({ "matchExpressions": [{ "key": "app", "operator": 1 }] }),
        json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": "web" }] }),
        json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": [1] }] }),
    ] {
        invalid_selector(&selector, " a");
    }
}

#[test]
fn a_peer_with_nothing_set_or_too_much() {
    for peer in [
        json!({}),
        json!({ "podSelector": null }),
        json!({ "ipBlock": null, "namespaceSelector": null }),
    ] {
        invalid_peer(&peer, "selects nothing");
    }
    let block = json!({ "cidr": "10.0.0.0/8" });
    invalid_peer(
        &json!({ "ipBlock": block, "podSelector": {} }),
        "beside a selector",
    );
    invalid_peer(
        &json!({ "ipBlock": block, "namespaceSelector": {} }),
        "beside a selector",
    );
}

#[test]
fn a_range_that_is_none() {
    invalid_port(&json!({ "port": 80, "endPort": 79 }), "is below");
    invalid_port(
        &json!({ "port": "http", "endPort": 90 }),
        "follows a named port",
    );
    invalid_port(&json!({ "endPort": 90 }), "no port to start from");
}

#[test]
fn a_port_number_that_is_none() {
    for number in [0, -1, 65536, i64::from(i32::MAX)] {
        invalid_port(&json!({ "port": number }), "not in 1..=65535");
    }
    invalid_port(&json!({ "port": 80, "endPort": 65536 }), "not in 1..=65535");
    invalid_port(&json!({ "port": 0, "endPort": 80 }), "not in 1..=65535");
}

#[test]
fn a_port_name_that_is_none() {
    for name in [
        "",
        "80",
        "HTTP",
        "-http",
        "http-",
        "ht--tp",
        "ht_tp",
        "sixteen-letters-",
        "abcdefghijklmnop",
        "ht tp",
    ] {
        invalid_port(&json!({ "port": name }), "is no port name");
    }
    for name in ["a", "1-a", "abcdefghijklmno", "8080-http"] {
        let world = World::shop_and_bank().policy(
            "shop",
            &json!({ "ingress": [{ "ports": [{ "port": name }] }] }),
        );
        assert!(world.oracle().invalid_policies().is_empty(), "{name}");
    }
}

#[test]
fn an_unknown_protocol() {
    for protocol in ["", "tcp", "ICMP", "GRE", "6"] {
        invalid_port(
            &json!({ "port": 80, "protocol": protocol }),
            "unknown protocol",
        );
    }
}

#[test]
fn a_rule_that_does_not_decode() {
    for ingress in [
        json!("all"),
        json!({}),
        json!([[]]),
        json!([{ "from": {} }]),
        json!([{ "from": ["all"] }]),
        json!([{ "from": [{ "ipBlock": "10.0.0.0/8" }] }]),
        json!([{ "from": [{ "ipBlock": { "cidr": 10 } }] }]),
        json!([{ "from": [{ "ipBlock": { "cidr": "10.0.0.0/8", "except": "10.0.0.0/9" } }] }]),
        json!([{ "ports": 80 }]),
        json!([{ "ports": [80] }]),
        json!([{ "ports": [{ "port": true }] }]),
        json!([{ "ports": [{ "port": 80.5 }] }]),
        json!([{ "ports": [{ "port": 4_294_967_296_i64 }] }]),
        json!([{ "ports": [{ "port": 80, "endPort": "90" }] }]),
        json!([{ "ports": [{ "protocol": 6 }] }]),
    ] {
        invalid(&json!({ "ingress": ingress }), "is not a");
    }
}
