//! `netpolctl evaluate --batch`: the protocol, and that verdicts come from state, not history.

use serde_json::{Value, json};

use crate::generator::{Generator, Size};
use crate::program::netpolctl_fed;

/// The answers to these lines.
fn answers(lines: &[String]) -> Vec<Value> {
    let input = lines.join("\n");
    let text = netpolctl_fed(&["evaluate", "--batch"], &input).stdout_of(0);
    text.lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

/// The answer to one request.
fn answer(request: &Value) -> Value {
    answers(&[request.to_string()]).remove(0)
}

fn pod(name: &str, app: &str, address: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
           "spec": {"nodeName": node}, "status": {"podIP": address}})
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a call with json!(..) reads better without the reference"
)]
fn policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
           "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

/// Pods web and db; db takes TCP 5432 from web.
fn shop() -> Vec<Value> {
    vec![
        pod("web", "web", "10.0.0.1", "a"),
        pod("db", "db", "10.0.0.2", "b"),
        json!({"kind": "Node", "metadata": {"name": "b"}, "status": {"addresses": [
            {"type": "InternalIP", "address": "192.168.0.2"}]}}),
        json!({"kind": "Node", "metadata": {"name": "a"}, "status": {"addresses": [
            {"type": "InternalIP", "address": "192.168.0.1"}]}}),
        policy(
            "db",
            json!({"podSelector": {"matchLabels": {"app": "db"}},
                   "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                                "ports": [{"port": 5432}]}]}),
        ),
    ]
}

fn tcp(from: &str, to: &str, port: u16) -> Value {
    json!({"from": from, "to": to, "protocol": "TCP", "port": port})
}

#[test]
fn results_say_verdict_end_rule_and_reason() {
    let probes = [
        tcp("10.0.0.1", "10.0.0.2", 5432),
        tcp("10.0.0.1", "10.0.0.2", 80),
        tcp("10.0.0.2", "10.0.0.1", 80),
    ];
    let answer = answer(&json!({"id": {"any": [1]}, "objects": shop(), "probes": probes}));
    assert_eq!(
        answer,
        json!({"id": {"any": [1]}, "results": [
            {"verdict": "allow", "at": null,
             "rule": {"egress": null, "ingress": {"policy": "shop/db", "index": 0}},
             "reason": "a rule allows it at the destination, and nothing isolates the source"},
            {"verdict": "deny", "at": "ingress", "rule": {"policies": ["shop/db"]},
             "reason": "isolated by shop/db; no ingress rule allows it"},
            {"verdict": "allow", "at": null, "rule": {"egress": null, "ingress": null},
             "reason": "no policy isolates either end"},
        ]})
    );
}

/// The verdicts on probes of the shop with further objects.
fn verdicts(further: &[Value], probes: &[Value]) -> Vec<String> {
    let objects = [&shop()[..], further].concat();
    let answer = answer(&json!({"id": 1, "objects": objects, "probes": probes}));
    let results = answer["results"].as_array();
    let results = results.unwrap_or_else(|| panic!("{answer:#}"));
    let verdict = |r: &Value| r["verdict"].as_str().expect("a verdict").to_owned();
    results.iter().map(verdict).collect()
}

#[test]
fn protocols_go_by_name_and_number() {
    let probe =
        |protocol: Value| json!({"from": "10.0.0.1", "to": "10.0.0.2", "protocol": protocol});
    let with_port = |protocol: Value| json!({"from": "10.0.0.1", "to": "10.0.0.2", "protocol": protocol, "port": 9});
    let open = policy("open", json!({"podSelector": {}, "ingress": [{}]}));
    let probes = [
        probe(json!("ICMP")),
        probe(json!(47)),
        probe(json!("47")),
        with_port(json!("SCTP")),
        with_port(json!(17)),
    ];
    assert_eq!(verdicts(&[], &probes), ["deny"; 5]);
    assert_eq!(verdicts(&[open], &probes), ["allow"; 5]);
}

#[test]
fn the_pods_own_node_is_exempt_and_another_is_not() {
    let probes = [
        tcp("192.168.0.2", "10.0.0.2", 22),
        tcp("192.168.0.1", "10.0.0.2", 22),
    ];
    assert_eq!(verdicts(&[], &probes), ["allow", "deny"]);
    // Also where the pod may not answer anyone of itself.
    let closed = policy(
        "closed",
        json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
    );
    assert_eq!(verdicts(&[closed], &probes), ["allow", "deny"]);
}

#[test]
fn a_pod_reaches_itself_and_nothing_else_when_locked() {
    let closed = policy(
        "closed",
        json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
    );
    let probes = [
        tcp("10.0.0.2", "10.0.0.2", 1),
        tcp("10.0.0.1", "10.0.0.2", 5432),
    ];
    assert_eq!(verdicts(&[closed], &probes), ["allow", "deny"]);
}

#[test]
fn ping_of_ipv6_is_icmpv6() {
    let pods = [
        pod("six", "six", "fd00::6", "a"),
        policy(
            "six",
            json!({"podSelector": {"matchLabels": {"app": "six"}}, "ingress": [
            {"from": [{"ipBlock": {"cidr": "fd00::/64"}}]}]}),
        ),
    ];
    let ping =
        |from: &str, protocol: &str| json!({"from": from, "to": "fd00::6", "protocol": protocol});
    let probes = [
        ping("fd00::1", "ICMP"),
        ping("fd00::1", "ICMPv6"),
        ping("2001:db8::1", "ICMP"),
    ];
    assert_eq!(verdicts(&pods, &probes), ["allow", "allow", "deny"]);
}

#[test]
fn a_cluster_seen_before_follows_its_objects() {
    let request = |id: usize, cluster: Option<&str>, objects: &[Value]| {
        json!({"id": id, "cluster": cluster, "objects": objects,
               "probes": [tcp("10.0.0.1", "10.0.0.2", 80)]})
        .to_string()
    };
    let with = shop();
    let without = &with[..4];
    let lines = [
        request(0, Some("c"), &with),
        request(1, Some("c"), without),
        request(2, Some("c"), &with),
        request(3, None, without),
        request(4, Some("d"), &with),
    ];
    let answers = answers(&lines);
    let verdicts: Vec<&Value> = answers
        .iter()
        .map(|a| &a["results"][0]["verdict"])
        .collect();
    assert_eq!(verdicts, ["deny", "allow", "deny", "allow", "deny"]);
    let ids: Vec<&Value> = answers.iter().map(|a| &a["id"]).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4]);
}

