//! The oracle: what the text of NetworkPolicy v1 says about one packet. Slow and obvious on
//! purpose, so that it can be read beside the API's documentation; it shares no code with the
//! compiler it is held against.
//!
//! ```text
//! objects (JSON) > cluster, policy (read once, faults noted) > Oracle
//! Probe > Oracle::judge: egress at the source, then ingress at the destination > Judgement
//! ```
//!
//! Quotations are from the API's own field documentation (`NetworkPolicySpec`, `NetworkPolicyPeer`,
//! `NetworkPolicyPort`, `IPBlock`, `LabelSelector`) unless another source is named.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "a module of several test programs, none of which uses all of it"
)]

mod cluster;
mod json;
mod peer;
mod policy;
mod port;
mod rule;
mod selector;
mod service;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use cluster::{Labels, Node, Pod};
use policy::Policy;
use rule::Traffic;
use service::{Service, Slice};

/// A direction, always the pod's view: egress is what the pod sends.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    Egress,
    Ingress,
}

/// What a packet carries. `Icmp` is ping of either family; `Other` is an IP protocol number that is
/// none of the named ones.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Other(u8),
}

/// The first packet of a fresh connection. `port` is the destination's, `None` where the protocol
/// has none.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Probe {
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: Protocol,
    pub port: Option<u16>,
}

/// Whether the packet passes, and if it does not, which end denies it. Egress is judged first, so a
/// packet that both ends deny is denied at `Egress`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Judgement {
    pub allow: bool,
    pub at: Option<Direction>,
}

/// A cluster, read and ready to be asked.
#[derive(Debug)]
pub struct Oracle {
    pods: Vec<Pod>,
    nodes: Vec<Node>,
    namespaces: BTreeMap<String, Labels>,
    policies: Vec<Policy>,
    services: Vec<Service>,
    slices: Vec<Slice>,
}

impl Oracle {
    /// Reads a cluster's complete objects; other kinds than Namespace, Pod, NetworkPolicy, Node,
    /// Service and EndpointSlice are passed over.
    ///
    /// # Panics
    /// When two pods that have not finished share an address: whose policy holds there is not
    /// defined.
    pub fn new(objects: &[Value]) -> Self {
        let of_kind = |version: &'static str, kind: &'static str| {
            objects
                .iter()
                .filter(move |object| object["apiVersion"] == version && object["kind"] == kind)
        };
        let oracle = Self {
            pods: of_kind("v1", "Pod").filter_map(Pod::read).collect(),
            nodes: of_kind("v1", "Node").map(Node::read).collect(),
            namespaces: of_kind("v1", "Namespace")
                .map(|object| (cluster::name(object), cluster::labels(object)))
                .collect(),
            policies: of_kind("networking.k8s.io/v1", "NetworkPolicy")
                .map(Policy::read)
                .collect(),
            services: of_kind("v1", "Service").map(Service::read).collect(),
            slices: of_kind("discovery.k8s.io/v1", "EndpointSlice")
                .filter_map(Slice::read)
                .collect(),
        };
        oracle.assert_addresses_unique();
        oracle
    }

    /// Judges one packet as if it were the first of its connection.
    pub fn judge(&self, probe: &Probe) -> Judgement {
        let source = self.pod_at(probe.from);
        let destination = self.pod_at(probe.to);

        // Kubernetes' documentation, page "Network Policies": "(exception: a pod cannot block
        // access to itself)".
        if let (Some(source), Some(destination)) = (source, destination)
            && std::ptr::eq(source, destination)
        {
            return Judgement::ALLOW;
        }
        // The same page: "For a connection from a source pod to a destination pod to be allowed,
        // both the egress policy on the source pod and the ingress policy on the destination pod
        // need to allow the connection."
        if let Some(source) = source
            && !self
                .may_leave_to_service(source, probe)
                .unwrap_or_else(|| self.allows(Direction::Egress, source, probe))
        {
            return Judgement::deny(Direction::Egress);
        }
        if let Some(destination) = destination
            && !self.is_own_node(destination, probe.from)
            && !self.allows(Direction::Ingress, destination, probe)
        {
            return Judgement::deny(Direction::Ingress);
        }
        Judgement::ALLOW
    }

