//! EndpointSlices where none are given: what the control plane would make of Services and ready
//! pods.

use std::net::IpAddr;

use netpol_policy::{Object, Pod, SERVICE_NAME_LABEL, Service, TargetPort};
use serde_json::{Value, json};

/// The slices of every Service with a selector, one for each pod and family; none when the objects
/// have EndpointSlices of their own.
pub(super) fn derived(objects: &[Value]) -> Vec<Value> {
    let of_kind = |kind: &'static str| {
        let objects = objects.iter();
        objects.filter(move |object| object.get("kind").and_then(Value::as_str) == Some(kind))
    };
    if of_kind("EndpointSlice").next().is_some() || of_kind("Service").next().is_none() {
        return Vec::new();
    }
    // What cannot be understood is reported where it is taken.
    let pods = of_kind("Pod").filter(|pod| is_ready(pod));
    let pods = pods.filter_map(|value| match Object::from_value(value) {
        Ok(Some(Object::Pod(pod))) => Some(pod),
        _ => None,
    });
    let pods: Vec<Box<Pod>> = pods.filter(|p| !p.finished && !p.terminating).collect();
    let mut slices = Vec::new();
    for value in of_kind("Service") {
        let Ok(Some(Object::Service(service))) = Object::from_value(value) else {
            continue;
        };
        let selected = pods.iter().filter(|pod| {
            pod.key.namespace == service.key.namespace && service.selects(&pod.labels)
        });
        for pod in selected {
            for address in &pod.addresses {
                slices.push(slice(&service, pod, *address));
            }
        }
    }
    slices
}

/// A pod is ready unless its status says that it is not: a manifest that was never applied says
/// nothing.
fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    conditions.all(|c| c["type"] != "Ready" || c["status"] == "True")
}

fn slice(service: &Service, pod: &Pod, address: IpAddr) -> Value {
    let port = |port: &netpol_policy::ServicePort| {
        let number = match &port.target {
            TargetPort::Number(number) => number.get(),
            TargetPort::Named(name) => {
                let mut named = pod.named_ports.iter();
                let named = named.find(|p| p.name == *name && p.protocol == port.protocol);
                named?.number
            }
        };
        let protocol = port.protocol.to_string();
        Some(json!({ "name": port.name, "protocol": protocol, "port": number }))
    };
    let ports: Vec<Value> = service.ports.iter().filter_map(port).collect();
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": service.key.namespace,
            "name": format!("{}.{}.{address}", service.key.name, pod.key.name),
            "labels": { SERVICE_NAME_LABEL: service.key.name },
        },
        "addressType": family,
        "endpoints": [{
            "addresses": [address],
            "targetRef": { "kind": "Pod", "name": pod.key.name },
        }],
        "ports": ports,
    })
}
