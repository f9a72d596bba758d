//! Which policy isolates whom in which direction, and how absent, `null`, `[]` and `[{}]` differ.

use serde_json::{Value, json};

use crate::world::World;

const IN: &str = "shop/web > shop/db TCP/80";
const OUT: &str = "shop/db > shop/web TCP/80";

/// A policy on shop/db, and the verdicts of a packet to it and from it.
#[track_caller]
fn policy_on_db(spec: &Value, towards: &str, from: &str) {
    let mut spec = spec.clone();
    spec["podSelector"] = json!({ "matchLabels": { "app": "db" } });
    World::shop_and_bank()
        .policy("shop", &spec)
        .expect(&[&format!("{IN}: {towards}"), &format!("{OUT}: {from}")]);
}

#[test]
fn policy_types_absent_means_ingress_and_egress_only_with_a_rule() {
    policy_on_db(&json!({}), "deny at ingress", "allow");
    policy_on_db(&json!({ "egress": null }), "deny at ingress", "allow");
    policy_on_db(&json!({ "egress": [] }), "deny at ingress", "allow");
    policy_on_db(&json!({ "egress": [{}] }), "deny at ingress", "allow");
    let egress = json!([{ "ports": [{ "port": 443 }] }]);
    policy_on_db(
        &json!({ "egress": egress }),
        "deny at ingress",
        "deny at egress",
    );
}

#[test]
fn policy_types_empty_or_null_is_as_absent() {
    let egress = json!([{ "ports": [{ "port": 443 }] }]);
    policy_on_db(&json!({ "policyTypes": [] }), "deny at ingress", "allow");
    policy_on_db(&json!({ "policyTypes": null }), "deny at ingress", "allow");
    policy_on_db(
        &json!({ "policyTypes": [], "egress": egress }),
        "deny at ingress",
        "deny at egress",
    );
}

#[test]
fn policy_types_say_which_directions_are_isolated() {
    policy_on_db(
        &json!({ "policyTypes": ["Ingress"] }),
        "deny at ingress",
        "allow",
    );
    policy_on_db(
        &json!({ "policyTypes": ["Egress"] }),
        "allow",
        "deny at egress",
    );
    policy_on_db(
        &json!({ "policyTypes": ["Egress", "Ingress"] }),
        "deny at ingress",
        "deny at egress",
    );
}

#[test]
fn rules_of_a_direction_that_policy_types_leave_out_have_no_effect() {
    let closed =
        World::shop_and_bank().policy("shop", &json!({ "policyTypes": ["Ingress", "Egress"] }));
    let ingress_too = json!({ "policyTypes": ["Egress"], "ingress": [{}], "egress": [] });
    closed
        .clone()
        .policy("shop", &ingress_too)
        .expect(&["bank/web > shop/db TCP/80: deny at ingress"]);
    let egress_too = json!({ "policyTypes": ["Ingress"], "ingress": [], "egress": [{}] });
    closed
        .policy("shop", &egress_too)
        .expect(&["shop/db > bank/web TCP/80: deny at egress"]);
}

#[test]
fn rule_lists_absent_null_or_empty_grant_nothing_and_one_empty_rule_grants_all() {
    for nothing in [
        json!({}),
        json!({ "ingress": null }),
        json!({ "ingress": [] }),
    ] {
        policy_on_db(&nothing, "deny at ingress", "allow");
    }
    policy_on_db(&json!({ "ingress": [{}] }), "allow", "allow");
    let types = json!(["Ingress", "Egress"]);
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({ "policyTypes": types, "ingress": [{}], "egress": [{}] }),
        )
        .expect(&[
            "shop/db > 8.8.8.8 ICMP: allow",
            "8.8.8.8 > shop/db GRE: allow",
        ]);
}

#[test]
fn peer_lists_absent_null_or_empty_mean_everyone() {
    for from in [json!({}), json!({ "from": null }), json!({ "from": [] })] {
        World::shop_and_bank()
            .policy("shop", &json!({ "ingress": [from] }))
            .expect(&[
                "8.8.8.8 > shop/db TCP/80: allow",
                "bank/web > shop/db TCP/80: allow",
            ]);
    }
    for to in [json!({}), json!({ "to": null }), json!({ "to": [] })] {
        World::shop_and_bank()
            .policy("shop", &json!({ "egress": [to] }))
            .expect(&[
                "shop/db > 8.8.8.8 TCP/80: allow",
                "shop/db > bank/web TCP/80: allow",
            ]);
    }
}