    /// Whether the pod at the destination takes the packet, wherever it was let out: its policies
    /// allow it, and it is not one that its sender's policies forbid to a Service's backend. `None`
    /// where there is no pod, or the sender is the pod itself or its node.
    pub fn judge_at_destination(&self, probe: &Probe) -> Option<bool> {
        let destination = self.pod_at(probe.to)?;
        if destination.addresses.contains(&probe.from) || self.is_own_node(destination, probe.from)
        {
            return None;
        }
        let refuses = self.refuses(destination, probe);
        Some(self.allows(Direction::Ingress, destination, probe) && !refuses)
    }

    /// `namespace/name` and the first fault of every policy that is invalid, sorted.
    pub fn invalid_policies(&self) -> Vec<(String, String)> {
        let mut invalid: Vec<_> = self
            .policies
            .iter()
            .filter_map(|policy| Some((policy.full_name(), policy.fault()?.to_string())))
            .collect();
        invalid.sort();
        invalid
    }

    /// "Traffic is allowed to a pod if there are no NetworkPolicies selecting the pod, [...] OR if
    /// the traffic matches at least one ingress rule across all of the NetworkPolicy objects whose
    /// podSelector matches the pod." The text of egress is the same.
    fn allows(&self, direction: Direction, subject: &Pod, probe: &Probe) -> bool {
        let traffic = self.traffic(direction, probe);
        let mut isolating = self
            .policies
            .iter()
            .filter(|policy| policy.isolates(subject, direction))
            .peekable();
        isolating.peek().is_none() || isolating.any(|policy| policy.grants(direction, &traffic))
    }

    /// "OR if the traffic source is the pod's local node": one of the cases in the text of
    /// `ingress`. The text of `egress` has no such case, and it is the API's text that is followed
    /// here; the page "Network Policies" is wider ("traffic to and from the node where a Pod is
    /// running is always allowed").
    fn is_own_node(&self, pod: &Pod, source: IpAddr) -> bool {
        self.nodes
            .iter()
            .any(|node| Some(&node.name) == pod.node.as_ref() && node.addresses.contains(&source))
    }

    fn traffic(&self, direction: Direction, probe: &Probe) -> Traffic<'_> {
        let peer = match direction {
            Direction::Egress => probe.to,
            Direction::Ingress => probe.from,
        };
        Traffic {
            peer,
            peer_pod: self
                .pod_at(peer)
                .map(|pod| (pod, self.namespace_labels(pod))),
            destination: self.pod_at(probe.to),
            protocol: probe.protocol,
            port: probe.port,
        }
    }

    fn pod_at(&self, address: IpAddr) -> Option<&Pod> {
        self.pods
            .iter()
            .find(|pod| pod.addresses.contains(&address))
    }

    /// Kubernetes' documentation, page "Well-Known Labels": "The Kubernetes API server (part of the
    /// control plane) sets this label on all namespaces. The label value is set to the name of the
    /// namespace. You can't change this label's value." So it is there even when the object was
    /// written without it, or has not been seen.
    fn namespace_labels(&self, pod: &Pod) -> Labels {
        let mut labels = self
            .namespaces
            .get(&pod.namespace)
            .cloned()
            .unwrap_or_default();
        labels.insert(
            "kubernetes.io/metadata.name".to_owned(),
            pod.namespace.clone(),
        );
        labels
    }

    fn assert_addresses_unique(&self) {
        let mut owners = BTreeMap::new();
        for pod in &self.pods {
            for address in &pod.addresses {
                if let Some(other) = owners.insert(address, &pod.name) {
                    panic!("pods {other} and {} share address {address}", pod.name);
                }
            }
        }
    }
}

impl Judgement {
    /// Passes at both ends.
    pub const ALLOW: Self = Self {
        allow: true,
        at: None,
    };

    /// Denied at the end that sees the packet in `direction`.
    pub const fn deny(direction: Direction) -> Self {
        Self {
            allow: false,
            at: Some(direction),
        }
    }
}
