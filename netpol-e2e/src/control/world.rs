//! A cluster of any size, the same each time: namespaces, nodes, workloads of 20 pods, 20 policies a
//! namespace. `docs/performance.md` says in words what is drawn here.

use serde_json::{Value, json};

/// Pods on the node whose agent is measured: as many as a kubelet takes by default.
pub const LOCAL: u32 = 110;
/// The node whose agent is measured.
pub const NODE: &str = "node-here";
/// Replicas of a workload.
const REPLICAS: u32 = 20;
/// Workloads of a namespace, and so names of workloads.
const WORKLOADS: u32 = 10;
/// Policies of a namespace.
const POLICIES: u32 = 20;
const TIERS: [&str; 3] = ["frontend", "backend", "database"];
const STAGES: [&str; 4] = ["prod", "prod", "staging", "dev"];

/// The kinds that an agent lists and watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Namespaces.
    Namespace,
    /// Nodes.
    Node,
    /// Pods.
    Pod,
    /// NetworkPolicies.
    NetworkPolicy,
}

/// An object of the API.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// The object, with its name.
    pub value: Value,
}

/// How large a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Size {
    /// NetworkPolicies.
    pub policies: u32,
    /// Pods, those of the measured node among them.
    pub pods: u32,
}

impl Size {
    /// A cluster with so many policies, and ten pods for each.
    pub const fn of_policies(policies: u32) -> Self {
        Self {
            policies,
            pods: policies * 10,
        }
    }

    fn namespaces(self) -> u32 {
        (self.policies / POLICIES).max(1)
    }

    fn nodes(self) -> u32 {
        self.pods.div_ceil(LOCAL)
    }

    /// Every object, one by one.
    pub fn objects(self) -> impl Iterator<Item = Object> {
        let object = |kind| move |value| Object { kind, value };
        let namespaces = (0..self.namespaces()).map(move |n| namespace(n, self.team(n)));
        let nodes = (0..self.nodes()).map(node);
        let pods = (0..self.pods).map(move |n| self.pod(n));
        let policies = (0..self.policies).map(move |n| self.policy(n));
        namespaces
            .map(object(Kind::Namespace))
            .chain(nodes.map(object(Kind::Node)))
            .chain(pods.map(object(Kind::Pod)))
            .chain(policies.map(object(Kind::NetworkPolicy)))
    }

    /// The pods of the measured node.
    pub fn local(self) -> impl Iterator<Item = u32> {
        let apart = self.pods / LOCAL;
        (0..LOCAL).map(move |place| place * apart)
    }

    fn is_local(self, pod: u32) -> bool {
        let apart = self.pods / LOCAL;
        pod.is_multiple_of(apart) && pod / apart < LOCAL
    }

    /// A pod of this node whose workload a policy selects by its name, and whose neighbour is on
    /// another node.
    pub fn local_of_policy(self) -> u32 {
        let mut local = self.local();
        let fits = |pod: &u32| {
            self.workload_of(*pod) < WORKLOADS - 1
                && self.is_asked_for(pod + 1)
                && self.workload_of(pod + 1) == self.workload_of(*pod)
        };
        // Of 110 pods some are of each workload.
        local.find(fits).unwrap_or_default()
    }

    /// Whether a pod is of another node, and of a namespace that policies of slot 15 ask for.
    pub fn is_asked_for(self, pod: u32) -> bool {
        !self.is_local(pod) && STAGES[self.namespace_of(pod) as usize % STAGES.len()] != "dev"
    }

    /// The namespace of a pod, by number.
    pub fn namespace_of(self, pod: u32) -> u32 {
        pod / REPLICAS % self.namespaces()
    }

    /// The workload of a pod, by its number in its namespace.
    pub fn workload_of(self, pod: u32) -> u32 {
        pod / REPLICAS / self.namespaces() % WORKLOADS
    }

    fn team(self, namespace: u32) -> u32 {
        namespace % self.namespaces().div_ceil(10)
    }

