//! `netpolctl evaluate` with Services.

use serde_json::{Value, json};

use crate::program::netpolctl_fed;

fn pod(name: &str, app: &str, address: &str, ready: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
           "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]},
           "status": {"podIP": address, "conditions": [{"type": "Ready", "status": ready}]}})
}

/// The pod `client` may reach pods `app=web` on 8080; the Service leads there, port 80.
fn shop(selector: &Value, more: &[Value]) -> Vec<Value> {
    let mut objects = vec![
        pod("client", "client", "10.0.0.1", "True"),
        pod("web", "web", "10.0.0.2", "True"),
        pod("sick", "web", "10.0.0.3", "False"),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
               "metadata": {"name": "client", "namespace": "shop"},
               "spec": {"podSelector": {"matchLabels": {"app": "client"}},
                        "policyTypes": ["Egress"],
                        "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                                    "ports": [{"port": 8080}]}]}}),
        json!({"apiVersion": "v1", "kind": "Service",
               "metadata": {"name": "front", "namespace": "shop"},
               "spec": {"selector": selector, "clusterIP": "10.96.0.9",
                        "ports": [{"port": 80, "targetPort": "web"}]}}),
    ];
    objects.extend_from_slice(more);
    objects
}

fn verdict(objects: &[Value], to: &str) -> Value {
    let probe = json!({"from": "10.0.0.1", "to": to, "protocol": "TCP", "port": 80});
    let request = json!({"id": 1, "objects": objects, "probes": [probe]}).to_string();
    let text = netpolctl_fed(&["evaluate", "--batch"], &request).stdout_of(0);
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    answer["results"][0].clone()
}

fn slice(endpoints: &Value) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
           "metadata": {"name": "front-1", "namespace": "shop",
                        "labels": {"kubernetes.io/service-name": "front"}},
           "addressType": "IPv4", "endpoints": endpoints,
           "ports": [{"name": "", "port": 8080, "protocol": "TCP"}]})
}

#[test]
fn a_service_is_judged_by_the_ready_pods_it_selects_when_there_are_no_slices() {
    let web = verdict(&shop(&json!({"app": "web"}), &[]), "10.96.0.9");
    assert_eq!(web["verdict"], "allow", "{web}");
    assert_eq!(web["rule"]["egress"]["policy"], "shop/client", "{web}");
    let client = verdict(&shop(&json!({"app": "client"}), &[]), "10.96.0.9");
    assert_eq!(
        (&client["verdict"], &client["at"]),
        (&json!("allow"), &Value::Null),
        "itself"
    );
    let nobody = verdict(&shop(&json!({"app": "nobody"}), &[]), "10.96.0.9");
    assert_eq!(
        (&nobody["verdict"], &nobody["at"]),
        (&json!("deny"), &json!("egress"))
    );
}

#[test]
fn slices_count_before_the_selector_and_what_is_no_pod_must_be_allowed() {
    let outside = slice(&json!([{"addresses": ["10.0.0.2"]}, {"addresses": ["198.51.100.7"]}]));
    let denied = verdict(&shop(&json!({"app": "web"}), &[outside]), "10.96.0.9");
    assert_eq!(
        (&denied["verdict"], &denied["at"]),
        (&json!("deny"), &json!("egress"))
    );
    let two = slice(&json!([{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.3"]}]));
    let allowed = verdict(&shop(&json!({"app": "web"}), &[two]), "10.96.0.9");
    assert_eq!(allowed["verdict"], "allow");
}

#[test]
fn a_backend_that_takes_nothing_denies_at_its_end() {
    let closed = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                        "metadata": {"name": "closed", "namespace": "shop"},
                        "spec": {"podSelector": {"matchLabels": {"app": "web"}}}});
    let denied = verdict(&shop(&json!({"app": "web"}), &[closed]), "10.96.0.9");
    assert_eq!(
        (&denied["verdict"], &denied["at"]),
        (&json!("deny"), &json!("ingress"))
    );
}

#[test]
fn the_words_say_what_holds_at_each_backend() {
    let other = pod("other", "other", "10.0.0.4", "True");
    let both = slice(&json!([{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.4"]}]));
    let objects = json!({"apiVersion": "v1", "kind": "List",
                         "items": shop(&json!({"app": "web"}), &[other, both])});
    let arguments = [
        "evaluate",
        "-f",
        "-",
        "--from",
        "shop/client",
        "--to",
        "service/shop/front",
        "--port",
        "80",
    ];
    let text = netpolctl_fed(&arguments, &objects.to_string()).stdout_of(0);
    assert!(text.starts_with("ALLOWED"), "{text}");
    let line = |word: &str| {
        text.lines()
            .find(|l| l.contains(word))
            .unwrap_or_default()
            .trim()
    };
    assert!(line("shop/web").starts_with("reached"), "{text}");
    assert!(line("shop/other").starts_with("not reached"), "{text}");
    assert!(
        text.contains("the sender is isolated by shop/client"),
        "{text}"
    );
}