#[test]
fn a_request_that_fails_leaves_the_others_alone() {
    let good = json!({"id": "good", "cluster": "c", "objects": shop(),
                      "probes": [tcp("10.0.0.1", "10.0.0.2", 80)]});
    let twice = [&shop()[..], &shop()[..1]].concat();
    let lines = [
        good.to_string(),
        "{not json".to_owned(),
        String::new(),
        json!({"id": 1, "objects": []}).to_string(),
        json!({"id": 2, "cluster": "c", "objects": [{"kind": "Pod"}], "probes": []}).to_string(),
        json!({"id": 3, "cluster": "c", "objects": twice, "probes": []}).to_string(),
        good.to_string(),
    ];
    let answers = answers(&lines);
    assert_eq!(answers.len(), 6, "{answers:#?}");
    let error = |place: usize| answers[place]["error"].as_str().unwrap_or_default();
    assert_eq!(answers[1]["id"], Value::Null);
    assert!(!error(1).is_empty(), "{answers:#?}");
    assert_eq!(answers[2]["id"], 1);
    assert!(error(2).contains("probes"), "{answers:#?}");
    assert!(
        error(3).contains("objects[0]: Pod without a name"),
        "{answers:#?}"
    );
    assert!(
        error(4).contains("objects[5]: Pod shop/web is there twice"),
        "{answers:#?}"
    );
    assert_eq!(answers[0], answers[5]);
}

