//! Services and EndpointSlices.

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU16};

use serde::Deserialize;
use serde_json::Value;

use super::{Problem, decode, labels, problem::address};
use crate::{
    labels::Labels,
    object::ObjectKey,
    policy::Protocol,
    service::{
        EndpointSlice, SERVICE_NAME_LABEL, Service, ServicePort, SliceEndpoint, SlicePort,
        TargetPort,
    },
};

/// What of a Service's `spec` policy needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "type")]
    kind: Option<String>,
    selector: Option<Labels>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    external_ips: Option<Vec<String>>,
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    name: Option<String>,
    protocol: Option<String>,
    port: i64,
    target_port: Option<Value>,
    node_port: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    load_balancer: Option<LoadBalancer>,
}

#[derive(Deserialize)]
struct LoadBalancer {
    ingress: Option<Vec<Ingress>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ingress {
    ip: Option<String>,
    ip_mode: Option<String>,
}

pub(super) fn service(key: ObjectKey, value: &Value) -> Result<Service, Problem> {
    let spec: Spec = match value.get("spec") {
        Some(spec) if spec.is_object() => decode(spec, "spec")?,
        _ => return Err(Problem::new("spec", "is missing")),
    };
    let status: Status = match value.get("status") {
        None | Some(Value::Null) => Status::default(),
        Some(status) => decode(status, "status")?,
    };
    // "ExternalName": a name in DNS and nothing else; what other fields say is left over.
    let by_name = spec.kind.as_deref() == Some("ExternalName");
    let mut service = Service {
        key,
        selector: spec.selector.clone().unwrap_or_default(),
        cluster_ips: Vec::new(),
        external_ips: Vec::new(),
        ports: Vec::new(),
    };
    if by_name {
        return Ok(service);
    }
    service.cluster_ips = cluster_ips(&spec)?;
    service.external_ips = external_ips(&spec, &status)?;
    for (place, port) in spec.ports.iter().flatten().enumerate() {
        let at = format!("spec.ports[{place}]");
        service.ports.push(service_port(port, &at)?);
    }
    Ok(service)
}

fn cluster_ips(spec: &Spec) -> Result<Vec<IpAddr>, Problem> {
    let mut found = BTreeSet::new();
    let first = spec.cluster_ip.iter();
    let first = first.map(|ip| (ip, "spec.clusterIP".to_owned()));
    let all = spec.cluster_ips.iter().flatten().enumerate();
    let all = all.map(|(place, ip)| (ip, format!("spec.clusterIPs[{place}]")));
    for (ip, field) in first.chain(all) {
        // "None": headless. "": not allocated yet.
        if ip != "None" && !ip.is_empty() {
            found.insert(address(ip, &field)?);
        }
    }
    Ok(found.into_iter().collect())
}

fn external_ips(spec: &Spec, status: &Status) -> Result<Vec<IpAddr>, Problem> {
    let mut found = BTreeSet::new();
    for (place, ip) in spec.external_ips.iter().flatten().enumerate() {
        found.insert(address(ip, &format!("spec.externalIPs[{place}]"))?);
    }
    let balancer = status.load_balancer.as_ref();
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref());
    for (place, ingress) in ingress.into_iter().flatten().enumerate() {
        // "Setting this to "Proxy" indicates that traffic is delivered to the node or pod with
        // the destination set to the node's IP and node port or the pod's IP and port": packets
        // to the address itself leave the node.
        if ingress.ip_mode.as_deref() == Some("Proxy") {
            continue;
        }
        if let Some(ip) = ingress.ip.as_deref().filter(|ip| !ip.is_empty()) {
            let field = format!("status.loadBalancer.ingress[{place}].ip");
            found.insert(address(ip, &field)?);
        }
    }
    Ok(found.into_iter().collect())
}

