//! Services and their EndpointSlices.

use serde_json::{Value, json};

use super::dice::Dice;
use super::surroundings::{Surroundings, addresses_of, is_finished, labels_of};
use super::vocabulary::{
    CONTAINER_PORTS, FAMILIES, Family, POD_LABELS, PORT_NAMES, external_addresses, service_address,
};
use super::{Cluster, identity};

const NAMES: usize = 4;

/// The ports of a Service, in their order.
const NUMBERS: [u16; 3] = [80, 443, 53];

/// A name, which is one of few.
pub(super) fn draw_name(dice: &mut Dice) -> String {
    format!("service-{}", dice.between(0, NAMES - 1))
}

/// A Service. Its addresses and node ports belong to its name, so that no two have the same.
pub(super) fn draw(dice: &mut Dice, around: &Surroundings, name: &str) -> Value {
    let number: u16 = name
        .rsplit('-')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let mut ports = Vec::new();
    let has_node_ports = dice.chance(30);
    for index in 0..dice.between(1, 3) as u16 {
        let mut port = json!({
            "name": format!("port-{index}"),
            "protocol": dice.weigh(&[(65, "TCP"), (25, "UDP"), (10, "SCTP")]),
            "port": NUMBERS[usize::from(index)],
        });
        if dice.chance(85) {
            port["targetPort"] = match dice.chance(30) {
                true => json!(dice.pick(PORT_NAMES)),
                false => json!(dice.pick(CONTAINER_PORTS)),
            };
        }
        if has_node_ports {
            port["nodePort"] = json!(30_000 + number * 10 + index);
        }
        ports.push(port);
    }
    let mut spec = json!({ "ports": ports });
    if dice.chance(85) {
        let (key, values) = *dice.pick(POD_LABELS);
        spec["selector"] = json!({ key: dice.pick(values) });
    }
    let ips: Vec<String> = FAMILIES
        .into_iter()
        .filter(|family| dice.chance(if *family == Family::V4 { 95 } else { 60 }))
        .map(|family| service_address(family, number).to_string())
        .collect();
    if dice.chance(88) && !ips.is_empty() {
        spec["clusterIP"] = json!(ips[0]);
        spec["clusterIPs"] = json!(ips);
    } else {
        spec["clusterIP"] = json!("None");
        spec["clusterIPs"] = json!(["None"]);
    }
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": dice.pick(&around.namespaces), "name": name },
        "spec": spec,
    });
    if dice.chance(20) {
        object["spec"]["externalIPs"] = json!([dice.pick(&external_addresses())]);
    }
    if dice.chance(12) {
        let ip = *dice.pick(&external_addresses());
        object["status"]["loadBalancer"]["ingress"] = match dice.chance(70) {
            true => json!([{ "ip": ip }]),
            false => json!([{ "ip": ip, "ipMode": "Proxy" }]),
        };
    }
    object
}

/// A slice of a Service: its pods and now and then what is none, or none of its pods.
pub(super) fn draw_slice(dice: &mut Dice, cluster: &Cluster, service: &Value) -> Value {
    let (_, namespace, name) = identity(service);
    let family = *dice.pick(&FAMILIES);
    let selector = service["spec"]["selector"].as_object();
    let of_family = |address: &std::net::IpAddr| address.is_ipv4() == (family == Family::V4);
    let mut endpoints = Vec::new();
    for pod in cluster.of_kind("Pod") {
        let labels = labels_of(pod);
        let selected = selector.is_some_and(|selector| {
            pod["metadata"]["namespace"].as_str() == namespace
                && selector
                    .iter()
                    .all(|(key, value)| labels.get(key) == Some(value))
        });
        if !dice.chance(if selected { 85 } else { 12 }) {
            continue;
        }
        let finished = is_finished(pod);
        for address in addresses_of(pod).into_iter().filter(of_family) {
            let mut endpoint = json!({
                "addresses": [address],
                "conditions": { "ready": !finished, "terminating": finished },
            });
            if dice.chance(80) {
                endpoint["targetRef"] = json!({ "kind": "Pod", "name": pod["metadata"]["name"] });
            }
            endpoints.push(endpoint);
        }
    }
    let pool = [
        super::vocabulary::outside_addresses(family),
        super::vocabulary::node_addresses(family),
        super::vocabulary::pod_addresses(family),
    ];
    for pool in pool {
        if dice.chance(12) {
            let mut endpoint = json!({ "addresses": [dice.pick(&pool)] });
            if dice.chance(40) {
                endpoint["targetRef"] = json!({ "kind": "Pod", "name": "ghost" });
            }
            endpoints.push(endpoint);
        }
    }
    let service_ports = service["spec"]["ports"].as_array();
    let mut ports = Vec::new();
    for port in service_ports.into_iter().flatten() {
        if dice.chance(90) {
            ports.push(json!({
                "name": port["name"], "protocol": port["protocol"],
                "port": dice.pick(CONTAINER_PORTS),
            }));
        }
    }
    let kind = match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": format!("{name}-{}{}", kind.to_lowercase(), dice.between(0, 1)),
            "labels": { "kubernetes.io/service-name": name },
        },
        "addressType": kind,
        "endpoints": endpoints,
        "ports": ports,
    })
}
