//! Items of `from` and `to`.

use serde_json::{Value, json};

use crate::world::World;

/// A policy on every pod of the shop that lets in `from` alone.
fn only_from(world: World, from: &Value) -> World {
    world.policy(
        "shop",
        &json!({ "policyTypes": ["Ingress"], "ingress": [{ "from": from }] }),
    )
}

/// A policy on every pod of the shop that lets out to `to` alone.
fn only_to(world: World, to: &Value) -> World {
    world.policy(
        "shop",
        &json!({ "policyTypes": ["Egress"], "egress": [{ "to": to }] }),
    )
}

#[test]
fn a_pod_selector_alone_stays_in_the_policy_s_namespace() {
    let app_web = json!([{ "podSelector": { "matchLabels": { "app": "web" } } }]);
    only_from(World::shop_and_bank(), &app_web).expect(&[
        "shop/web > shop/db TCP/80: allow",
        "bank/web > shop/db TCP/80: deny at ingress",
    ]);
    only_to(World::shop_and_bank(), &app_web).expect(&[
        "shop/db > shop/web TCP/80: allow",
        "shop/db > bank/web TCP/80: deny at egress",
    ]);
}

#[test]
fn an_empty_pod_selector_is_every_pod_of_the_namespace_and_no_address_beside() {
    only_from(World::shop_and_bank(), &json!([{ "podSelector": {} }])).expect(&[
        "shop/plain > shop/db TCP/80: allow",
        "bank/web > shop/db TCP/80: deny at ingress",
        "192.168.0.2 > shop/db TCP/80: deny at ingress",
        "10.0.0.77 > shop/db TCP/80: deny at ingress",
    ]);
}

#[test]
fn a_namespace_selector_alone_is_every_pod_there() {
    let blue = json!([{ "namespaceSelector": { "matchLabels": { "team": "blue" } } }]);
    only_from(World::shop_and_bank(), &blue).expect(&[
        "bank/web > shop/db TCP/80: allow",
        "bank/teller > shop/db TCP/80: allow",
        "shop/web > shop/db TCP/80: deny at ingress",
    ]);
    only_to(World::shop_and_bank(), &blue).expect(&[
        "shop/db > bank/teller ICMP: allow",
        "shop/db > shop/web TCP/80: deny at egress",
    ]);
}

#[test]
fn an_empty_namespace_selector_is_every_pod_and_nobody_else() {
    only_to(
        World::shop_and_bank(),
        &json!([{ "namespaceSelector": {} }]),
    )
    .expect(&[
        "shop/db > bank/web TCP/80: allow",
        "shop/db > shop/plain TCP/80: allow",
        "shop/db > 8.8.8.8 TCP/80: deny at egress",
        "shop/db > 192.168.0.2 TCP/80: deny at egress",
    ]);
}

#[test]
fn both_selectors_in_one_item_are_anded() {
    let both = json!([{
        "namespaceSelector": { "matchLabels": { "team": "blue" } },
        "podSelector": { "matchLabels": { "app": "web" } },
    }]);
    only_from(World::shop_and_bank(), &both).expect(&[
        "bank/web > shop/db TCP/80: allow",
        "bank/teller > shop/db TCP/80: deny at ingress",
        "shop/web > shop/db TCP/80: deny at ingress",
    ]);
}

#[test]
fn separate_items_are_ored() {
    let separate = json!([
        { "namespaceSelector": { "matchLabels": { "team": "blue" } } },
        { "podSelector": { "matchLabels": { "app": "web" } } },
    ]);
    only_from(World::shop_and_bank(), &separate).expect(&[
        "bank/web > shop/db TCP/80: allow",
        "bank/teller > shop/db TCP/80: allow",
        "shop/web > shop/db TCP/80: allow",
        "shop/plain > shop/db TCP/80: deny at ingress",
    ]);
}

#[test]
fn a_null_part_of_a_peer_is_as_absent() {
    let nulls = json!([{
        "podSelector": { "matchLabels": { "app": "web" } },
        "namespaceSelector": null,
        "ipBlock": null,
    }]);
    only_from(World::shop_and_bank(), &nulls).expect(&[
        "shop/web > shop/db TCP/80: allow",
        "bank/web > shop/db TCP/80: deny at ingress",
    ]);
}

#[test]
fn an_ip_block_is_an_address_range_with_edges() {
    only_from(
        World::shop_and_bank(),
        &json!([{ "ipBlock": { "cidr": "172.16.4.0/22" } }]),
    )
    .expect(&[
        "172.16.3.255 > shop/db TCP/80: deny at ingress",
        "172.16.4.0 > shop/db TCP/80: allow",
        "172.16.7.255 > shop/db TCP/80: allow",
        "172.16.8.0 > shop/db TCP/80: deny at ingress",
    ]);
}

#[test]
fn host_bits_of_an_ip_block_are_masked() {
    let block = json!([{ "ipBlock": { "cidr": "172.16.5.9/22", "except": ["172.16.6.77/24"] } }]);
    only_to(World::shop_and_bank(), &block).expect(&[
        "shop/db > 172.16.4.0 TCP/80: allow",
        "shop/db > 172.16.6.0 TCP/80: deny at egress",
        "shop/db > 172.16.6.255 TCP/80: deny at egress",
        "shop/db > 172.16.7.0 TCP/80: allow",
    ]);
}

