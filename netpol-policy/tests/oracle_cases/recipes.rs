//! The well-known recipes: each a policy people copy, and what they expect of it.

use serde_json::json;

use crate::world::World;

#[test]
fn without_policies_everyone_reaches_everyone() {
    World::shop_and_bank().expect(&[
        "shop/web > shop/db TCP/5432: allow",
        "bank/web > shop/db ICMP: allow",
        "8.8.8.8 > shop/web TCP/80: allow",
        "shop/web > 8.8.8.8 UDP/53: allow",
        "8.8.8.8 > 1.1.1.1 TCP/80: allow",
    ]);
}

#[test]
fn deny_all_traffic_to_an_application() {
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({ "podSelector": { "matchLabels": { "app": "web" } }, "ingress": [] }),
        )
        .expect(&[
            "shop/db > shop/web TCP/80: deny at ingress",
            "bank/web > shop/web TCP/80: deny at ingress",
            "8.8.8.8 > shop/web TCP/80: deny at ingress",
            "shop/web > shop/db TCP/80: allow",
            "shop/web > bank/web TCP/80: allow",
        ]);
}

#[test]
fn limit_traffic_to_an_application() {
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({
                "podSelector": { "matchLabels": { "app": "db" } },
                "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": "web" } } }] }],
            }),
        )
        .expect(&[
            "shop/web > shop/db TCP/5432: allow",
            "shop/plain > shop/db TCP/5432: deny at ingress",
            "bank/web > shop/db TCP/5432: deny at ingress",
        ]);
}

#[test]
fn deny_all_non_whitelisted_traffic_in_a_namespace() {
    World::shop_and_bank()
        .policy("shop", &json!({ "podSelector": {}, "ingress": [] }))
        .expect(&[
            "shop/web > shop/db TCP/80: deny at ingress",
            "bank/web > shop/plain TCP/80: deny at ingress",
            "shop/web > bank/web TCP/80: allow",
        ]);
}

#[test]
fn deny_all_traffic_from_other_namespaces() {
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({ "podSelector": {}, "ingress": [{ "from": [{ "podSelector": {} }] }] }),
        )
        .expect(&[
            "shop/plain > shop/db TCP/80: allow",
            "bank/web > shop/db TCP/80: deny at ingress",
            "8.8.8.8 > shop/db TCP/80: deny at ingress",
        ]);
}

#[test]
fn allow_traffic_from_all_namespaces() {
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({
                "podSelector": { "matchLabels": { "app": "web" } },
                "ingress": [{ "from": [{ "namespaceSelector": {} }] }],
            }),
        )
        .expect(&[
            "bank/teller > shop/web TCP/80: allow",
            "shop/db > shop/web TCP/80: allow",
            "8.8.8.8 > shop/web TCP/80: deny at ingress",
            "192.168.0.2 > shop/web TCP/80: deny at ingress",
        ]);
}

#[test]
fn allow_all_traffic_from_a_namespace() {
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({
                "podSelector": { "matchLabels": { "app": "web" } },
                "ingress": [{
                    "from": [{ "namespaceSelector": { "matchLabels": { "env": "prod" } } }],
                }],
            }),
        )
        .expect(&[
            "bank/teller > shop/web TCP/80: allow",
            "shop/db > shop/web TCP/80: deny at ingress",
        ]);
}

#[test]
fn allow_traffic_from_some_pods_in_another_namespace() {
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({
                "podSelector": { "matchLabels": { "app": "web" } },
                "ingress": [{ "from": [{
                    "namespaceSelector": { "matchLabels": { "team": "blue" } },
                    "podSelector": { "matchLabels": { "app": "teller" } },
                }] }],
            }),
        )
        .expect(&[
            "bank/teller > shop/web TCP/80: allow",
            "bank/web > shop/web TCP/80: deny at ingress",
            "shop/db > shop/web TCP/80: deny at ingress",
        ]);
}

#[test]
fn allow_traffic_from_external_clients() {
    World::shop_and_bank()
        .policy("shop", &json!({ "podSelector": {}, "ingress": [] }))
        .policy(
            "shop",
            &json!({
                "podSelector": { "matchLabels": { "app": "web" } },
                "ingress": [{ "from": [] }],
            }),
        )
        .expect(&[
            "8.8.8.8 > shop/web TCP/80: allow",
            "bank/web > shop/web ICMP: allow",
            "8.8.8.8 > shop/db TCP/80: deny at ingress",
        ]);
}

