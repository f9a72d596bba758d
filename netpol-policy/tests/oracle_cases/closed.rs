//! Whom an invalid policy still isolates, and in which directions.

use serde_json::{Value, json};

use crate::invalid::assert_fault;
use crate::world::World;

/// An invalid policy on shop/db, and the verdicts of a packet to it and from it.
#[track_caller]
fn directions(spec: &Value, towards: &str, from: &str) {
    let mut spec = spec.clone();
    spec["podSelector"] = json!({ "matchLabels": { "app": "db" } });
    let world = World::shop_and_bank().policy("shop", &spec);
    world.expect(&[
        &format!("bank/web > shop/db TCP/80: {towards}"),
        &format!("shop/db > bank/web TCP/80: {from}"),
        "bank/web > shop/web TCP/80: allow",
    ]);
    assert!(!world.oracle().invalid_policies().is_empty());
}

#[test]
fn policy_types_unknown_or_unreadable_isolate_in_both_directions() {
    for types in [
        json!(["Both"]),
        json!(["ingress"]),
        json!(["Ingress", ""]),
        json!("Ingress"),
        json!([1]),
        json!({}),
    ] {
        directions(
            &json!({ "policyTypes": types, "ingress": [{}], "egress": [{}] }),
            "deny at ingress",
            "deny at egress",
        );
    }
}

#[test]
fn an_invalid_policy_isolates_in_the_directions_it_names() {
    let bad = json!([{ "ports": [{ "port": 0 }] }]);
    directions(
        &json!({ "policyTypes": ["Egress"], "ingress": bad }),
        "allow",
        "deny at egress",
    );
    directions(
        &json!({ "policyTypes": ["Ingress"], "egress": bad }),
        "deny at ingress",
        "allow",
    );
    directions(
        &json!({ "policyTypes": ["Ingress", "Egress"], "egress": bad }),
        "deny at ingress",
        "deny at egress",
    );
}

#[test]
fn an_invalid_policy_without_types_isolates_by_the_default_rule() {
    let bad = json!([{ "ports": [{ "port": 0 }] }]);
    directions(&json!({ "ingress": bad }), "deny at ingress", "allow");
    directions(
        &json!({ "ingress": bad, "egress": [] }),
        "deny at ingress",
        "allow",
    );
    directions(
        &json!({ "ingress": bad, "egress": [{}] }),
        "deny at ingress",
        "deny at egress",
    );
    directions(
        &json!({ "egress": bad }),
        "deny at ingress",
        "deny at egress",
    );
    for unreadable in [json!("all"), json!({}), json!(1), json!([1])] {
        directions(
            &json!({ "egress": unreadable }),
            "deny at ingress",
            "deny at egress",
        );
    }
}

#[test]
fn a_spec_that_does_not_decode_isolates_the_namespace_in_both_directions() {
    let world = World::shop_and_bank().policy("shop", &json!("deny everything"));
    world.expect(&[
        "bank/web > shop/web TCP/80: deny at ingress",
        "shop/db > bank/web TCP/80: deny at egress",
        "bank/web > bank/teller TCP/80: allow",
    ]);
    assert_fault(&world, "is not an object");
}

#[test]
fn an_invalid_policy_takes_nothing_from_a_valid_one() {
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({ "ingress": [{ "ports": [{ "port": 0 }] }] }),
        )
        .policy(
            "shop",
            &json!({ "ingress": [{ "ports": [{ "port": 80 }] }] }),
        )
        .expect(&[
            "bank/web > shop/db TCP/80: allow",
            "bank/web > shop/db TCP/81: deny at ingress",
        ]);
}
