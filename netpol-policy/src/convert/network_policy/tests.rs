use serde_json::{Value, json};

use super::*;
use crate::policy::{PortMatch, PortSpec, Protocol};

fn read(spec: &Value) -> Policy {
    policy(ObjectKey::new("shop", "p"), &json!({ "spec": spec }))
}

/// The field and a part of the reason, and what still isolates.
#[track_caller]
fn refused(spec: &Value, field: &str, reason: &str) -> Policy {
    let policy = read(spec);
    let problem = policy.problem.clone();
    let problem = problem.unwrap_or_else(|| panic!("{spec} is read as valid: {policy:?}"));
    assert_eq!(problem.field, field, "{problem:?}");
    assert!(problem.reason.contains(reason), "{problem:?}");
    let rules = [&policy.ingress, &policy.egress];
    assert!(rules.into_iter().flatten().all(Vec::is_empty));
    policy
}

#[test]
fn absent_policy_types_follow_the_egress_rules() {
    let isolates = |spec: Value| {
        let policy = read(&spec);
        assert_eq!(policy.problem, None);
        (policy.ingress.is_some(), policy.egress.is_some())
    };
    assert_eq!(isolates(json!({})), (true, false));
    assert_eq!(isolates(json!({ "egress": [] })), (true, false));
    assert_eq!(isolates(json!({ "egress": null })), (true, false));
    assert_eq!(isolates(json!({ "egress": [{}] })), (true, true));
    assert_eq!(
        isolates(json!({ "policyTypes": [], "egress": [{}] })),
        (true, true)
    );
    assert_eq!(
        isolates(json!({ "policyTypes": ["Egress"] })),
        (false, true)
    );
    assert_eq!(
        isolates(json!({ "policyTypes": ["Egress"], "ingress": [{}] })),
        (false, true)
    );
    assert_eq!(
        isolates(json!({ "policyTypes": ["Ingress"], "egress": [{}] })),
        (true, false)
    );
}

#[test]
fn absent_empty_and_null_peers_and_ports_are_everyone_and_everything() {
    for rule in [
        json!({}),
        json!({ "from": [], "ports": [] }),
        json!({ "from": null, "ports": null }),
    ] {
        let rules = read(&json!({ "ingress": [rule] })).ingress;
        let everything = Rule {
            peers: Peers::Anyone,
            ports: Ports::All,
        };
        assert_eq!(rules, Some(vec![everything]), "{rule}");
    }
    for none in [
        json!({}),
        json!({ "ingress": [] }),
        json!({ "ingress": null }),
    ] {
        assert_eq!(read(&none).ingress, Some(vec![]), "{none}");
    }
}

#[test]
fn an_empty_port_item_is_every_tcp_port() {
    let rules = read(&json!({ "ingress": [{ "ports": [{}] }] })).ingress;
    let every_tcp = PortMatch {
        protocol: Protocol::Tcp,
        port: PortSpec::Any,
    };
    assert_eq!(
        rules.unwrap_or_default()[0].ports,
        Ports::Of(vec![every_tcp])
    );
}

#[test]
fn host_bits_are_masked_and_exceptions_kept_with_their_block() {
    let block = json!({ "cidr": "10.1.2.3/8", "except": ["10.2.9.9/16", "10.2.0.0/16"] });
    let rules = read(&json!({ "ingress": [{ "from": [{ "ipBlock": block }] }] })).ingress;
    let Peers::Of(peers) = &rules.as_ref().expect("it isolates")[0].peers else {
        panic!("{rules:?}");
    };
    assert_eq!(peers[0].to_string(), "10.0.0.0/8 except 10.2.0.0/16");
}

