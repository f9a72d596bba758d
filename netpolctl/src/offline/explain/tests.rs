#![expect(
    clippy::needless_pass_by_value,
    reason = "a call with json!(..) reads better without the reference"
)]

use netpol_policy::{Object, ObjectKey};
use serde_json::{Value, json};

use super::*;
use crate::offline::world::World;

/// The policy of these rules in namespace `data`, which isolates for ingress.
fn policy(ingress: Value) -> Arc<Policy> {
    let value = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "guard", "namespace": "data"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress}
    });
    match Object::from_value(&value) {
        Ok(Some(Object::NetworkPolicy(policy))) => policy,
        other => panic!("{other:?}"),
    }
}

fn pod(namespace: &str, name: &str, labels: Value, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "main", "ports": [
            {"name": "metrics", "containerPort": 9090, "protocol": "TCP"}]}]},
        "status": {"podIP": address}
    })
}

/// Namespaces `front` (team=red) and `data`, a pod in each.
fn world() -> World {
    let mut world = World::default();
    for value in [
        json!({"apiVersion": "v1", "kind": "Namespace",
               "metadata": {"name": "front", "labels": {"team": "red"}}}),
        pod("front", "web", json!({"app": "web"}), "10.0.0.1"),
        pod("data", "db", json!({"app": "db"}), "10.0.0.2"),
    ] {
        let object = Object::from_value(&value)
            .expect("an object")
            .expect("of a known kind");
        world.set(&object);
    }
    world
}

/// Explains front/web (or an address) to data/db.
fn explained(ingress: Value, from: &str, traffic: Traffic) -> Explanation {
    let world = world();
    let source = world.pod(&ObjectKey::new("front", "web"));
    let source = source.filter(|_| from == "10.0.0.1");
    let labels = world.namespace_labels("front");
    let remote = Remote {
        address: from.parse().expect("an address"),
        pod: source.map(|pod| (pod, &labels)),
    };
    let destination = world.pod(&ObjectKey::new("data", "db"));
    let policies = [policy(ingress)];
    explain(&policies, Direction::Ingress, remote, traffic, destination)
}

fn tcp(port: u16) -> Traffic {
    Traffic::new("TCP", Some(port)).expect("traffic")
}

/// Why the only peer of the only rule does not match front/web.
#[track_caller]
fn assert_peer(peer: Value, expected: &[&str]) {
    let explanation = explained(json!([{"from": [peer]}]), "10.0.0.1", tcp(80));
    assert_eq!(explanation.rules[0].because, expected);
    assert_eq!(explanation.rules[0].peer_matches, expected.is_empty());
}

#[test]
fn each_requirement_of_a_selector_fails_in_its_own_words() {
    let pods = |expression: Value| json!({"namespaceSelector": {}, "podSelector": {"matchExpressions": [expression]}});
    let app = |operator: &str, values: &[&str]| {
        pods(json!({"key": "app", "operator": operator, "values": values}))
    };
    assert_peer(app("In", &["web"]), &[]);
    assert_peer(
        app("In", &["api", "job"]),
        &["pod front/web: label app is web, not api or job"],
    );
    assert_peer(
        app("NotIn", &["web"]),
        &["pod front/web: label app is web, which is ruled out"],
    );
    assert_peer(
        pods(json!({"key": "tier", "operator": "In", "values": ["a"]})),
        &["pod front/web: has no label tier, which must be a"],
    );
    assert_peer(
        pods(json!({"key": "tier", "operator": "Exists"})),
        &["pod front/web: has no label tier"],
    );
    assert_peer(
        pods(json!({"key": "app", "operator": "DoesNotExist"})),
        &["pod front/web: has the label app, which is ruled out"],
    );
}

#[test]
fn a_pod_selector_alone_is_explained_as_the_policys_own_namespace() {
    assert_peer(
        json!({"podSelector": {"matchLabels": {"app": "web"}}}),
        &[
            "pod front/web: is in namespace front, and a podSelector alone means the policy's own, data",
        ],
    );
}

#[test]
fn a_namespaces_labels_are_told_from_the_pods() {
    assert_peer(
        json!({"namespaceSelector": {"matchLabels": {"team": "blue"}},
               "podSelector": {"matchLabels": {"app": "api"}}}),
        &[
            "namespace front: label team is red, not blue",
            "pod front/web: label app is web, not api",
        ],
    );
}