fn service_port(port: &Port, at: &str) -> Result<ServicePort, Problem> {
    let number = port_number(port.port, &format!("{at}.port"))?;
    let target = match &port.target_port {
        None | Some(Value::Null) => TargetPort::Number(number),
        Some(Value::Number(target)) if target.as_i64() == Some(0) => TargetPort::Number(number),
        Some(Value::String(name)) if name.is_empty() => TargetPort::Number(number),
        Some(Value::String(name)) => TargetPort::Named(name.clone()),
        Some(target) => {
            let field = format!("{at}.targetPort");
            let Some(target) = target.as_i64() else {
                return Err(Problem::new(field, "is neither a number nor a name"));
            };
            TargetPort::Number(port_number(target, &field)?)
        }
    };
    let node_port = match port.node_port {
        None | Some(0) => None,
        Some(number) => Some(port_number(number, &format!("{at}.nodePort"))?),
    };
    Ok(ServicePort {
        name: port.name.clone().unwrap_or_default(),
        protocol: protocol(port.protocol.as_deref(), &format!("{at}.protocol"))?,
        port: number,
        target,
        node_port,
    })
}

fn port_number(number: i64, field: &str) -> Result<NonZeroU16, Problem> {
    let narrow = u16::try_from(number).ok().and_then(NonZeroU16::new);
    narrow.ok_or_else(|| Problem::new(field, format!("{number} is not between 1 and 65535")))
}

fn protocol(name: Option<&str>, field: &str) -> Result<Protocol, Problem> {
    let name = name.unwrap_or("TCP");
    Protocol::from_name(name)
        .ok_or_else(|| Problem::new(field, format!("{name:?} is none of TCP, UDP, SCTP")))
}

#[derive(Deserialize)]
struct RawSlicePort {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<i64>,
}

/// Of an endpoint only its addresses and what has them: its conditions say whether kube-proxy sends to it now, and
/// kube-proxy may be behind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    addresses: Option<Vec<String>>,
    target_ref: Option<TargetRef>,
}

#[derive(Deserialize)]
struct TargetRef {
    kind: Option<String>,
}

pub(super) fn endpoint_slice(key: ObjectKey, value: &Value) -> Result<EndpointSlice, Problem> {
    let labels = labels(value)?;
    let service = labels.get(SERVICE_NAME_LABEL).map(str::to_owned);
    let list = |field: &str| value.get(field).filter(|list| !list.is_null());
    let raw: Vec<RawSlicePort> = match list("ports") {
        None => Vec::new(),
        Some(list) => decode(list, "ports")?,
    };
    let mut ports = BTreeSet::new();
    for (place, port) in raw.iter().enumerate() {
        let at = format!("ports[{place}]");
        let Some(number) = port.port.filter(|number| *number != 0) else {
            continue;
        };
        ports.insert(SlicePort {
            name: port.name.clone().unwrap_or_default(),
            protocol: protocol(port.protocol.as_deref(), &format!("{at}.protocol"))?,
            number: port_number(number, &format!("{at}.port"))?,
        });
    }
    let is_of_addresses = match value.get("addressType") {
        Some(Value::String(kind)) if kind == "FQDN" => false,
        Some(Value::String(kind)) if kind == "IPv4" || kind == "IPv6" => true,
        _ => return Err(Problem::new("addressType", "is none of IPv4, IPv6, FQDN")),
    };
    let endpoints: Vec<Endpoint> = match list("endpoints") {
        None => Vec::new(),
        Some(list) => decode(list, "endpoints")?,
    };
    let mut found = BTreeSet::new();
    for (e, endpoint) in endpoints.iter().enumerate() {
        let target = endpoint.target_ref.as_ref();
        let is_pod = target.is_some_and(|target| target.kind.as_deref() == Some("Pod"));
        for (a, ip) in endpoint.addresses.iter().flatten().enumerate() {
            if is_of_addresses {
                let field = format!("endpoints[{e}].addresses[{a}]");
                let address = address(ip, &field)?;
                found.insert(SliceEndpoint { address, is_pod });
            }
        }
    }
    Ok(EndpointSlice {
        key,
        service,
        ports: ports.into_iter().collect(),
        endpoints: found.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests;
