//! Services, and what it means that a packet is addressed to one.
//!
//! NetworkPolicy does not know Services: "the traffic must match" names pods and addresses. A packet
//! to a Service is one to a backend that nobody knows yet. So it may leave the pod when it may reach
//! a backend and every backend it may not reach is sure to be refused later; and a backend refuses
//! what its sender's policies forbid.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::cluster::{Labels, Node, Pod, elements, labels, name, namespace};
use super::{Direction, Oracle, Probe, Protocol};

#[derive(Debug)]
pub(super) struct Service {
    namespace: String,
    name: String,
    selector: Labels,
    cluster_ips: BTreeSet<IpAddr>,
    external_ips: BTreeSet<IpAddr>,
    ports: Vec<ServicePort>,
}

#[derive(Debug)]
struct ServicePort {
    name: String,
    protocol: Protocol,
    port: u16,
    node_port: Option<u16>,
    target: Value,
}

#[derive(Debug)]
pub(super) struct Slice {
    namespace: String,
    service: String,
    ports: Vec<(String, Protocol, u16)>,
    endpoints: Vec<(IpAddr, bool)>,
}

/// One backend of a Service's port.
#[derive(Debug)]
enum Backend<'a> {
    Pod(&'a Pod),
    /// `targetRef` says that it is a pod, and nobody knows it.
    UnknownPod,
    Other,
}

