//! Label selectors, on pods and on namespaces.

use serde_json::{Value, json};

use crate::world::World;

/// Which of the shop's pods (web: app=web; db: app=db, tier=back; plain: no labels) `selector`
/// isolates.
#[track_caller]
fn selects(selector: &Value, web: bool, db: bool, plain: bool) {
    let line = |pod: &str, selected: bool| {
        let verdict = if selected { "deny at ingress" } else { "allow" };
        format!("8.8.8.8 > shop/{pod} TCP/80: {verdict}")
    };
    let lines = [line("web", web), line("db", db), line("plain", plain)];
    World::shop_and_bank()
        .policy("shop", &json!({ "podSelector": selector }))
        .expect(&lines.each_ref().map(String::as_str));
}

fn expression(key: &str, operator: &str, values: &Value) -> Value {
    json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] })
}

#[test]
fn an_empty_selector_matches_all() {
    selects(&json!({}), true, true, true);
    selects(
        &json!({ "matchLabels": {}, "matchExpressions": [] }),
        true,
        true,
        true,
    );
    selects(
        &json!({ "matchLabels": null, "matchExpressions": null }),
        true,
        true,
        true,
    );
}

#[test]
fn match_labels_are_anded() {
    selects(
        &json!({ "matchLabels": { "app": "db" } }),
        false,
        true,
        false,
    );
    selects(
        &json!({ "matchLabels": { "app": "db", "tier": "back" } }),
        false,
        true,
        false,
    );
    selects(
        &json!({ "matchLabels": { "app": "web", "tier": "back" } }),
        false,
        false,
        false,
    );
}

#[test]
fn in_matches_any_of_its_values_and_never_without_the_key() {
    selects(
        &expression("app", "In", &json!(["web"])),
        true,
        false,
        false,
    );
    selects(
        &expression("app", "In", &json!(["web", "db", "none"])),
        true,
        true,
        false,
    );
    selects(
        &expression("ghost", "In", &json!(["web"])),
        false,
        false,
        false,
    );
}

#[test]
fn not_in_matches_other_values_and_objects_without_the_key() {
    selects(
        &expression("app", "NotIn", &json!(["web"])),
        false,
        true,
        true,
    );
    selects(
        &expression("app", "NotIn", &json!(["web", "db"])),
        false,
        false,
        true,
    );
    selects(
        &expression("ghost", "NotIn", &json!(["web"])),
        true,
        true,
        true,
    );
}

#[test]
fn exists_and_does_not_exist_ask_for_the_key_alone() {
    for values in [json!(null), json!([])] {
        selects(&expression("tier", "Exists", &values), false, true, false);
        selects(
            &expression("tier", "DoesNotExist", &values),
            true,
            false,
            true,
        );
    }
}

#[test]
fn an_empty_value_is_a_value() {
    let world = World::shop_and_bank().with(
        "shop/plain",
        &json!({ "metadata": { "labels": { "app": "" } } }),
    );
    for (selector, plain) in [
        (json!({ "matchLabels": { "app": "" } }), "deny at ingress"),
        (expression("app", "Exists", &json!([])), "deny at ingress"),
        (expression("app", "In", &json!([""])), "deny at ingress"),
        (expression("app", "NotIn", &json!([""])), "allow"),
    ] {
        let line = format!("8.8.8.8 > shop/plain TCP/80: {plain}");
        world
            .clone()
            .policy("shop", &json!({ "podSelector": selector }))
            .expect(&[&line]);
    }
}

#[test]
fn labels_and_expressions_are_anded() {
    let mut selector = expression("tier", "DoesNotExist", &json!([]));
    selector["matchLabels"] = json!({ "app": "web" });
    selects(&selector, true, false, false);
    selector["matchLabels"] = json!({ "app": "db" });
    selects(&selector, false, false, false);
    let two = json!({ "matchExpressions": [
        { "key": "app", "operator": "Exists" },
        { "key": "app", "operator": "NotIn", "values": ["web"] },
    ] });
    selects(&two, false, true, false);
}

/// A policy on shop/db that lets in whatever namespaces `selector` matches.
fn from_namespaces(world: World, selector: &Value) -> World {
    world.policy(
        "shop",
        &json!({ "ingress": [{ "from": [{ "namespaceSelector": selector }] }] }),
    )
}

#[test]
fn negative_namespace_selectors_match_namespaces_without_the_key() {
    for selector in [
        expression("env", "DoesNotExist", &json!([])),
        expression("env", "NotIn", &json!(["prod"])),
    ] {
        from_namespaces(World::shop_and_bank(), &selector).expect(&[
            "shop/web > shop/db TCP/80: allow",
            "bank/web > shop/db TCP/80: deny at ingress",
            "8.8.8.8 > shop/db TCP/80: deny at ingress",
        ]);
    }
}

#[test]
fn a_namespace_always_carries_its_name_as_a_label() {
    let by_name = [
        json!({ "matchLabels": { "kubernetes.io/metadata.name": "bank" } }),
        expression(
            "kubernetes.io/metadata.name",
            "In",
            &json!(["bank", "nowhere"]),
        ),
        expression("kubernetes.io/metadata.name", "NotIn", &json!(["shop"])),
    ];
    let worlds = [
        World::shop_and_bank(),
        World::shop_and_bank().without("bank"),
        World::shop_and_bank().with("bank", &json!({ "metadata": { "labels": null } })),
        World::shop_and_bank().with(
            "bank",
            &json!({ "metadata": { "labels": { "kubernetes.io/metadata.name": "liar" } } }),
        ),
    ];
    for world in worlds {
        for selector in &by_name {
            from_namespaces(world.clone(), selector).expect(&[
                "bank/web > shop/db TCP/80: allow",
                "shop/web > shop/db TCP/80: deny at ingress",
            ]);
        }
        let exists = expression("kubernetes.io/metadata.name", "DoesNotExist", &json!([]));
        from_namespaces(world, &exists).expect(&[
            "bank/web > shop/db TCP/80: deny at ingress",
            "shop/web > shop/db TCP/80: deny at ingress",
        ]);
    }
}

#[test]
fn a_namespace_without_an_object_has_no_other_labels() {
    let world = World::shop_and_bank().without("bank");
    from_namespaces(world.clone(), &json!({ "matchLabels": { "env": "prod" } }))
        .expect(&["bank/web > shop/db TCP/80: deny at ingress"]);
    from_namespaces(world, &json!({})).expect(&["bank/web > shop/db TCP/80: allow"]);
}

#[test]
fn a_pod_s_namespace_labels_are_not_its_own() {
    let selector = json!({ "matchLabels": { "team": "red" } });
    selects(&selector, false, false, false);
    selects(
        &json!({ "matchLabels": { "kubernetes.io/metadata.name": "shop" } }),
        false,
        false,
        false,
    );
}
