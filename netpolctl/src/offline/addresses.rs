//! Who is behind an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use netpol_common::address::v6_words;
use netpol_common::identity::Address6;
use netpol_policy::{ClusterState, ObjectKey};
use serde_json::Value;

use super::identity::Identity;
use super::invalid::Invalid;
use super::world::World;

/// The addresses of pods.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    endpoints: HashMap<IpAddr, Endpoint>,
    /// Addresses of pods of which nothing is known: they, or their namespaces, cannot be
    /// understood.
    unknown: HashMap<IpAddr, Rc<str>>,
    nodes: Vec<Address6>,
}

/// The pod behind an address.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) pod: ObjectKey,
    pub(super) ifindex: u32,
    /// The addresses of its node, as the NODE map has them.
    pub(super) node: Vec<Address6>,
}

impl Addresses {
    /// The addresses of a committed state.
    pub(super) fn new(
        state: &ClusterState,
        world: &World,
        interfaces: &HashMap<ObjectKey, u32>,
    ) -> Self {
        let mut endpoints = HashMap::new();
        let with_ports = |service: &netpol_policy::Service| {
            service.ports.iter().any(|port| port.node_port.is_some())
        };
        let has_node_ports = state.services().any(with_ports);
        let nodes = state.all_node_addresses().filter(|_| has_node_ports);
        let nodes = nodes.map(node_key).collect();
        for view in state.endpoints() {
            let (Some(pod), Some(&ifindex)) = (world.pod(&view.pod), interfaces.get(&view.pod))
            else {
                continue;
            };
            for address in &view.addresses {
                // While an address passes from one pod to the next, both may claim it.
                if state.pod_at(*address) == Some(&view.pod) {
                    let node = pod.node.as_deref().map(|name| state.node_addresses(name));
                    let endpoint = Endpoint {
                        pod: view.pod.clone(),
                        ifindex,
                        node: node.into_iter().flatten().copied().map(node_key).collect(),
                    };
                    endpoints.insert(*address, endpoint);
                }
            }
        }
        Self {
            endpoints,
            unknown: HashMap::new(),
            nodes,
        }
    }

    /// Closes the addresses that an object which cannot be understood is about.
    pub(super) fn close(
        &mut self,
        identity: &Identity,
        value: &Value,
        invalid: &Invalid,
        world: &World,
    ) {
        let addresses: Vec<IpAddr> = match identity.kind.as_str() {
            "Pod" => claimed(value),
            "Namespace" => {
                let pods = world.pods().filter(|p| p.key.namespace == identity.name);
                let pods = pods.filter(|p| p.is_selectable());
                pods.flat_map(|p| p.addresses.iter().copied()).collect()
            }
            _ => Vec::new(),
        };
        let sentence: Rc<str> = invalid.sentence().into();
        let closed = addresses.into_iter().map(|a| (a, Rc::clone(&sentence)));
        self.unknown.extend(closed);
    }

    /// Whether two addresses are one pod's.
    pub(super) fn same_pod(&self, one: IpAddr, other: IpAddr) -> bool {
        let pod = |address| self.endpoint(address).map(|endpoint| endpoint.ifindex);
        pod(one).is_some() && pod(one) == pod(other)
    }

    /// The addresses of every node, where Services have ports on them.
    pub(super) fn nodes(&self) -> &[Address6] {
        &self.nodes
    }

    /// The pod that has an address.
    pub(super) fn endpoint(&self, address: IpAddr) -> Option<&Endpoint> {
        self.endpoints.get(&address)
    }

    /// Why nothing is known of what the pod with this address may do.
    pub(super) fn unknown(&self, address: IpAddr) -> Option<&Rc<str>> {
        self.unknown.get(&address)
    }
}

/// An address as the NODE map has it: IPv4 ones mapped.
pub(super) fn node_key(address: IpAddr) -> Address6 {
    let words = v6_words(match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    });
    Address6 { words }
}

/// The addresses that a pod's value claims, whatever else is wrong with it.
fn claimed(pod: &Value) -> Vec<IpAddr> {
    let one = pod.pointer("/status/podIP");
    let all = pod.pointer("/status/podIPs").and_then(Value::as_array);
    let all = all.into_iter().flatten().filter_map(|a| a.get("ip"));
    let texts = one.into_iter().chain(all).filter_map(Value::as_str);
    texts.filter_map(|text| text.parse().ok()).collect()
}
