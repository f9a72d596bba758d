use netpol_policy::Kind;
use serde_json::json;

use super::{super::resources::RESOURCES, *};

fn of(kind: Kind) -> &'static Resource {
    let found = RESOURCES.iter().find(|resource| resource.kind == kind);
    found.expect("watched")
}

/// A pod as an API server sends it.
fn pod() -> Value {
    json!({
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": "u1", "resourceVersion": "42",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "deletionTimestamp": "2026-01-02T00:00:00Z", "labels": { "app": "web" },
            "annotations": {
                "k8s.io/initial-events-end": "true",
                "kubernetes.io/config.mirror": "u0", "kubernetes.io/config.hash": "u0",
            },
            "managedFields": [{ "manager": "kubelet", "fieldsV1": { "f:status": {} } }],
            "ownerReferences": [{ "kind": "ReplicaSet", "name": "web" }],
        },
        "spec": {
            "nodeName": "node-a", "hostNetwork": false,
            "volumes": [{ "name": "token", "projected": { "sources": [] } }],
            "containers": [{
                "name": "web", "image": "web", "env": [{ "name": "A", "value": "b" }],
                "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }],
            }],
            "initContainers": [{
                "name": "proxy", "restartPolicy": "Always",
                "ports": [{ "name": "admin", "containerPort": 9000 }],
            }],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.1",
            "podIPs": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }],
            "containerStatuses": [{ "name": "web", "ready": true }],
        },
    })
}

fn list(items: &[Value]) -> Vec<u8> {
    let list = json!({
        "kind": "PodList", "apiVersion": "v1",
        "metadata": { "resourceVersion": "50", "continue": "next", "remainingItemCount": 3 },
        "items": items,
    });
    list.to_string().into_bytes()
}

#[test]
fn what_is_passed_over_makes_no_difference() {
    let page = page(&list(&[pod()]), of(Kind::Pod)).expect("a list");
    let mut whole = pod();
    whole["kind"] = "Pod".into();
    whole["apiVersion"] = "v1".into();
    let whole = Object::from_value(&whole).expect("valid").expect("of use");
    assert_eq!(page.items[0].object, Ok(whole));
    assert_eq!(page.items[0].version.as_deref(), Some("42"));
    assert_eq!(
        (page.version, page.next),
        (Some("50".into()), Some("next".into()))
    );
}

#[test]
fn one_unreadable_object_spoils_no_other() {
    let mut bad = pod();
    bad["metadata"]["name"] = "bad".into();
    bad["status"]["podIPs"][0]["ip"] = "not an address".into();
    let items = [pod(), bad, json!("no object at all"), pod()];
    let page = page(&list(&items), of(Kind::Pod)).expect("a list");
    let read: Vec<bool> = page.items.iter().map(|item| item.object.is_ok()).collect();
    assert_eq!(read, [true, false, false, true]);
    let invalid = page.items[1].object.as_ref().expect_err("invalid");
    assert_eq!(invalid.field, "status.podIPs[0].ip");
    let name = invalid.object.as_ref().map(ToString::to_string);
    assert_eq!(name.as_deref(), Some("Pod shop/bad"));
}

#[test]
fn a_policy_with_an_unknown_field_is_there_and_closed() {
    let line = json!({
        "type": "ADDED",
        "object": {
            "kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1",
            "metadata": { "name": "new", "namespace": "shop", "resourceVersion": "7" },
            "spec": { "podSelector": {}, "newField": 1, "policyTypes": ["Ingress"] },
        },
    });
    let line = line.to_string();
    let event = event(line.as_bytes(), of(Kind::NetworkPolicy)).expect("a line");
    let Event::Set(Item { object, .. }) = event else {
        panic!("{event:?}");
    };
    let Ok(Object::NetworkPolicy(policy)) = object else {
        panic!("{object:?}");
    };
    assert_eq!(
        policy.problem.as_ref().map(|p| p.field.as_str()),
        Some("spec.newField")
    );
    assert!(policy.ingress.is_some() && policy.egress.is_some());
}

#[test]
fn the_lines_of_a_watch_are_told_apart_in_any_order_of_fields() {
    let read = |line: &str| event(line.as_bytes(), of(Kind::Pod)).expect("a line");
    let bookmark = r#"{"object":{"kind":"Pod","metadata":{"resourceVersion":"9","annotations":
        {"k8s.io/initial-events-end":"true"}}},"type":"BOOKMARK"}"#;
    assert!(matches!(
        read(bookmark),
        Event::Bookmark { version: Some(v), complete: true } if v == "9"
    ));
    let plain = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"10"}}}"#;
    assert!(matches!(
        read(plain),
        Event::Bookmark {
            complete: false,
            ..
        }
    ));
    let error = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}"#;
    assert!(matches!(read(error), Event::Error { code: 410, .. }));
    let gone = json!({ "type": "DELETED", "object": pod() }).to_string();
    assert!(matches!(
        read(&gone),
        Event::Gone(Item { key: Some(key), .. }) if key == ObjectKey::new("shop", "web-1")
    ));
}

#[test]
fn of_a_namespace_s_annotations_only_how_to_refuse_is_kept() {
    let line = json!({
        "type": "ADDED",
        "object": {
            "metadata": {
                "name": "shop", "resourceVersion": "7",
                "annotations": { "netpol.io/refuse": "reject", "a-long-one": "..." },
            },
        },
    });
    let line = line.to_string();
    let event = event(line.as_bytes(), of(Kind::Namespace)).expect("a line");
    let Event::Set(Item { object, .. }) = event else {
        panic!("{event:?}");
    };
    let Ok(Object::Namespace(namespace)) = object else {
        panic!("{object:?}");
    };
    assert_eq!(namespace.refusal, netpol_policy::Refusal::Reject);
    let mut value = json!({
        "metadata": { "annotations": { "netpol.io/refuse": "drop", "other": "x" } },
    });
    keep_refusal(&mut value);
    assert_eq!(
        value["metadata"]["annotations"],
        json!({ "netpol.io/refuse": "drop" })
    );
}
