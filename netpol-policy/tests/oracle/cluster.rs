//! Pods, nodes and namespaces as a policy sees them.
//!
//! These come from the API server, which has validated them, so they are read leniently: a part
//! that is not there, or not of its type, is as absent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use super::Protocol;

pub(super) type Labels = BTreeMap<String, String>;

/// A pod that policies can apply to and that can be a peer: not on the host network, not finished.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) node: Option<String>,
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) named_ports: Vec<NamedPort>,
}

/// One entry of a container's `ports` that has a name.
#[derive(Debug)]
pub(super) struct NamedPort {
    pub(super) name: String,
    pub(super) protocol: Protocol,
    pub(super) number: u64,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl Pod {
    /// `None` for what is no pod to a policy.
    pub(super) fn read(object: &Value) -> Option<Self> {
        // Kubernetes' documentation, page "Network Policies": the plugin "ignores hostNetwork pods
        // when matching podSelector and namespaceSelector. Traffic to/from hostNetwork pods is
        // treated the same as all other traffic to/from the node IP. (This is the most common
        // implementation.)"
        if object["spec"]["hostNetwork"] == true {
            return None;
        }
        // `PodPhase`: in both "all containers in the pod have terminated", so nobody is there to
        // send or to listen, and the network plugin is free to give the address to another pod.
        if object["status"]["phase"] == "Succeeded" || object["status"]["phase"] == "Failed" {
            return None;
        }
        // A `deletionTimestamp` changes nothing: the containers still run while they shut down.
        Some(Self {
            namespace: namespace(object),
            name: name(object),
            labels: labels(object),
            node: object["spec"]["nodeName"].as_str().map(str::to_owned),
            addresses: pod_addresses(&object["status"]),
            named_ports: named_ports(&object["spec"]),
        })
    }
}

impl Node {
    pub(super) fn read(object: &Value) -> Self {
        let addresses = elements(&object["status"]["addresses"])
            .filter(|address| address["type"] == "InternalIP" || address["type"] == "ExternalIP")
            .filter_map(|address| address["address"].as_str()?.parse().ok())
            .collect();
        Self {
            name: name(object),
            addresses,
        }
    }
}

pub(super) fn name(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// "An empty namespace is equivalent to the "default" namespace" (`ObjectMeta.namespace`).
pub(super) fn namespace(object: &Value) -> String {
    object["metadata"]["namespace"]
        .as_str()
        .unwrap_or("default")
        .to_owned()
}

pub(super) fn labels(object: &Value) -> Labels {
    let labels = object["metadata"]["labels"].as_object();
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// `PodStatus`: "podIPs holds the IP addresses allocated to the pod. If this field is specified,
/// the 0th entry must match the podIP field." Either may be all that is written.
fn pod_addresses(status: &Value) -> BTreeSet<IpAddr> {
    elements(&status["podIPs"])
        .map(|entry| &entry["ip"])
        .chain([&status["podIP"]])
        .filter_map(|address| address.as_str()?.parse().ok())
        .collect()
}

/// `ContainerPort.name`: "Name for the port that can be referred to by services." Init containers
/// count whether they are sidecars or not: what one listens on is the pod's port while it runs.
fn named_ports(spec: &Value) -> Vec<NamedPort> {
    elements(&spec["containers"])
        .chain(elements(&spec["initContainers"]))
        .flat_map(|container| elements(&container["ports"]))
        .filter_map(|port| {
            Some(NamedPort {
                name: port["name"].as_str()?.to_owned(),
                // `ContainerPort`: "Protocol for port. Must be UDP, TCP, or SCTP. Defaults to
                // "TCP"."
                protocol: match port["protocol"].as_str().unwrap_or("TCP") {
                    "TCP" => Protocol::Tcp,
                    "UDP" => Protocol::Udp,
                    "SCTP" => Protocol::Sctp,
                    _ => return None,
                },
                number: port["containerPort"].as_u64()?,
            })
        })
        .collect()
}

pub(super) fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
