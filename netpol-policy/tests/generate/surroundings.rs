//! What pods and policies are put into: namespaces, nodes, and which addresses are taken.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::Cluster;
use super::dice::Dice;
use super::selector;
use super::vocabulary::{
    FAMILIES, Family, NAMESPACE_LABELS, NAMESPACE_NAME_LABEL, NAMESPACES, NODES, node_addresses,
    outside_addresses,
};

/// What a new object has to fit in with, read off the objects that are there.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// Namespaces that anything lives in or that have an object.
    pub(super) namespaces: Vec<String>,
    pub(super) nodes: Vec<Node>,
    /// Addresses of nodes and of pods that have not finished.
    pub(super) taken: BTreeSet<IpAddr>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
}

impl Surroundings {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let nodes: Vec<Node> = cluster
            .of_kind("Node")
            .into_iter()
            .map(Node::read)
            .collect();
        let pods = cluster.of_kind("Pod");
        let live = pods.iter().copied().filter(|pod| !is_finished(pod));
        let taken = live
            .flat_map(addresses_of)
            .chain(nodes.iter().flat_map(|node| node.addresses.clone()));
        let mut namespaces: BTreeSet<&str> = cluster
            .objects
            .iter()
            .filter_map(|object| match object["kind"].as_str()? {
                "Namespace" => object["metadata"]["name"].as_str(),
                _ => object["metadata"]["namespace"].as_str(),
            })
            .collect();
        if namespaces.is_empty() {
            namespaces.insert(NAMESPACES[0]);
        }
        Self {
            namespaces: namespaces.into_iter().map(str::to_owned).collect(),
            taken: taken.collect(),
            nodes,
        }
    }

    /// An address out of `pool` that is nobody's.
    pub(super) fn free_address(&self, dice: &mut Dice, pool: &[IpAddr]) -> Option<IpAddr> {
        let free: Vec<IpAddr> = pool
            .iter()
            .copied()
            .filter(|address| !self.taken.contains(address))
            .collect();
        dice.try_pick(&free).copied()
    }
}

impl Node {
    fn read(object: &Value) -> Self {
        let entries = object["status"]["addresses"]
            .as_array()
            .into_iter()
            .flatten();
        Self {
            name: object["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            addresses: entries
                .filter(|entry| entry["type"] == "InternalIP" || entry["type"] == "ExternalIP")
                .filter_map(|entry| entry["address"].as_str()?.parse().ok())
                .collect(),
        }
    }
}

/// Whether no two pods that have not finished share an address, and none has a node's unless it is
/// on the host network.
pub fn addresses_are_unique(cluster: &Cluster) -> bool {
    let nodes: BTreeSet<IpAddr> = cluster
        .of_kind("Node")
        .into_iter()
        .flat_map(|node| Node::read(node).addresses)
        .collect();
    let mut seen = nodes;
    cluster
        .of_kind("Pod")
        .into_iter()
        .filter(|pod| !is_finished(pod) && pod["spec"]["hostNetwork"] != true)
        .flat_map(addresses_of)
        .all(|address| seen.insert(address))
}

pub(super) fn is_finished(pod: &Value) -> bool {
    pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
}

/// The addresses a pod's status holds, each once, the first one first.
pub(super) fn addresses_of(pod: &Value) -> Vec<IpAddr> {
    let entries = pod["status"]["podIPs"].as_array().into_iter().flatten();
    let written = [&pod["status"]["podIP"]]
        .into_iter()
        .chain(entries.map(|entry| &entry["ip"]));
    let mut addresses = Vec::new();
    for address in written.filter_map(|address| address.as_str()?.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// 1 to 4 namespaces, mostly few, so that policies find subjects, and 1 to 3 nodes.
pub(super) fn draw(dice: &mut Dice) -> Vec<Value> {
    let mut objects = Vec::new();
    for name in &NAMESPACES[..dice.weigh(&[(35, 1), (35, 2), (20, 3), (10, 4)])] {
        objects.push(draw_namespace(dice, name));
    }
    for name in &NODES[..dice.between(1, NODES.len())] {
        let cluster = Cluster { objects };
        let node = draw_node(dice, &Surroundings::of(&cluster), name);
        objects = cluster.objects;
        objects.push(node);
    }
    objects
}

pub(super) fn draw_namespace(dice: &mut Dice, name: &str) -> Value {
    let mut labels = selector::draw_labels(dice, NAMESPACE_LABELS);
    // The API server writes the label, but a manifest need not have been through one.
    match dice.between(0, 9) {
        0..=5 => labels[NAMESPACE_NAME_LABEL] = json!(name),
        6 => labels[NAMESPACE_NAME_LABEL] = json!(dice.pick(NAMESPACES)),
        _ => {}
    }
    let mut metadata = json!({ "name": name, "labels": labels });
    if dice.chance(5) {
        metadata["labels"] = Value::Null;
    }
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })
}

pub(super) fn draw_node(dice: &mut Dice, around: &Surroundings, name: &str) -> Value {
    let mut addresses = vec![json!({ "type": "Hostname", "address": name })];
    let dual = dice.chance(50);
    let first = *dice.pick(&FAMILIES);
    for family in FAMILIES {
        if dual || family == first {
            draw_addresses(dice, around, family, &mut addresses);
        }
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name },
        "status": { "addresses": addresses },
    })
}

fn draw_addresses(
    dice: &mut Dice,
    around: &Surroundings,
    family: Family,
    addresses: &mut Vec<Value>,
) {
    let pool = node_addresses(family);
    let (internal, external) = pool.split_at(6);
    let mut add = |kind: &str, address: Option<IpAddr>| {
        addresses.extend(address.map(|address| json!({ "type": kind, "address": address })));
    };
    add("InternalIP", around.free_address(dice, &internal[..4]));
    if dice.chance(20) {
        add("InternalIP", around.free_address(dice, &internal[4..]));
    }
    if dice.chance(30) {
        add("ExternalIP", around.free_address(dice, external));
    }
    // A host name that looks like an address is still no address of the node.
    if dice.chance(10) {
        add("Hostname", outside_addresses(family).last().copied());
    }
}

/// Labels as JSON, for those who merge them.
pub(super) fn labels_of(object: &Value) -> Map<String, Value> {
    object["metadata"]["labels"]
        .as_object()
        .cloned()
        .unwrap_or_default()
}
