//! Pods.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::{Problem, decode, labels, problem::address};
use crate::{
    object::{NamedPort, ObjectKey, Pod},
    policy::Protocol,
};

/// What of `spec` policy needs. The other fields may say what they like.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    host_network: Option<bool>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
struct Container {
    ports: Option<Vec<ContainerPort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    name: Option<String>,
    protocol: Option<String>,
    container_port: i64,
}

/// What of `status` policy needs.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
}

#[derive(Deserialize)]
struct PodIp {
    ip: Option<String>,
}

pub(super) fn pod(key: ObjectKey, value: &Value) -> Result<Pod, Problem> {
    let metadata = |name: &str| {
        let found = value.get("metadata").and_then(|m| m.get(name));
        found.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let spec: Spec = match value.get("spec") {
        Some(spec) if spec.is_object() => decode(spec, "spec")?,
        _ => return Err(Problem::new("spec", "is missing")),
    };
    let status: Status = match value.get("status") {
        None | Some(Value::Null) => Status::default(),
        Some(status) => decode(status, "status")?,
    };
    Ok(Pod {
        labels: labels(value)?,
        uid: metadata("uid"),
        static_uid: static_uid(value),
        created: metadata("creationTimestamp"),
        terminating: !metadata("deletionTimestamp").is_empty(),
        finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        host_network: spec.host_network.unwrap_or(false),
        named_ports: named_ports(&spec)?,
        node: spec.node_name.filter(|name| !name.is_empty()),
        addresses: addresses(&status)?,
        key,
    })
}

fn static_uid(value: &Value) -> Option<Box<str>> {
    let annotations = value.get("metadata")?.get("annotations")?;
    annotations.get("kubernetes.io/config.mirror")?;
    let hash = annotations.get("kubernetes.io/config.hash")?.as_str()?;
    (!hash.is_empty()).then(|| hash.into())
}

fn addresses(status: &Status) -> Result<Vec<std::net::IpAddr>, Problem> {
    let mut found = BTreeSet::new();
    if let Some(ip) = status.pod_ip.as_deref().filter(|ip| !ip.is_empty()) {
        found.insert(address(ip, "status.podIP")?);
    }
    for (place, ip) in status.pod_ips.iter().flatten().enumerate() {
        if let Some(ip) = ip.ip.as_deref().filter(|ip| !ip.is_empty()) {
            found.insert(address(ip, &format!("status.podIPs[{place}].ip"))?);
        }
    }
    Ok(found.into_iter().collect())
}

fn named_ports(spec: &Spec) -> Result<Vec<NamedPort>, Problem> {
    let groups = [
        ("containers", spec.containers.as_ref()),
        ("initContainers", spec.init_containers.as_ref()),
    ];
    let mut found = BTreeSet::new();
    for (group, containers) in groups {
        for (c, container) in containers.into_iter().flatten().enumerate() {
            for (p, port) in container.ports.iter().flatten().enumerate() {
                let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) else {
                    continue;
                };
                let at = || format!("spec.{group}[{c}].ports[{p}]");
                let protocol = port.protocol.as_deref().unwrap_or("TCP");
                let protocol = Protocol::from_name(protocol).ok_or_else(|| {
                    Problem::new(
                        format!("{}.protocol", at()),
                        format!("{protocol:?} is none of TCP, UDP, SCTP"),
                    )
                })?;
                let number = u16::try_from(port.container_port)
                    .ok()
                    .filter(|number| *number != 0)
                    .ok_or_else(|| {
                        Problem::new(
                            format!("{}.containerPort", at()),
                            format!("{} is not between 1 and 65535", port.container_port),
                        )
                    })?;
                found.insert(NamedPort {
                    name: name.to_owned(),
                    protocol,
                    number,
                });
            }
        }
    }
    Ok(found.into_iter().collect())
}
