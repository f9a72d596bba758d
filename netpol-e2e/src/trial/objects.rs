//! Objects the trials apply, as JSON.

use serde_json::{Value, json};

use super::newborn::Errand;

/// The image that has the program `newborn`.
pub const NEWBORN_IMAGE: &str = "localhost/newborn:test";
/// Kubernetes' own test image.
pub const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.59";

/// Labels as an object.
pub fn labels(pairs: &[(&str, &str)]) -> Value {
    let pairs = pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), Value::from(value)));
    Value::Object(pairs.collect())
}

/// A namespace.
pub fn namespace(name: &str, labels_of_it: &[(&str, &str)]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": labels(labels_of_it)},
    })
}

/// A pod on a node, which runs until it is deleted and does nothing by itself: its sockets are ours.
pub fn idle_pod(namespace: &str, name: &str, node: &str, of: &[(&str, &str)]) -> Value {
    pod(
        namespace,
        name,
        node,
        of,
        json!({"name": "idle", "image": AGNHOST, "args": ["pause"]}),
        "Always",
    )
}

/// A pod that runs `newborn`.
pub fn newborn(
    namespace: &str,
    name: &str,
    node: &str,
    of: &[(&str, &str)],
    errand: &Errand,
) -> Value {
    let restart = if errand.forever { "Always" } else { "Never" };
    pod(
        namespace,
        name,
        node,
        of,
        json!({"name": "newborn", "image": NEWBORN_IMAGE, "args": errand.arguments()}),
        restart,
    )
}

/// A pod of one container.
pub fn pod(
    namespace: &str,
    name: &str,
    node: &str,
    of: &[(&str, &str)],
    mut container: Value,
    restart: &str,
) -> Value {
    container["imagePullPolicy"] = "IfNotPresent".into();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": labels(of)},
        "spec": {
            "nodeName": node,
            "restartPolicy": restart,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
        },
    })
}

/// A policy.
pub fn policy(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    })
}
