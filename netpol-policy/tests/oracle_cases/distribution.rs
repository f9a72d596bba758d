//! What the generator promises: that everything there is to get wrong occurs, and often enough.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};

use crate::generate::{self, ALL_KINDS, Cluster, identity, spoiled_by};
use crate::oracle::{Direction, Judgement, Oracle};

pub(crate) const CLUSTERS: u64 = 1000;

/// How often each thing was seen.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<String, usize>);

impl Tally {
    pub(crate) fn see(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    fn count(&self, what: &str) -> usize {
        self.0.get(what).copied().unwrap_or_default()
    }

    pub(crate) fn assert_seen(&self, what: &[&str]) {
        let missing: Vec<_> = what.iter().filter(|what| self.count(what) == 0).collect();
        assert!(
            missing.is_empty(),
            "never seen: {missing:?} in {:#?}",
            self.0
        );
    }
}

fn clusters() -> impl Iterator<Item = Cluster> {
    (0..CLUSTERS).map(Cluster::from_seed)
}

fn policies(cluster: &Cluster) -> impl Iterator<Item = &Value> {
    cluster
        .objects
        .iter()
        .filter(|object| object["kind"] == "NetworkPolicy")
}

/// The same cluster with policies that isolate whom they isolated, and grant nothing.
fn without_rules(cluster: &Cluster) -> Cluster {
    let mut cluster = cluster.clone();
    for object in &mut cluster.objects {
        if object["kind"] != "NetworkPolicy" || spoiled_by(object).is_some() {
            continue;
        }
        let spec = &mut object["spec"];
        if spec["policyTypes"].as_array().is_none_or(Vec::is_empty) {
            let has_egress = spec["egress"]
                .as_array()
                .is_some_and(|rules| !rules.is_empty());
            spec["policyTypes"] = if has_egress {
                json!(["Ingress", "Egress"])
            } else {
                json!(["Ingress"])
            };
        }
        spec["ingress"] = json!([]);
        spec["egress"] = json!([]);
    }
    cluster
}

#[test]
fn verdicts_of_every_kind_are_frequent() {
    let mut tally = Tally::default();
    for (seed, cluster) in (0..).zip(clusters()) {
        let oracle = Oracle::new(&cluster.objects);
        let closed = Oracle::new(&without_rules(&cluster).objects);
        for probe in generate::probes(&cluster, seed) {
            tally.see("probes");
            tally.see(match oracle.judge(&probe) {
                Judgement {
                    at: Some(Direction::Egress),
                    ..
                } => "denied at egress",
                Judgement {
                    at: Some(Direction::Ingress),
                    ..
                } => "denied at ingress",
                Judgement::ALLOW if closed.judge(&probe).allow => "allowed, nothing isolated",
                _ => "allowed by a rule",
            });
        }
    }
    let probes = tally.count("probes");
    for (what, count) in &tally.0 {
        println!("{what}: {count} ({} %)", count * 100 / probes);
    }
    for what in [
        "denied at egress",
        "denied at ingress",
        "allowed by a rule",
        "allowed, nothing isolated",
    ] {
        assert!(tally.count(what) * 100 > probes * 5, "{what} is rare");
    }
}

#[test]
fn exactly_the_spoiled_policies_are_invalid_and_every_kind_occurs() {
    let mut tally = Tally::default();
    for cluster in clusters() {
        let invalid = Oracle::new(&cluster.objects).invalid_policies();
        for policy in policies(&cluster) {
            let (_, namespace, name) = identity(policy);
            let full_name = format!("{}/{name}", namespace.unwrap());
            let fault = invalid.iter().find(|(name, _)| *name == full_name);
            assert_eq!(
                fault.is_some(),
                spoiled_by(policy).is_some(),
                "{fault:?} in {policy}"
            );
            tally.see("policies");
            tally.see(spoiled_by(policy).unwrap_or("valid"));
        }
    }
    println!("{tally:#?}");
    let kinds: Vec<String> = ALL_KINDS.iter().map(|kind| format!("{kind:?}")).collect();
    tally.assert_seen(&kinds.iter().map(String::as_str).collect::<Vec<_>>());
    let spoiled = tally.count("policies") - tally.count("valid");
    assert!(
        (3..=9).contains(&(spoiled * 100 / tally.count("policies"))),
        "{spoiled} spoiled"
    );
}

fn shape_of_list(list: Option<&Value>) -> &'static str {
    match list.map(|list| list.as_array().map(Vec::as_slice)) {
        None => "absent",
        Some(None) => "null",
        Some(Some([])) => "[]",
        Some(Some([one])) if *one == json!({}) => "[{}]",
        Some(Some([_])) => "one",
        Some(Some(_)) => "several",
    }
}

