//! Services and EndpointSlices, as far as policy needs them.

use std::{fmt, net::IpAddr, num::NonZeroU16};

use crate::{labels::Labels, object::ObjectKey, policy::Protocol};

/// The label by which an EndpointSlice names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `spec.selector`. Empty: its endpoints are written by hand.
    pub selector: Labels,
    /// `spec.clusterIPs` and `spec.clusterIP`, sorted; empty for a headless Service and for one of
    /// type ExternalName.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`, and the addresses of `status.loadBalancer.ingress` that the nodes
    /// answer for (`ipMode` VIP, or none), sorted.
    pub external_ips: Vec<IpAddr>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
}

/// One of a Service's ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, by which EndpointSlices refer to it; empty for the only port without one.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port that clients ask for.
    pub port: NonZeroU16,
    /// The port of the pods.
    pub target: TargetPort,
    /// The port of every node, if it has one.
    pub node_port: Option<NonZeroU16>,
}

/// `targetPort` of a Service's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// A number; the port itself when `targetPort` is absent or zero.
    Number(NonZeroU16),
    /// The container port of this name, which each pod may have at another number.
    Named(String),
}

impl fmt::Display for TargetPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl Service {
    /// Whether labels of a pod of its namespace make the pod one of its endpoints. A Service
    /// without a selector selects none.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        let mut wanted = self.selector.iter();
        !self.selector.is_empty() && wanted.all(|(key, value)| labels.get(key) == Some(value))
    }

    /// Whether a packet can be addressed to the Service rather than to its pods.
    #[must_use]
    pub fn has_frontends(&self) -> bool {
        !self.cluster_ips.is_empty()
            || !self.external_ips.is_empty()
            || self.ports.iter().any(|port| port.node_port.is_some())
    }
}

/// An EndpointSlice: some of the endpoints of a Service, of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The Service it belongs to, by the label [`SERVICE_NAME_LABEL`].
    pub service: Option<String>,
    /// Its ports, those without a number left out: nothing is sent there.
    pub ports: Vec<SlicePort>,
    /// Its endpoints, sorted: ready, not ready and terminating ones. None for one of host names.
    pub endpoints: Vec<SliceEndpoint>,
}

/// One of an EndpointSlice's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceEndpoint {
    /// Its address.
    pub address: IpAddr,
    /// Whether `targetRef` says that it is a pod.
    pub is_pod: bool,
}

/// One of an EndpointSlice's ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlicePort {
    /// The name of the Service's port.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number, at every endpoint of the slice.
    pub number: NonZeroU16,
}