#[test]
fn except_takes_away_from_its_own_item_only() {
    let items = json!([
        { "ipBlock": { "cidr": "172.16.0.0/16", "except": ["172.16.1.0/24", "172.16.2.0/24"] } },
        { "ipBlock": { "cidr": "172.16.2.0/25" } },
    ]);
    only_from(World::shop_and_bank(), &items).expect(&[
        "172.16.0.1 > shop/db TCP/80: allow",
        "172.16.1.1 > shop/db TCP/80: deny at ingress",
        "172.16.2.1 > shop/db TCP/80: allow",
        "172.16.2.129 > shop/db TCP/80: deny at ingress",
    ]);
}

#[test]
fn except_of_one_policy_takes_nothing_from_another() {
    let world = World::shop_and_bank();
    let world = only_from(
        world,
        &json!([{ "ipBlock": { "cidr": "0.0.0.0/0", "except": ["8.0.0.0/8"] } }]),
    );
    world.expect(&["8.8.8.8 > shop/db TCP/80: deny at ingress"]);
    only_from(world, &json!([{ "ipBlock": { "cidr": "8.8.8.0/24" } }])).expect(&[
        "8.8.8.8 > shop/db TCP/80: allow",
        "8.8.4.4 > shop/db TCP/80: deny at ingress",
    ]);
}

#[test]
fn an_except_equal_to_its_cidr_leaves_nothing() {
    let block = json!([{ "ipBlock": { "cidr": "8.8.8.0/24", "except": ["8.8.8.0/24"] } }]);
    let world = only_from(World::shop_and_bank(), &block);
    world.expect(&["8.8.8.8 > shop/db TCP/80: deny at ingress"]);
    assert!(world.oracle().invalid_policies().is_empty());
}

#[test]
fn a_longer_prefix_does_not_hide_ports_a_shorter_one_grants() {
    let rules = json!([
        { "from": [{ "ipBlock": { "cidr": "172.16.0.0/16" } }], "ports": [{ "port": 80 }] },
        { "from": [{ "ipBlock": { "cidr": "172.16.1.0/24" } }], "ports": [{ "port": 443 }] },
    ]);
    World::shop_and_bank()
        .policy("shop", &json!({ "ingress": rules }))
        .expect(&[
            "172.16.1.1 > shop/db TCP/80: allow",
            "172.16.1.1 > shop/db TCP/443: allow",
            "172.16.2.1 > shop/db TCP/80: allow",
            "172.16.2.1 > shop/db TCP/443: deny at ingress",
        ]);
}

#[test]
fn ip_blocks_match_the_addresses_of_pods_too() {
    let block = json!([{ "ipBlock": { "cidr": "10.0.0.0/23", "except": ["10.0.1.2/32"] } }]);
    only_from(World::shop_and_bank(), &block).expect(&[
        "shop/web > shop/db TCP/80: allow",
        "bank/web > shop/db TCP/80: allow",
        "bank/teller > shop/db TCP/80: deny at ingress",
    ]);
    only_to(World::shop_and_bank(), &block).expect(&[
        "shop/db > bank/web TCP/80: allow",
        "shop/db > bank/teller TCP/80: deny at egress",
    ]);
}

#[test]
fn an_except_does_not_bar_a_pod_that_a_selector_lets_in() {
    let items = json!([
        { "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.0.0.1/32"] } },
        { "podSelector": { "matchLabels": { "app": "web" } } },
    ]);
    only_from(World::shop_and_bank(), &items).expect(&["shop/web > shop/db TCP/80: allow"]);
}

fn dual_stack() -> World {
    World::shop_and_bank()
        .with(
            "shop/db",
            &json!({ "status": { "podIPs": [{ "ip": "10.0.0.2" }, { "ip": "fd00::2" }] } }),
        )
        .with(
            "bank/web",
            &json!({ "status": { "podIPs": [{ "ip": "10.0.1.1" }, { "ip": "fd00:0:0:1::1" }] } }),
        )
}

#[test]
fn everything_of_one_family_says_nothing_about_the_other() {
    only_from(
        dual_stack(),
        &json!([{ "ipBlock": { "cidr": "0.0.0.0/0" } }]),
    )
    .expect(&[
        "bank/web > shop/db TCP/80: allow",
        "8.8.8.8 > shop/db TCP/80: allow",
        "fd00:0:0:1::1 > fd00::2 TCP/80: deny at ingress",
        "2001:db8::5 > fd00::2 TCP/80: deny at ingress",
    ]);
    only_from(dual_stack(), &json!([{ "ipBlock": { "cidr": "::/0" } }])).expect(&[
        "bank/web > shop/db TCP/80: deny at ingress",
        "2001:db8::5 > fd00::2 TCP/80: allow",
    ]);
}

#[test]
fn ip_blocks_of_the_sixth_version_have_excepts_and_masks_too() {
    let block = json!([{ "ipBlock": { "cidr": "2001:DB8::9/32", "except": ["2001:db8:1::/48"] } }]);
    only_to(dual_stack(), &block).expect(&[
        "fd00::2 > 2001:db8::1 TCP/80: allow",
        "fd00::2 > 2001:db8:1::1 TCP/80: deny at egress",
        "fd00::2 > 2001:db9::1 TCP/80: deny at egress",
    ]);
}

#[test]
fn selectors_know_every_address_of_a_pod() {
    only_from(
        dual_stack(),
        &json!([{ "namespaceSelector": { "matchLabels": { "team": "blue" } } }]),
    )
    .expect(&[
        "10.0.1.1 > 10.0.0.2 TCP/80: allow",
        "fd00:0:0:1::1 > fd00::2 TCP/80: allow",
        "fd00:0:0:1::9 > fd00::2 TCP/80: deny at ingress",
    ]);
}