fn tally_rule(rule: &Value, peers: &str, tally: &mut Tally) {
    tally.see(format!("{peers} {}", shape_of_list(rule.get(peers))));
    tally.see(format!("ports {}", shape_of_list(rule.get("ports"))));
    for peer in rule[peers].as_array().into_iter().flatten() {
        let set = |field: &str| !peer[field].is_null();
        tally.see(
            match (
                set("podSelector"),
                set("namespaceSelector"),
                peer["ipBlock"]["cidr"].as_str(),
            ) {
                (true, false, None) => "peer of pods",
                (false, true, None) => "peer of namespaces",
                (true, true, None) => "peer of both",
                (_, _, Some(cidr)) if cidr.contains(':') => "peer of a v6 block",
                _ => "peer of a v4 block",
            },
        );
        if set("ipBlock") {
            tally.see(format!(
                "except {}",
                shape_of_list(peer["ipBlock"].get("except"))
            ));
        }
    }
    for port in rule["ports"].as_array().into_iter().flatten() {
        tally.see(match (&port["port"], &port["endPort"]) {
            (Value::Null, _) => "every port",
            (Value::String(_), _) => "port by name",
            (Value::Number(_), Value::Null) => "port by number",
            (first, last) if *first == 1 && *last == 65535 => "range of all",
            _ => "range",
        });
    }
}

#[test]
fn every_shape_of_every_list_peer_and_port_occurs() {
    let mut tally = Tally::default();
    for cluster in clusters() {
        for policy in policies(&cluster).filter(|policy| spoiled_by(policy).is_none()) {
            let spec = &policy["spec"];
            tally.see(format!(
                "policyTypes {}",
                shape_of_list(spec.get("policyTypes"))
            ));
            for (section, peers) in [("ingress", "from"), ("egress", "to")] {
                tally.see(format!("{section} {}", shape_of_list(spec.get(section))));
                for rule in spec[section].as_array().into_iter().flatten() {
                    tally_rule(rule, peers, &mut tally);
                }
            }
        }
    }
    println!("{tally:#?}");
    for list in [
        "ingress",
        "egress",
        "from",
        "to",
        "ports",
        "except",
        "policyTypes",
    ] {
        let shapes =
            ["absent", "null", "[]", "one", "several"].map(|shape| format!("{list} {shape}"));
        tally.assert_seen(&shapes.each_ref().map(String::as_str));
    }
    tally.assert_seen(&[
        "ingress [{}]",
        "egress [{}]",
        "ports [{}]",
        "peer of pods",
        "peer of namespaces",
        "peer of both",
        "peer of a v4 block",
        "peer of a v6 block",
        "every port",
        "port by name",
        "port by number",
        "range",
        "range of all",
    ]);
}

#[test]
fn pods_of_every_kind_occur() {
    let mut tally = Tally::default();
    for cluster in clusters() {
        assert!(generate::addresses_are_unique(&cluster));
        for pod in cluster
            .objects
            .iter()
            .filter(|object| object["kind"] == "Pod")
        {
            let status = &pod["status"];
            tally.see(format!("phase {}", status["phase"].as_str().unwrap()));
            tally.see(
                match (
                    status["podIPs"].as_array().map_or(0, Vec::len),
                    status["podIP"].as_str(),
                ) {
                    (0, None) => "no address",
                    (0, Some(_)) => "podIP alone",
                    (_, None) => "podIPs alone",
                    (1, Some(v4)) if !v4.contains(':') => "v4",
                    (1, Some(_)) => "v6",
                    _ => "dual",
                },
            );
            if pod["spec"]["hostNetwork"] == true {
                tally.see("hostNetwork");
            }
            if pod["metadata"]["deletionTimestamp"].is_string() {
                tally.see("terminating");
            }
        }
    }
    println!("{tally:#?}");
    tally.assert_seen(&[
        "phase Pending",
        "phase Running",
        "phase Unknown",
        "phase Succeeded",
        "phase Failed",
        "no address",
        "podIP alone",
        "podIPs alone",
        "v4",
        "v6",
        "dual",
        "hostNetwork",
        "terminating",
    ]);
}

/// What the oracle takes for unreadable is what the API's types do not decode from, and nothing
/// else.
#[test]
fn objects_decode_as_the_api_s_types_unless_spoiled_to_be_unreadable() {
    fn decodes<T: serde::de::DeserializeOwned>(object: &Value) -> bool {
        T::deserialize(object).is_ok()
    }
    for cluster in clusters() {
        for object in &cluster.objects {
            let decodes = match object["kind"].as_str().unwrap() {
                "Pod" => decodes::<Pod>(object),
                "Node" => decodes::<Node>(object),
                "Namespace" => decodes::<Namespace>(object),
                "Service" => decodes::<Service>(object),
                "EndpointSlice" => decodes::<EndpointSlice>(object),
                _ => decodes::<NetworkPolicy>(object),
            };
            let unreadable = spoiled_by(object).is_some_and(|kind| kind.starts_with("Unreadable"));
            assert_eq!(decodes, !unreadable, "{object}");
        }
    }
}