#[test]
fn allow_traffic_only_to_a_port() {
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({
                "podSelector": { "matchLabels": { "app": "web" } },
                "ingress": [{
                    "ports": [{ "port": 5000 }],
                    "from": [{ "podSelector": { "matchLabels": { "app": "db" } } }],
                }],
            }),
        )
        .expect(&[
            "shop/db > shop/web TCP/5000: allow",
            "shop/db > shop/web TCP/8000: deny at ingress",
            "shop/db > shop/web UDP/5000: deny at ingress",
            "shop/plain > shop/web TCP/5000: deny at ingress",
        ]);
}

#[test]
fn allow_traffic_with_multiple_selectors() {
    let from = json!([
        { "podSelector": { "matchLabels": { "app": "db" } } },
        { "podSelector": { "matchLabels": { "app": "web", "role": "api" } } },
    ]);
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({
                "podSelector": { "matchLabels": { "app": "web" } },
                "ingress": [{ "from": from }],
            }),
        )
        .expect(&[
            "shop/db > shop/web TCP/80: allow",
            "shop/plain > shop/web TCP/80: deny at ingress",
        ]);
}

#[test]
fn deny_egress_traffic_from_an_application() {
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({
                "podSelector": { "matchLabels": { "app": "web" } },
                "policyTypes": ["Egress"],
                "egress": [],
            }),
        )
        .expect(&[
            "shop/web > shop/db TCP/80: deny at egress",
            "shop/web > 8.8.8.8 UDP/53: deny at egress",
            "shop/db > shop/web TCP/80: allow",
        ]);
}

#[test]
fn deny_egress_but_dns() {
    let dns = json!([{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }]);
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [{ "ports": dns }] }),
        )
        .expect(&[
            "shop/web > 8.8.8.8 UDP/53: allow",
            "shop/web > bank/web TCP/53: allow",
            "shop/web > 8.8.8.8 SCTP/53: deny at egress",
            "shop/web > 8.8.8.8 ICMP: deny at egress",
            "shop/web > 8.8.8.8 TCP/443: deny at egress",
        ]);
}

#[test]
fn deny_external_egress_traffic() {
    World::shop_and_bank()
        .policy(
            "shop",
            &json!({
                "podSelector": {},
                "policyTypes": ["Egress"],
                "egress": [
                    { "ports": [{ "port": 53, "protocol": "UDP" }] },
                    { "to": [{ "namespaceSelector": {} }] },
                ],
            }),
        )
        .expect(&[
            "shop/web > bank/web TCP/80: allow",
            "shop/web > shop/db ICMP: allow",
            "shop/web > 8.8.8.8 UDP/53: allow",
            "shop/web > 8.8.8.8 TCP/80: deny at egress",
        ]);
}

/// The example of Kubernetes' own page on network policies.
#[test]
fn the_documentation_s_example() {
    World::empty()
        .namespace("default", &json!({}))
        .namespace("other", &json!({ "project": "myproject" }))
        .pod("default/db", "10.1.0.1", &json!({ "role": "db" }), "node")
        .pod(
            "default/front",
            "10.1.0.2",
            &json!({ "role": "frontend" }),
            "node",
        )
        .pod(
            "default/back",
            "10.1.0.3",
            &json!({ "role": "backend" }),
            "node",
        )
        .pod("other/any", "10.1.0.4", &json!({}), "node")
        .policy(
            "default",
            &json!({
                "podSelector": { "matchLabels": { "role": "db" } },
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{
                    "from": [
                        { "ipBlock": { "cidr": "172.17.0.0/16", "except": ["172.17.1.0/24"] } },
                        { "namespaceSelector": { "matchLabels": { "project": "myproject" } } },
                        { "podSelector": { "matchLabels": { "role": "frontend" } } },
                    ],
                    "ports": [{ "protocol": "TCP", "port": 6379 }],
                }],
                "egress": [{
                    "to": [{ "ipBlock": { "cidr": "10.0.0.0/24" } }],
                    "ports": [{ "protocol": "TCP", "port": 5978 }],
                }],
            }),
        )
        .expect(&[
            "default/front > default/db TCP/6379: allow",
            "other/any > default/db TCP/6379: allow",
            "172.17.0.255 > default/db TCP/6379: allow",
            "172.17.1.0 > default/db TCP/6379: deny at ingress",
            "172.17.2.0 > default/db TCP/6379: allow",
            "default/back > default/db TCP/6379: deny at ingress",
            "default/front > default/db TCP/6380: deny at ingress",
            "default/db > 10.0.0.9 TCP/5978: allow",
            "default/db > 10.0.1.9 TCP/5978: deny at egress",
            "default/db > 10.0.0.9 TCP/5979: deny at egress",
        ]);
}