#[test]
fn what_is_wrong_is_named_by_field_and_reason() {
    let ingress = |rule: Value| json!({ "ingress": [{}, rule] });
    let from = |peer: Value| ingress(json!({ "from": [peer] }));
    let port = |port: Value| ingress(json!({ "ports": [port] }));
    let block = |block: Value| from(json!({ "ipBlock": block }));
    let expression = |e: Value| from(json!({ "podSelector": { "matchExpressions": [e] } }));
    let at = "spec.ingress[1].from[0]";
    let cases = [
        (
            block(json!({ "cidr": "10.0.0.0/33" })),
            format!("{at}.ipBlock.cidr"),
            "is no CIDR",
        ),
        (
            block(json!({ "cidr": "10.0.0.1" })),
            format!("{at}.ipBlock.cidr"),
            "is no CIDR",
        ),
        (
            block(json!({ "cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"] })),
            format!("{at}.ipBlock.except[0]"),
            "is outside 10.0.0.0/8",
        ),
        (
            block(json!({ "cidr": "::ffff:10.0.0.0/104" })),
            format!("{at}.ipBlock.cidr"),
            "write the IPv4 CIDR",
        ),
        (
            expression(json!({ "key": "app", "operator": "Like", "values": ["x"] })),
            format!("{at}.podSelector.matchExpressions[0].operator"),
            "none of In, NotIn",
        ),
        (
            expression(json!({ "key": "app", "operator": "In" })),
            format!("{at}.podSelector.matchExpressions[0].values"),
            "must not be empty",
        ),
        (
            expression(json!({ "key": "app", "operator": "Exists", "values": ["x"] })),
            format!("{at}.podSelector.matchExpressions[0].values"),
            "must be empty",
        ),
        (from(json!({})), at.to_owned(), "needs one of"),
        (
            from(json!({ "ipBlock": { "cidr": "::/0" }, "podSelector": {} })),
            format!("{at}.ipBlock"),
            "beside a selector",
        ),
        (
            port(json!({ "protocol": "ICMP" })),
            "spec.ingress[1].ports[0].protocol".into(),
            "ICMP",
        ),
        (
            port(json!({ "port": 0 })),
            "spec.ingress[1].ports[0].port".into(),
            "1 and 65535",
        ),
        (
            port(json!({ "port": "80" })),
            "spec.ingress[1].ports[0].port".into(),
            "without quotes",
        ),
        (
            port(json!({ "port": 80, "endPort": 79 })),
            "spec.ingress[1].ports[0].endPort".into(),
            "below the port",
        ),
        (
            port(json!({ "port": "http", "endPort": 80 })),
            "spec.ingress[1].ports[0].endPort".into(),
            "named port",
        ),
        (
            port(json!({ "endPort": 80 })),
            "spec.ingress[1].ports[0].endPort".into(),
            "needs a port",
        ),
        (
            json!({ "policyTypes": ["ingress"] }),
            "spec.policyTypes[0]".into(),
            "neither",
        ),
        (
            json!({ "ingres": [{}] }),
            "spec.ingres".into(),
            "is no field",
        ),
        (
            from(json!({ "podSelectors": {} })),
            format!("{at}.podSelectors"),
            "is no field",
        ),
        (json!({ "ingress": {} }), "spec.ingress".into(), ""),
    ];
    for (spec, field, reason) in cases {
        let policy = refused(&spec, &field, reason);
        assert!(policy.ingress.is_some(), "{spec} still isolates");
    }
}

#[test]
fn an_invalid_policy_closes_the_directions_it_names() {
    let bad = json!([{ "ports": [{ "protocol": "GRE" }] }]);
    let policy = refused(
        &json!({ "policyTypes": ["Egress"], "egress": bad, "podSelector": { "matchLabels": { "app": "db" } } }),
        "spec.egress[0].ports[0].protocol",
        "GRE",
    );
    assert_eq!((policy.ingress, policy.egress), (None, Some(vec![])));
    assert_eq!(policy.subjects.to_string(), "app=db");
    let policy = refused(&json!({ "policyTypes": "Egress" }), "spec.policyTypes", "");
    assert!(policy.ingress.is_some() && policy.egress.is_some());
    let policy = refused(&json!({ "egress": "all" }), "spec.egress", "");
    assert!(policy.egress.is_some());
}

#[test]
fn an_unreadable_selector_closes_the_whole_namespace() {
    for selector in [
        json!("app=db"),
        json!({ "matchLabels": ["app"] }),
        json!({ "matchExpressions": [{ "key": "app", "operator": "Near" }] }),
    ] {
        let policy = read(&json!({ "podSelector": selector }));
        assert!(policy.problem.is_some());
        assert!(policy.subjects.is_everything());
        assert_eq!(policy.ingress, Some(vec![]));
    }
}

#[test]
fn a_field_that_is_not_understood_closes_both_directions() {
    let policy = refused(&json!({ "Egress": [{}] }), "spec.Egress", "is no field");
    assert!(policy.ingress.is_some() && policy.egress.is_some());
    let policy = refused(
        &json!({ "policytypes": ["Egress"] }),
        "spec.policytypes",
        "",
    );
    assert!(policy.egress.is_some());
}

#[test]
fn another_version_of_the_stock_object_closes_and_another_object_is_passed_over() {
    use crate::object::Object;
    let object = |version: &str| {
        Object::from_value(&json!({
            "apiVersion": version, "kind": "NetworkPolicy",
            "metadata": { "name": "p" }, "spec": { "ingress": [{}] },
        }))
    };
    for version in [
        "extensions/v1beta1",
        "networking/v1",
        "networking.k8s.io/v2",
        "v1",
    ] {
        let Ok(Some(Object::NetworkPolicy(policy))) = object(version) else {
            panic!("{version} is passed over");
        };
        let problem = policy.problem.clone().expect("it is not understood");
        assert_eq!(problem.field, "apiVersion");
        assert_eq!(policy.ingress, Some(vec![]));
    }
    assert_eq!(object("crd.projectcalico.org/v1"), Ok(None));
}

#[test]
fn the_version_is_the_object_s_and_no_digest_knows_of_it() {
    let read = |generation: i64| {
        let metadata = json!({ "uid": "u-1", "generation": generation });
        let value = json!({ "metadata": metadata, "spec": { "ingress": [{}] } });
        policy(ObjectKey::new("shop", "p"), &value)
    };
    let (one, two) = (read(1), read(2));
    assert_eq!(two.version.uid, "u-1");
    assert_eq!(two.version.generation, Some(2));
    assert_ne!(one, two);
    let digest = crate::digest::digest_of;
    assert_eq!(digest(&one), digest(&two));
}

#[test]
fn a_manifest_without_a_version_has_none() {
    assert_eq!(read(&json!({})).version, PolicyVersion::default());
    let broken = json!({ "metadata": { "generation": "seven" }, "spec": 7 });
    let broken = policy(ObjectKey::new("shop", "p"), &broken);
    assert_eq!(broken.version, PolicyVersion::default());
    assert!(broken.problem.is_some());
}
