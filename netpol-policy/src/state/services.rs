//! What there is to know of Services, for people.

use std::{collections::BTreeSet, net::IpAddr};

use super::ClusterState;
use crate::{
    object::ObjectKey,
    policy::Protocol,
    service::{Service, ServicePort},
};

/// A Service at an address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// The Service.
    pub service: ObjectKey,
    /// The node may masquerade on the way: every backend must be allowed.
    pub every: bool,
    /// Where a connection may end, sorted.
    pub backends: Vec<BackendView>,
}

/// A backend of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackendView {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The pod there, if it is one.
    pub pod: Option<ObjectKey>,
    /// An EndpointSlice says that it is a pod, and no such pod is known.
    pub unknown: bool,
}

impl ClusterState {
    /// A Service as it was read.
    #[must_use]
    pub fn service(&self, key: &ObjectKey) -> Option<&Service> {
        self.cluster.services.get(key).map(AsRef::as_ref)
    }

    /// The addresses of every node, as the Node objects have them.
    pub fn all_node_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.cluster.node_addresses()
    }

    /// Every Service, by namespace and name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        let keys = self.cluster.services.keys();
        keys.filter_map(|key| self.service(key))
    }

    /// The Services that answer at an address and port: one, or none, or several that contradict
    /// each other, which is judged as none that leads anywhere.
    #[must_use]
    pub fn services_at(&self, to: IpAddr, protocol: Protocol, port: u16) -> Vec<ServiceView> {
        let mut found = Vec::new();
        for service in self.services() {
            let ports = service.ports.iter().filter(|p| p.protocol == protocol);
            for at in ports {
                let asked = at.port.get() == port;
                let cluster_ip = asked && service.cluster_ips.contains(&to);
                let external = asked && service.external_ips.contains(&to);
                let node_port = at.node_port.is_some_and(|p| p.get() == port)
                    && (self.cluster.is_node(to) || self.local_addresses.contains(&to));
                if cluster_ip || external || node_port {
                    found.push(ServiceView {
                        service: service.key.clone(),
                        every: !cluster_ip || self.compiler.masquerade_all,
                        backends: self.backends(service, at, to.is_ipv4()),
                    });
                }
            }
        }
        found
    }

    fn backends(&self, service: &Service, port: &ServicePort, is_v4: bool) -> Vec<BackendView> {
        let mut found = BTreeSet::new();
        for slice in self.cluster.services.slices_of(&service.key) {
            let same = slice.ports.iter();
            let same = same.filter(|p| p.name == port.name && p.protocol == port.protocol);
            for slice_port in same {
                for endpoint in slice
                    .endpoints
                    .iter()
                    .filter(|e| e.address.is_ipv4() == is_v4)
                {
                    let pod = self.cluster.pod_at(endpoint.address);
                    let is_node = self.cluster.is_node(endpoint.address);
                    found.insert(BackendView {
                        address: endpoint.address,
                        port: slice_port.number.get(),
                        pod: pod.map(|pod| pod.key.clone()),
                        unknown: pod.is_none() && endpoint.is_pod && !is_node,
                    });
                }
            }
        }
        found.into_iter().collect()
    }
}