fn protocol(value: &Value) -> Protocol {
    match value.as_str().unwrap_or("TCP") {
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

impl Service {
    pub(super) fn read(object: &Value) -> Self {
        let spec = &object["spec"];
        let ingress = elements(&object["status"]["loadBalancer"]["ingress"]);
        let ingress = ingress.filter(|ingress| ingress["ipMode"] != "Proxy");
        let external = elements(&spec["externalIPs"]).chain(ingress.map(|i| &i["ip"]));
        let port = |port: &Value| ServicePort {
            name: port["name"].as_str().unwrap_or("").to_owned(),
            protocol: protocol(&port["protocol"]),
            port: port["port"].as_u64().unwrap_or(0) as u16,
            node_port: port["nodePort"].as_u64().map(|number| number as u16),
            target: match &port["targetPort"] {
                Value::Null => port["port"].clone(),
                target => target.clone(),
            },
        };
        let selector = spec["selector"].as_object().into_iter().flatten();
        Self {
            namespace: namespace(object),
            name: name(object),
            selector: selector
                .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
                .collect(),
            cluster_ips: elements(&spec["clusterIPs"]).filter_map(address).collect(),
            external_ips: external.filter_map(address).collect(),
            ports: elements(&spec["ports"]).map(port).collect(),
        }
    }

    fn selects(&self, pod: &Pod) -> bool {
        let has = |(key, value): (&String, &String)| pod.labels.get(key) == Some(value);
        pod.namespace == self.namespace
            && !self.selector.is_empty()
            && self.selector.iter().all(has)
    }
}

impl Slice {
    pub(super) fn read(object: &Value) -> Option<Self> {
        let labels = labels(object);
        let port = |port: &Value| {
            let number = port["port"].as_u64()? as u16;
            let name = port["name"].as_str().unwrap_or("").to_owned();
            Some((name, protocol(&port["protocol"]), number))
        };
        let endpoint = |endpoint: &Value| {
            let is_pod = endpoint["targetRef"]["kind"] == "Pod";
            let addresses = elements(&endpoint["addresses"]).filter_map(address);
            addresses.map(|a| (a, is_pod)).collect::<Vec<_>>()
        };
        Some(Self {
            namespace: namespace(object),
            service: labels.get("kubernetes.io/service-name")?.clone(),
            ports: elements(&object["ports"]).filter_map(port).collect(),
            endpoints: elements(&object["endpoints"]).flat_map(endpoint).collect(),
        })
    }
}

impl Oracle {
    /// Whether a packet may leave its pod towards the Service that it is addressed to; `None` when
    /// it is addressed to none. `source` is isolated or not, that is its policies' matter.
    pub(super) fn may_leave_to_service(&self, source: &Pod, probe: &Probe) -> Option<bool> {
        let (service, service_port, masqueraded) = match self.frontends(probe).as_slice() {
            [] => return None,
            [one] => *one,
            // They contradict each other: closed, but for what no policy restricts at all.
            _ => return Some(self.may_send_anything(source)),
        };
        let backends = self.backends(service, service_port, probe.to.is_ipv4());
        if self.may_send_anything(source) {
            return Some(true);
        }
        let allowed = |(to, number): &(IpAddr, u16)| {
            let probe = Probe {
                to: *to,
                port: Some(*number),
                ..*probe
            };
            self.allows(Direction::Egress, source, &probe)
        };
        let addresses: BTreeSet<IpAddr> = backends.iter().map(|(to, _)| to.0).collect();
        let only_itself = addresses.len() == 1 && addresses.is_subset(&source.addresses);
        let itself = |(address, _): &(IpAddr, u16)| source.addresses.contains(address);
        let some = backends.iter().any(|(to, backend)| match backend {
            Backend::UnknownPod => false,
            // "A pod cannot block access to itself."
            Backend::Pod(_) if !masqueraded && itself(to) => true,
            Backend::Pod(_) | Backend::Other => allowed(to),
        });
        let others_are_allowed = backends
            .iter()
            .all(|(to, backend)| !matches!(backend, Backend::Other) || allowed(to));
        let every = || {
            let is = |(to, backend): &((IpAddr, u16), Backend<'_>)| match backend {
                Backend::UnknownPod => false,
                Backend::Pod(_) | Backend::Other => allowed(to),
            };
            backends.iter().all(is)
        };
        let by_itself = backends
            .iter()
            .any(|(to, b)| itself(to) && matches!(b, Backend::Pod(_)));
        Some(if masqueraded {
            (some && every()) || (only_itself && by_itself)
        } else {
            // Being a backend oneself is enough only where every other backend is a pod.
            let others = backends.iter().any(|(_, b)| matches!(b, Backend::Other));
            let by_rule = backends.iter().any(|(to, b)| match b {
                Backend::UnknownPod => false,
                Backend::Pod(_) | Backend::Other => allowed(to),
            });
            others_are_allowed && (by_rule || (!others && some))
        })
    }

    /// The Services that a packet is addressed to, and whether the node may masquerade it.
    fn frontends(&self, probe: &Probe) -> Vec<(&Service, &ServicePort, bool)> {
        let mut found = Vec::new();
        let Some(port) = probe.port else {
            return found;
        };
        for service in &self.services {
            for service_port in &service.ports {
                if service_port.protocol != probe.protocol {
                    continue;
                }
                let at_port = service_port.port == port;
                if at_port && service.cluster_ips.contains(&probe.to) {
                    found.push((service, service_port, false));
                }
                if at_port && service.external_ips.contains(&probe.to) {
                    found.push((service, service_port, true));
                }
                if service_port.node_port == Some(port) && self.is_a_node(probe.to) {
                    found.push((service, service_port, true));
                }
            }
        }
        found
    }

    /// Whether a packet is addressed to a Service.
    pub fn is_to_service(&self, probe: &Probe) -> bool {
        !self.frontends(probe).is_empty()
    }

    /// As `judge`, and a packet to a Service must be taken by one of the backends that are known,
    /// if there are any.
    pub fn judge_through(&self, probe: &Probe) -> super::Judgement {
        let at_source = self.judge(probe);
        let [(service, port, _)] = self.frontends(probe)[..] else {
            return at_source;
        };
        let backends = self.backends(service, port, probe.to.is_ipv4());
        let known = backends
            .iter()
            .filter(|(_, b)| !matches!(b, Backend::UnknownPod));
        let mut taken = known.map(|((to, number), _)| {
            let probe = Probe {
                to: *to,
                port: Some(*number),
                ..*probe
            };
            self.judge_at_destination(&probe).unwrap_or(true)
        });
        let any = taken.by_ref().any(|taken| taken);
        let none_known = backends
            .iter()
            .all(|(_, b)| matches!(b, Backend::UnknownPod));
        if at_source.allow && !any && !none_known {
            return super::Judgement::deny(Direction::Ingress);
        }
        at_source
    }

    /// Whether the pod refuses a packet because its sender's egress policies forbid it: it is, or
    /// may become, a backend of a Service at this port.
    pub(super) fn refuses(&self, destination: &Pod, probe: &Probe) -> bool {
        let Some(source) = self.pod_at(probe.from) else {
            return false;
        };
        !self.allows(Direction::Egress, source, probe) && self.is_backend_port(destination, probe)
    }

    fn is_backend_port(&self, pod: &Pod, probe: &Probe) -> bool {
        let Some(port) = probe.port else { return false };
        // By its selector; without one, whoever writes its slices may name any pod of its namespace.
        let may_lead_to = |service: &Service| {
            service.selects(pod)
                || service.selector.is_empty() && service.namespace == pod.namespace
        };
        let by_service = self.services.iter().any(|service| {
            let is_target = |p: &ServicePort| {
                p.protocol == probe.protocol
                    && match &p.target {
                        Value::String(name) => pod.named_ports.iter().any(|named| {
                            named.name == *name
                                && named.protocol == p.protocol
                                && named.number == u64::from(port)
                        }),
                        target => target.as_u64() == Some(u64::from(port)),
                    }
            };
            !service.cluster_ips.is_empty()
                && may_lead_to(service)
                && service.ports.iter().any(is_target)
        });
        // By a slice: of a Service that has an address, or is not known.
        let by_slice = self.slices.iter().any(|slice| {
            let of = |s: &&Service| s.namespace == slice.namespace && s.name == slice.service;
            let service = self.services.iter().find(of);
            let names = slice
                .endpoints
                .iter()
                .any(|(a, _)| pod.addresses.contains(a));
            let at = |(_, protocol, number): &(String, Protocol, u16)| {
                *protocol == probe.protocol && *number == port
            };
            names
                && service.is_none_or(|service| !service.cluster_ips.is_empty())
                && slice.ports.iter().any(at)
        });
        by_service || by_slice
    }

    fn backends(
        &self,
        service: &Service,
        port: &ServicePort,
        is_v4: bool,
    ) -> Vec<((IpAddr, u16), Backend<'_>)> {
        let mut found = Vec::new();
        for slice in &self.slices {
            if slice.namespace != service.namespace || slice.service != service.name {
                continue;
            }
            for (name, protocol, number) in &slice.ports {
                if *name != port.name || *protocol != port.protocol {
                    continue;
                }
                for (address, said_to_be_pod) in &slice.endpoints {
                    if address.is_ipv4() == is_v4 {
                        let backend = match self.pod_at(*address) {
                            Some(pod) => Backend::Pod(pod),
                            None if *said_to_be_pod && !self.is_a_node(*address) => {
                                Backend::UnknownPod
                            }
                            None => Backend::Other,
                        };
                        found.push(((*address, *number), backend));
                    }
                }
            }
        }
        found
    }

    fn is_a_node(&self, address: IpAddr) -> bool {
        let has = |node: &Node| node.addresses.contains(&address);
        self.nodes.iter().any(has)
    }

    /// Whether a pod is not restricted at all, or a rule of its policies restricts nothing.
    fn may_send_anything(&self, source: &Pod) -> bool {
        let isolating = self.policies.iter();
        let mut isolating = isolating
            .filter(|policy| policy.isolates(source, Direction::Egress))
            .peekable();
        isolating.peek().is_none()
            || isolating.any(|policy| policy.grants_everything(Direction::Egress))
    }
}
