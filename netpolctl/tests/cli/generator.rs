//! Random clusters that change from request to request, for `evaluate --batch`. The same seed
//! gives the same requests.

use serde_json::{Value, json};

/// How large a cluster is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) pods: usize,
    pub(crate) policies: usize,
    pub(crate) probes: usize,
}

/// A cluster that changes.
#[derive(Debug)]
pub(crate) struct Generator {
    random: Random,
    size: Size,
    name: String,
    pods: Vec<Value>,
    policies: Vec<Value>,
    made: usize,
}

const NAMESPACES: [&str; 4] = ["front", "back", "data", "ops"];
const APPS: [&str; 5] = ["web", "api", "db", "cache", "job"];
const PORTS: [u16; 6] = [53, 80, 443, 5432, 6379, 8080];
const NODES: usize = 3;

impl Generator {
    /// A cluster of this name and size.
    pub(crate) fn new(seed: u64, name: &str, size: Size) -> Self {
        let mut generator = Self {
            random: Random(seed.wrapping_mul(2).wrapping_add(1)),
            size,
            name: name.to_owned(),
            pods: Vec::new(),
            policies: Vec::new(),
            made: 0,
        };
        for _ in 0..size.pods {
            let pod = generator.pod();
            generator.pods.push(pod);
        }
        for _ in 0..size.policies {
            let policy = generator.policy();
            generator.policies.push(policy);
        }
        generator
    }

    /// The next state with its probes.
    pub(crate) fn request(&mut self, id: usize) -> Value {
        for _ in 0..3 {
            self.change();
        }
        let probes: Vec<Value> = (0..self.size.probes).map(|_| self.probe()).collect();
        json!({"id": id, "cluster": self.name, "objects": self.objects(), "probes": probes})
    }

    fn objects(&self) -> Vec<Value> {
        let namespaces = NAMESPACES.iter().enumerate().map(|(place, name)| {
            let env = ["prod", "test"][place % 2];
            let labels = json!({"env": env, "team": name});
            json!({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": name, "labels": labels}})
        });
        let nodes = (0..NODES).map(|number| {
            let addresses = json!([{"type": "InternalIP", "address": node_address(number)}]);
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node_name(number)},
                   "status": {"addresses": addresses}})
        });
        let rest = self.pods.iter().chain(&self.policies).cloned();
        namespaces.chain(nodes).chain(rest).collect()
    }

    fn change(&mut self) {
        match self.random.below(4) {
            0 => {
                let place = self.random.below(self.pods.len());
                self.pods[place] = self.pod();
            }
            1 => {
                let place = self.random.below(self.pods.len());
                self.pods[place]["metadata"]["labels"]["app"] = self.random.of(&APPS).into();
            }
            _ => {
                let place = self.random.below(self.policies.len());
                self.policies[place] = self.policy();
            }
        }
    }

    fn pod(&mut self) -> Value {
        self.made += 1;
        let number = self.made;
        let mut addresses =
            vec![json!({"ip": format!("10.1.{}.{}", number / 250, number % 250 + 1)})];
        if self.random.below(3) == 0 {
            addresses.push(json!({"ip": format!("fd00:1::{number:x}")}));
        }
        let port = self.random.of(&PORTS);
        let node = node_name(self.random.below(NODES));
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("pod-{number}"), "namespace": self.random.of(&NAMESPACES),
                         "labels": {"app": self.random.of(&APPS),
                                    "tier": self.random.of(&["a", "b"])}},
            "spec": {"nodeName": node,
                     "containers": [{"name": "main", "image": "app:1",
                                     "ports": [{"name": "main", "containerPort": port}]}]},
            "status": {"phase": "Running", "podIPs": addresses}
        })
    }

    fn policy(&mut self) -> Value {
        self.made += 1;
        let types = self
            .random
            .of(&[&["Ingress"][..], &["Egress"], &["Ingress", "Egress"]]);
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": format!("policy-{}", self.made),
                         "namespace": self.random.of(&NAMESPACES)},
            "spec": {"podSelector": self.selector(), "policyTypes": types,
                     "ingress": self.rules("from"), "egress": self.rules("to")}
        })
    }

    fn rules(&mut self, peers: &str) -> Vec<Value> {
        let count = self.random.below(4);
        (0..count)
            .map(|_| {
                let items: Vec<Value> = (0..self.random.below(3)).map(|_| self.peer()).collect();
                let ports: Vec<Value> = (0..self.random.below(3)).map(|_| self.port()).collect();
                json!({(peers): items, "ports": ports})
            })
            .collect()
    }

    fn peer(&mut self) -> Value {
        match self.random.below(5) {
            0 => json!({"podSelector": self.selector()}),
            1 => json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}}),
            2 => json!({"namespaceSelector": {}, "podSelector": self.selector()}),
            3 => json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.1.0.64/26"]}}),
            _ => json!({"ipBlock": {"cidr": format!("203.0.113.{}/30", self.random.below(256))}}),
        }
    }

    fn port(&mut self) -> Value {
        match self.random.below(4) {
            0 => json!({"port": "main"}),
            1 => json!({"protocol": "UDP", "port": self.random.of(&PORTS)}),
            2 => json!({"protocol": "TCP", "port": 1000, "endPort": 9000}),
            _ => json!({"port": self.random.of(&PORTS)}),
        }
    }

    fn selector(&mut self) -> Value {
        match self.random.below(4) {
            0 => json!({}),
            1 => json!({"matchExpressions": [{"key": "app", "operator": "NotIn",
                                             "values": [self.random.of(&APPS)]}]}),
            2 => json!({"matchLabels": {"app": self.random.of(&APPS), "tier": "a"}}),
            _ => json!({"matchLabels": {"app": self.random.of(&APPS)}}),
        }
    }

    fn probe(&mut self) -> Value {
        let (from, to) = loop {
            let (from, to) = (self.address(), self.address());
            if from.contains(':') == to.contains(':') {
                break (from, to);
            }
        };
        let port = self.random.of(&PORTS);
        match self.random.below(8) {
            0 => json!({"from": from, "to": to, "protocol": "ICMP"}),
            1 | 2 => json!({"from": from, "to": to, "protocol": "UDP", "port": port}),
            _ => json!({"from": from, "to": to, "protocol": "TCP", "port": port}),
        }
    }

    fn address(&mut self) -> String {
        match self.random.below(10) {
            0 => format!("203.0.113.{}", self.random.below(256)),
            1 => node_address(self.random.below(NODES)),
            _ => {
                let pod = self.random.below(self.pods.len());
                let listed = &self.pods[pod]["status"]["podIPs"];
                let addresses = listed.as_array().map_or(&[][..], Vec::as_slice);
                let address = &addresses[self.random.below(addresses.len())]["ip"];
                address.as_str().unwrap_or_default().to_owned()
            }
        }
    }
}

fn node_name(number: usize) -> String {
    format!("node-{number}")
}

fn node_address(number: usize) -> String {
    format!("192.168.0.{}", number + 1)
}

/// Xorshift (Marsaglia 2003): enough for tests, and nothing to depend on.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