#[test]
fn a_probe_that_cannot_be_asked_is_named_by_place_and_field() {
    let error = |probe: Value| {
        let probes = [tcp("10.0.0.1", "10.0.0.2", 80), probe];
        let answer = answer(&json!({"id": 7, "objects": [], "probes": probes}));
        assert_eq!(answer["id"], 7);
        answer["error"].as_str().expect("an error").to_owned()
    };
    let starts = |probe: Value, start: &str| {
        let error = error(probe);
        assert!(error.starts_with(start), "{error}");
    };
    starts(json!({"to": "10.0.0.2"}), "probes[1].from: is missing");
    starts(
        json!({"from": "10.0.0.1", "to": 5}),
        "probes[1].to: 5 is no address",
    );
    starts(
        json!({"from": "10.0.0.1", "to": "db"}),
        "probes[1].to: \"db\" is no address",
    );
    starts(
        tcp("10.0.0.1", "fd00::1", 80),
        "probes[1].to: 10.0.0.1 and fd00::1 are of different",
    );
    starts(
        tcp("10.0.0.1", "10.0.0.2", 0),
        "probes[1].port: 0 is no port",
    );
    starts(
        json!({"from": "10.0.0.1", "to": "10.0.0.2", "port": 70000}),
        "probes[1].port: 70000",
    );
    let no_port = json!({"from": "10.0.0.1", "to": "10.0.0.2", "protocol": "UDP"});
    starts(no_port, "probes[1].port: UDP needs one");
    let unknown = json!({"from": "10.0.0.1", "to": "10.0.0.2", "protocol": "GREEN"});
    starts(unknown, "probes[1].protocol: \"GREEN\" is none of");
    let icmp6 = json!({"from": "10.0.0.1", "to": "10.0.0.2", "protocol": "ICMPv6"});
    starts(icmp6, "probes[1].protocol: 10.0.0.1 is IPv4");
    starts(json!("probe"), "probes[1].from: is missing");
}

#[test]
fn invalid_policies_isolate_and_are_listed() {
    let broken = policy(
        "broken",
        json!({"podSelector": {"matchLabels": {"app": "web"}},
               "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]}),
    );
    let objects = [&shop()[..], &[broken]].concat();
    let probes = [tcp("10.0.0.2", "10.0.0.1", 80)];
    let answer = answer(&json!({"id": 1, "objects": objects, "probes": probes}));
    assert_eq!(
        answer["results"][0]["rule"],
        json!({"policies": ["shop/broken"]})
    );
    assert_eq!(answer["invalid"][0]["object"], "NetworkPolicy shop/broken");
    assert_eq!(
        answer["invalid"][0]["field"],
        "spec.ingress[0].from[0].ipBlock.cidr"
    );
}

#[test]
fn what_an_invalid_pod_or_namespace_would_do_is_denied() {
    let mut odd = pod("odd", "odd", "10.0.0.9", "a");
    odd["metadata"]["labels"]["app"] = json!(5);
    let probes = [
        tcp("10.0.0.9", "10.0.0.1", 80),
        tcp("10.0.0.1", "10.0.0.9", 80),
    ];
    assert_eq!(
        verdicts(std::slice::from_ref(&odd), &probes),
        ["deny", "deny"]
    );
    let namespace =
        json!({"kind": "Namespace", "metadata": {"name": "shop", "labels": {"env": 5}}});
    let probes = [
        tcp("203.0.113.7", "10.0.0.1", 80),
        tcp("10.0.0.1", "203.0.113.7", 80),
    ];
    assert_eq!(verdicts(&[], &probes), ["allow", "allow"]);
    assert_eq!(verdicts(&[namespace], &probes), ["deny", "deny"]);
}

#[test]
fn a_cluster_reached_by_changes_answers_like_one_made_afresh() {
    const SIZE: Size = Size {
        pods: 15,
        policies: 10,
        probes: 60,
    };
    let mut generator = Generator::new(7, "c", SIZE);
    let changed: Vec<Value> = (0..25).map(|id| generator.request(id)).collect();
    let fresh: Vec<Value> = changed
        .iter()
        .map(|request| {
            let mut request = request.clone();
            request["cluster"] = Value::Null;
            request
        })
        .collect();
    let lines = |requests: &[Value]| requests.iter().map(Value::to_string).collect::<Vec<_>>();
    let changed = answers(&lines(&changed));
    assert_eq!(changed, answers(&lines(&fresh)));
    let count = |verdict: &str| {
        let results = changed
            .iter()
            .flat_map(|a| a["results"].as_array().expect("results"));
        results.filter(|r| r["verdict"] == verdict).count()
    };
    assert!(
        count("allow") > 100 && count("deny") > 100,
        "{} {}",
        count("allow"),
        count("deny")
    );
}
