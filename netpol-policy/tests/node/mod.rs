//! A [`ClusterState`] with the maps its deltas were applied to, fed with the generator's objects.

use std::{collections::HashMap, net::IpAddr};

use netpol_common::{Direction, protocol};
use netpol_policy::{
    Change, ClusterState, Delta, Kind, Limits, Object, ObjectKey, ObjectRef, Programmed, Scope,
};
use serde_json::Value;

use crate::{
    generate,
    maps::{self, Opening},
    oracle::{Probe, Protocol},
};

pub struct Node {
    pub state: ClusterState,
    pub maps: Programmed,
    interfaces: HashMap<ObjectKey, u32>,
}

impl Node {
    pub fn new() -> Self {
        Self {
            state: ClusterState::new(Scope::All, Limits::UNLIMITED),
            maps: Programmed::default(),
            interfaces: HashMap::new(),
        }
    }

    pub fn with(objects: &[Value]) -> Self {
        let mut node = Self::new();
        for object in objects {
            node.set(object);
        }
        node.commit();
        node
    }

    /// Notes an object; a pod gets an interface whose index depends on its name only.
    pub fn set(&mut self, object: &Value) {
        let object = Object::from_value(object).unwrap().unwrap();
        if let Object::Pod(pod) = &object {
            let ifindex = interface_of(&pod.key);
            if self.interfaces.insert(pod.key.clone(), ifindex).is_none() {
                let pod = pod.key.clone();
                self.state.apply(Change::Attach { pod, ifindex });
            }
        }
        self.state.apply(Change::Set(object));
    }

    pub fn change(&mut self, change: &generate::Change) {
        match change {
            generate::Change::Upsert(object) => self.set(object),
            generate::Change::Delete {
                kind,
                namespace,
                name,
            } => {
                let key = ObjectKey::new(namespace.clone().unwrap_or_default(), name);
                let kind = match kind.as_str() {
                    "Pod" => Kind::Pod,
                    "Namespace" => Kind::Namespace,
                    "Node" => Kind::Node,
                    "NetworkPolicy" => Kind::NetworkPolicy,
                    "Service" => Kind::Service,
                    "EndpointSlice" => Kind::EndpointSlice,
                    other => panic!("the generator makes no {other}"),
                };
                if kind == Kind::Pod && self.interfaces.remove(&key).is_some() {
                    let pod = key.clone();
                    self.state.apply(Change::Detach { pod });
                }
                self.state.apply(Change::Remove(ObjectRef { kind, key }));
            }
        }
    }

    pub fn commit(&mut self) -> Delta {
        let delta = self.state.commit();
        for operation in &delta.operations {
            self.maps.apply(operation);
        }
        delta
    }

    /// Egress at the source, then ingress at the destination, as far as these are endpoints.
    pub fn allows(&self, probe: &Probe) -> bool {
        let [egress, ingress] = openings(probe);
        if maps::judge(&self.maps, &egress) == Some(false) {
            return false;
        }
        self.is_own_node(probe) || maps::judge(&self.maps, &ingress) != Some(false)
    }

    /// Whether the source is the destination pod's node; there the node's socket is exempt, which
    /// is the datapath's matter, not the maps'.
    fn is_own_node(&self, probe: &Probe) -> bool {
        let pod = self.state.pod_at(probe.to);
        let node = pod.and_then(|pod| self.state.pod(pod)?.node.clone());
        node.is_some_and(|node| self.state.node_addresses(&node).contains(&probe.from))
    }
}

fn interface_of(pod: &ObjectKey) -> u32 {
    let hash = pod.to_string().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.max(1)
}

/// A probe as its two ends see it.
pub fn openings(probe: &Probe) -> [Opening; 2] {
    let is_v4 = matches!(probe.from, IpAddr::V4(_));
    let protocol = match probe.protocol {
        Protocol::Tcp => protocol::TCP,
        Protocol::Udp => protocol::UDP,
        Protocol::Sctp => protocol::SCTP,
        Protocol::Icmp if is_v4 => protocol::ICMP,
        Protocol::Icmp => protocol::ICMPV6,
        Protocol::Other(number) => number,
    };
    let end = |direction, local, remote| Opening {
        direction,
        local,
        remote,
        protocol,
        port: probe.port,
    };
    [
        end(Direction::Egress, probe.from, probe.to),
        end(Direction::Ingress, probe.to, probe.from),
    ]
}