#[test]
fn blocks_say_on_which_side_of_their_edges_an_address_is() {
    let block = |cidr: &str, except: &[&str]| json!({"ipBlock": {"cidr": cidr, "except": except}});
    assert_peer(block("10.0.0.0/8", &[]), &[]);
    assert_peer(
        block("192.0.2.0/24", &[]),
        &["10.0.0.1 is outside 192.0.2.0/24"],
    );
    assert_peer(
        block("10.0.0.0/8", &["10.0.0.0/30"]),
        &["10.0.0.1 is in 10.0.0.0/30, which is excepted"],
    );
    assert_peer(
        block("::/0", &[]),
        &["10.0.0.1 is IPv4, of which ::/0 says nothing"],
    );
}

#[test]
fn the_nearest_of_several_peers_is_the_one_with_the_least_to_change() {
    let far = json!({"namespaceSelector": {"matchLabels": {"team": "blue"}},
                     "podSelector": {"matchLabels": {"app": "api"}}});
    let near = json!({"namespaceSelector": {"matchLabels": {"team": "red"}},
                      "podSelector": {"matchLabels": {"app": "api"}}});
    let explanation = explained(json!([{"from": [far, near]}]), "10.0.0.1", tcp(80));
    assert_eq!(
        explanation.rules[0].because,
        ["pod front/web: label app is web, not api"]
    );
}

#[test]
fn selectors_never_match_what_is_no_pod() {
    let peer = json!({"namespaceSelector": {}});
    let explanation = explained(json!([{"from": [peer]}]), "203.0.113.7", tcp(80));
    assert_eq!(
        explanation.rules[0].because,
        ["203.0.113.7 is no pod's address, and selectors match pods only"]
    );
}

/// Why the only port of the only rule does not match.
#[track_caller]
fn assert_ports(ports: Value, traffic: Traffic, expected: &[&str]) {
    let explanation = explained(json!([{"ports": ports}]), "10.0.0.1", traffic);
    assert_eq!(explanation.rules[0].because, expected);
    assert_eq!(explanation.rules[0].port_matches, expected.is_empty());
}

#[test]
fn ports_say_what_they_allow_instead() {
    let ports = json!([{"port": 5432}, {"protocol": "UDP", "port": 53}]);
    assert_ports(ports.clone(), tcp(5432), &[]);
    assert_ports(
        ports.clone(),
        tcp(53),
        &["it allows TCP/5432, UDP/53, not TCP/53"],
    );
    assert_ports(
        ports,
        Traffic::Ping,
        &["ping passes only by a rule without ports"],
    );
    assert_ports(json!([]), Traffic::Ping, &[]);
    let range = json!([{"port": 8000, "endPort": 8080}]);
    assert_ports(range.clone(), tcp(8080), &[]);
    assert_ports(range, tcp(8081), &["it allows TCP/8000-8080, not TCP/8081"]);
    assert_ports(
        json!([{"protocol": "UDP"}]),
        tcp(80),
        &["it allows UDP, not TCP/80"],
    );
}

#[test]
fn a_named_port_says_what_it_means_on_the_destination() {
    assert_ports(json!([{"port": "metrics"}]), tcp(9090), &[]);
    assert_ports(
        json!([{"port": "metrics"}]),
        tcp(80),
        &["it allows TCP/metrics (9090 on data/db), not TCP/80"],
    );
    assert_ports(
        json!([{"port": "web"}]),
        tcp(80),
        &["it allows TCP/web (which data/db does not have), not TCP/80"],
    );
}

#[test]
fn rules_about_the_right_peer_come_first_then_those_about_the_right_port() {
    let web = json!([{"ipBlock": {"cidr": "10.0.0.1/32"}}]);
    let other = json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}]);
    let explanation = explained(
        json!([
            {"from": other, "ports": [{"port": 1}]},
            {"from": other, "ports": [{"port": 80}]},
            {"from": web, "ports": [{"port": 1}]},
        ]),
        "10.0.0.1",
        tcp(80),
    );
    let order: Vec<usize> = explanation.rules.iter().map(|r| r.index).collect();
    assert_eq!(order, [2, 1, 0]);
}

#[test]
fn policies_without_rules_say_why() {
    assert_eq!(
        explained(json!([]), "10.0.0.1", tcp(80)).silent[0].because,
        "has no ingress rule: it only denies"
    );
    let broken = json!([{"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]);
    let because = &explained(broken, "10.0.0.1", tcp(80)).silent[0].because;
    assert!(
        because.starts_with("is invalid, so it isolates and allows nothing"),
        "{because}"
    );
    assert!(
        because.contains("spec.ingress[0].from[0].ipBlock.cidr"),
        "{because}"
    );
}