    /// A namespace, with a team.
    pub fn namespace(self, number: u32, team: Option<u32>) -> Object {
        let value = namespace(number, team.unwrap_or_else(|| self.team(number)));
        let kind = Kind::Namespace;
        Object { kind, value }
    }

    /// A team that policies of a namespace ask for, and that the namespace is not of.
    pub fn team_of_policies(self, namespace: u32) -> u32 {
        self.team(namespace + 13)
    }

    /// A pod as an API server shows it, of which an agent reads a fraction.
    pub fn pod(self, number: u32) -> Value {
        self.pod_like(number, number)
    }

    /// A pod of the same workload as another.
    pub fn pod_like(self, other: u32, number: u32) -> Value {
        let (namespace, workload) = (self.namespace_of(other), self.workload_of(other));
        let node = if self.is_local(number) && other == number {
            NODE.to_owned()
        } else {
            format!("node-{:05}", 1 + number % (self.nodes() - 1).max(1))
        };
        let labels = json!({
            "app.kubernetes.io/name": format!("app-{workload}"),
            "app.kubernetes.io/instance": format!("app-{workload}-{namespace}"),
            "app.kubernetes.io/part-of": format!("suite-{namespace}"),
            "tier": TIERS[workload as usize % TIERS.len()],
            "pod-template-hash": format!("5d9c7b{namespace:04x}"),
        });
        super::pod::shown(&super::pod::Spec {
            namespace: &format!("ns-{namespace}"),
            name: &format!("app-{workload}-5d9c7b{namespace:04x}-{number:05x}"),
            uid: number,
            node: &node,
            address: &address(number),
            labels,
        })
    }

    /// A policy.
    pub fn policy(self, number: u32) -> Value {
        let (namespace, slot) = (number % self.namespaces(), number / self.namespaces());
        let team = self.team(namespace + slot + 1);
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {
                "namespace": format!("ns-{namespace}"), "name": format!("policy-{slot}"),
                "uid": format!("00000000-0000-4000-8000-{number:012x}"), "generation": 1,
                "creationTimestamp": "2026-11-01T00:00:00Z",
            },
            "spec": super::policy::spec(slot % POLICIES, team),
        })
    }

    /// A policy that selects the workload of a local pod, by number.
    pub fn policy_of(self, pod: u32) -> u32 {
        let slot = super::policy::slot_of(self.workload_of(pod));
        slot * self.namespaces() + self.namespace_of(pod)
    }
}

/// The address of a pod.
pub(super) fn address(pod: u32) -> String {
    let base = u32::from(std::net::Ipv4Addr::new(10, 128, 0, 0));
    std::net::Ipv4Addr::from(base + pod).to_string()
}

fn namespace(number: u32, team: u32) -> Value {
    let name = format!("ns-{number}");
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/metadata.name": name,
                "team": format!("team-{team}"),
                "stage": STAGES[number as usize % STAGES.len()],
            },
        },
    })
}

fn node(number: u32) -> Value {
    let name = if number == 0 {
        NODE.to_owned()
    } else {
        format!("node-{number:05}")
    };
    let address = format!("172.20.{}.{}", number / 250, number % 250 + 1);
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name },
        "status": { "addresses": [{ "type": "InternalIP", "address": address }] },
    })
}

/// The name of an object, `namespace/name`.
pub(super) fn name(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_cluster_has_the_size_it_is_said_to_have() {
        let size = Size::of_policies(1000);
        let objects: Vec<Object> = size.objects().collect();
        let count = |kind| objects.iter().filter(|object| object.kind == kind).count();
        assert_eq!(count(Kind::Pod), 10_000);
        assert_eq!(count(Kind::NetworkPolicy), 1000);
        assert_eq!(count(Kind::Namespace), 50);
        let names: BTreeSet<(Kind, String)> =
            objects.iter().map(|o| (o.kind, name(&o.value))).collect();
        assert_eq!(names.len(), objects.len());
        let local = objects
            .iter()
            .filter(|o| o.value["spec"]["nodeName"] == NODE);
        assert_eq!(local.count(), 110);
        assert_eq!(size.local().filter(|pod| size.is_local(*pod)).count(), 110);
    }
}
