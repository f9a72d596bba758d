//! A small cluster to write cases in, and one line of text for each probe and its verdict.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::oracle::{Direction, Judgement, Oracle, Probe, Protocol};

/// The objects of a cluster.
#[derive(Clone)]
pub(crate) struct World {
    objects: Vec<Value>,
}

impl World {
    pub(crate) fn empty() -> Self {
        Self {
            objects: Vec::new(),
        }
    }

    /// Two namespaces on two nodes:
    ///
    /// | pod | address | labels | node |
    /// |---|---|---|---|
    /// | shop/web | 10.0.0.1 | app=web | node-a (192.168.0.1, 198.51.100.1) |
    /// | shop/db | 10.0.0.2 | app=db, tier=back | node-a |
    /// | shop/plain | 10.0.0.3 | | node-b (192.168.0.2) |
    /// | bank/web | 10.0.1.1 | app=web | node-b |
    /// | bank/teller | 10.0.1.2 | app=teller, tier=back | node-b |
    pub(crate) fn shop_and_bank() -> Self {
        Self::empty()
            .namespace("shop", &json!({ "team": "red" }))
            .namespace("bank", &json!({ "team": "blue", "env": "prod" }))
            .node(
                "node-a",
                &[
                    ("InternalIP", "192.168.0.1"),
                    ("ExternalIP", "198.51.100.1"),
                ],
            )
            .node("node-b", &[("InternalIP", "192.168.0.2")])
            .pod("shop/web", "10.0.0.1", &json!({ "app": "web" }), "node-a")
            .pod(
                "shop/db",
                "10.0.0.2",
                &json!({ "app": "db", "tier": "back" }),
                "node-a",
            )
            .pod("shop/plain", "10.0.0.3", &json!({}), "node-b")
            .pod("bank/web", "10.0.1.1", &json!({ "app": "web" }), "node-b")
            .pod(
                "bank/teller",
                "10.0.1.2",
                &json!({ "app": "teller", "tier": "back" }),
                "node-b",
            )
    }

    pub(crate) fn namespace(self, name: &str, labels: &Value) -> Self {
        self.object(json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": labels },
        }))
    }

    pub(crate) fn node(self, name: &str, addresses: &[(&str, &str)]) -> Self {
        let address = |(kind, address): &(&str, &str)| json!({ "type": kind, "address": address });
        self.object(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name },
            "status": { "addresses": addresses.iter().map(address).collect::<Vec<_>>() },
        }))
    }

    pub(crate) fn pod(self, full_name: &str, address: &str, labels: &Value, node: &str) -> Self {
        let (namespace, name) = full_name.split_once('/').unwrap();
        self.object(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": namespace, "name": name, "labels": labels },
            "spec": { "nodeName": node, "containers": [{ "name": "main" }] },
            "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] },
        }))
    }

    /// Merges `part` into an object written before: maps field by field, anything else replaced.
    pub(crate) fn with(mut self, full_name: &str, part: &Value) -> Self {
        let object = self
            .objects
            .iter_mut()
            .find(|object| name_of(object) == full_name);
        merge(object.unwrap(), part);
        self
    }

    pub(crate) fn without(mut self, full_name: &str) -> Self {
        self.objects.retain(|object| name_of(object) != full_name);
        self
    }

    /// Adds a policy under a name of its own.
    pub(crate) fn policy(self, namespace: &str, spec: &Value) -> Self {
        let name = format!("policy-{}", self.objects.len());
        self.object(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "namespace": namespace, "name": name },
            "spec": spec,
        }))
    }

    pub(crate) fn object(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    pub(crate) fn oracle(&self) -> Oracle {
        Oracle::new(&self.objects)
    }

    /// Each line: `from > to protocol[/port]: allow | deny at egress | deny at ingress`, where an
    /// end is an address or the name of a pod with one.
    ///
    /// # Panics
    /// With every line that is judged differently.
    #[track_caller]
    pub(crate) fn expect(&self, lines: &[&str]) {
        let oracle = self.oracle();
        let wrong: Vec<String> = lines
            .iter()
            .filter_map(|line| {
                let (question, expected) = line.split_once(": ").unwrap();
                let probe = self.probe(question);
                let judgement = describe(oracle.judge(&probe));
                (judgement != expected).then(|| format!("{line} (judged: {judgement})"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}\n{oracle:#?}", wrong.join("\n"));
    }

    fn probe(&self, question: &str) -> Probe {
        let (from, rest) = question.split_once(" > ").unwrap();
        let (to, what) = rest.split_once(' ').unwrap();
        let (protocol, port) = match what.split_once('/') {
            Some((protocol, port)) => (protocol, Some(port.parse().unwrap())),
            None => (what, None),
        };
        let protocol = match protocol {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            "ICMP" => Protocol::Icmp,
            "GRE" => Protocol::Other(47),
            unknown => panic!("protocol {unknown} in {question:?}"),
        };
        Probe {
            from: self.address(from),
            to: self.address(to),
            protocol,
            port,
        }
    }

    fn address(&self, end: &str) -> IpAddr {
        if let Ok(address) = end.parse() {
            return address;
        }
        let pod = self.objects.iter().find(|object| name_of(object) == end);
        let pod = pod.unwrap_or_else(|| panic!("no pod {end}"));
        pod["status"]["podIP"].as_str().unwrap().parse().unwrap()
    }
}

fn describe(judgement: Judgement) -> &'static str {
    match (judgement.allow, judgement.at) {
        (true, None) => "allow",
        (false, Some(Direction::Egress)) => "deny at egress",
        (false, Some(Direction::Ingress)) => "deny at ingress",
        _ => panic!("{judgement:?} contradicts itself"),
    }
}

fn name_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap();
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

fn merge(into: &mut Value, part: &Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(part)) => {
            for (key, value) in part {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, part) => *into = part.clone(),
    }
}