#[test]
fn port_lists_absent_null_or_empty_mean_every_protocol_and_one_empty_item_means_tcp() {
    let everything = [
        "bank/web > shop/db TCP/80: allow",
        "bank/web > shop/db ICMP: allow",
        "bank/web > shop/db GRE: allow",
    ];
    for ports in [json!({}), json!({ "ports": null }), json!({ "ports": [] })] {
        World::shop_and_bank()
            .policy("shop", &json!({ "ingress": [ports] }))
            .expect(&everything);
    }
    World::shop_and_bank()
        .policy("shop", &json!({ "ingress": [{ "ports": [{}] }] }))
        .expect(&[
            "bank/web > shop/db TCP/1: allow",
            "bank/web > shop/db UDP/1: deny at ingress",
            "bank/web > shop/db ICMP: deny at ingress",
            "bank/web > shop/db GRE: deny at ingress",
        ]);
}

#[test]
fn a_pod_selector_absent_null_or_empty_selects_every_pod_of_the_namespace_only() {
    for spec in [
        json!({}),
        json!({ "podSelector": null }),
        json!({ "podSelector": {} }),
    ] {
        World::shop_and_bank().policy("shop", &spec).expect(&[
            "bank/web > shop/web TCP/80: deny at ingress",
            "bank/web > shop/plain TCP/80: deny at ingress",
            "shop/web > bank/web TCP/80: allow",
        ]);
    }
}

#[test]
fn a_policy_without_a_spec_is_one_whose_fields_are_all_absent() {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "namespace": "shop", "name": "bare" },
    });
    World::shop_and_bank().object(policy).expect(&[
        "bank/web > shop/db TCP/80: deny at ingress",
        "shop/db > bank/web TCP/80: allow",
    ]);
}

#[test]
fn policies_add_up() {
    World::shop_and_bank()
        .policy("shop", &json!({ "podSelector": {}, "ingress": [] }))
        .policy(
            "shop",
            &json!({ "podSelector": {}, "ingress": [{ "ports": [{ "port": 80 }] }] }),
        )
        .policy(
            "shop",
            &json!({ "podSelector": {}, "ingress": [{ "ports": [{ "port": 443 }] }] }),
        )
        .expect(&[
            "bank/web > shop/db TCP/80: allow",
            "bank/web > shop/db TCP/443: allow",
            "bank/web > shop/db TCP/444: deny at ingress",
        ]);
}

#[test]
fn peers_of_one_rule_do_not_lend_their_ports_to_another() {
    let rules = json!([
        {
            "from": [{ "podSelector": { "matchLabels": { "app": "web" } } }],
            "ports": [{ "port": 80 }],
        },
        { "from": [{ "podSelector": {} }], "ports": [{ "port": 443 }] },
    ]);
    World::shop_and_bank()
        .policy("shop", &json!({ "ingress": rules }))
        .expect(&[
            "shop/web > shop/db TCP/80: allow",
            "shop/web > shop/db TCP/443: allow",
            "shop/plain > shop/db TCP/80: deny at ingress",
            "shop/plain > shop/db TCP/443: allow",
        ]);
}

#[test]
fn both_ends_must_agree_and_egress_is_judged_first() {
    let egress = World::shop_and_bank().policy("shop", &json!({ "policyTypes": ["Egress"] }));
    let ingress = World::shop_and_bank().policy("bank", &json!({ "policyTypes": ["Ingress"] }));
    egress.expect(&["shop/web > bank/web TCP/80: deny at egress"]);
    ingress.expect(&["shop/web > bank/web TCP/80: deny at ingress"]);
    egress
        .clone()
        .policy("bank", &json!({}))
        .expect(&["shop/web > bank/web TCP/80: deny at egress"]);
    egress
        .policy("bank", &json!({}))
        .policy(
            "shop",
            &json!({ "policyTypes": ["Egress"], "egress": [{}] }),
        )
        .expect(&["shop/web > bank/web TCP/80: deny at ingress"]);
}

#[test]
fn a_policy_of_another_api_group_is_none() {
    let foreign = json!({
        "apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy",
        "metadata": { "namespace": "shop", "name": "foreign" }, "spec": {},
    });
    World::shop_and_bank()
        .object(foreign)
        .expect(&["bank/web > shop/db TCP/80: allow"]);
}
