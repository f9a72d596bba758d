//! Pods.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::dice::Dice;
use super::selector;
use super::surroundings::{Node, Surroundings};
use super::vocabulary::{
    CONTAINER_PORTS, FAMILIES, Family, NODES, POD_LABELS, PORT_NAMES, pod_addresses,
};

/// What becomes of a pod on its way from being written to being deleted.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Stage {
    /// No address yet.
    New,
    Running,
    /// Has an address, though its phase is still Pending.
    Starting,
    Finished,
    Terminating,
    /// Runs on its node's addresses.
    HostNetwork,
}

pub(super) fn draw(dice: &mut Dice, around: &Surroundings, name: &str) -> Value {
    let stage = dice.weigh(&[
        (7, Stage::New),
        (68, Stage::Running),
        (5, Stage::Starting),
        (6, Stage::Finished),
        (6, Stage::Terminating),
        (8, Stage::HostNetwork),
    ]);
    draw_in_stage(dice, around, name, stage)
}

pub(super) fn draw_in_stage(
    dice: &mut Dice,
    around: &Surroundings,
    name: &str,
    stage: Stage,
) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": dice.pick(&around.namespaces),
            "name": name,
            "labels": selector::draw_labels(dice, POD_LABELS),
        },
        "spec": { "containers": dice.several(1, 2, |dice| draw_container(dice, "main")) },
    });
    if dice.chance(40) {
        pod["spec"]["initContainers"] =
            json!(dice.several(1, 2, |dice| draw_container(dice, "init")));
    }
    let node = dice.try_pick(&around.nodes);
    match node {
        // A node nobody has seen is a node too.
        _ if dice.chance(5) => pod["spec"]["nodeName"] = json!(dice.pick(NODES)),
        Some(node) => pod["spec"]["nodeName"] = json!(node.name),
        None => {}
    }
    enter_stage(dice, around, &mut pod, stage, node);
    pod
}

fn enter_stage(
    dice: &mut Dice,
    around: &Surroundings,
    pod: &mut Value,
    stage: Stage,
    node: Option<&Node>,
) {
    let phase = match stage {
        Stage::New | Stage::Starting => "Pending",
        Stage::Finished => *dice.pick(&["Succeeded", "Failed"]),
        Stage::Running | Stage::Terminating | Stage::HostNetwork => {
            dice.weigh(&[(95, "Running"), (5, "Unknown")])
        }
    };
    pod["status"] = json!({ "phase": phase });
    let addresses = match stage {
        Stage::New => Vec::new(),
        // What it had may be another pod's by now.
        Stage::Finished => draw_addresses(dice, |dice, pool| Some(*dice.pick(pool))),
        Stage::HostNetwork => node.map_or(Vec::new(), |node| node.addresses.clone()),
        Stage::Running | Stage::Starting | Stage::Terminating => {
            draw_addresses(dice, |dice, pool| around.free_address(dice, pool))
        }
    };
    write_addresses(dice, pod, &addresses);
    match stage {
        Stage::HostNetwork => pod["spec"]["hostNetwork"] = json!(true),
        Stage::Terminating => terminate(pod),
        _ if dice.chance(5) => pod["spec"]["hostNetwork"] = json!(false),
        _ => {}
    }
}

pub(super) fn terminate(pod: &mut Value) {
    pod["metadata"]["deletionTimestamp"] = json!("2025-01-01T00:00:00Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
}

/// One of each family, or of one only; the first is the primary one.
fn draw_addresses(
    dice: &mut Dice,
    mut pick: impl FnMut(&mut Dice, &[IpAddr]) -> Option<IpAddr>,
) -> Vec<IpAddr> {
    let families: &[Family] = match dice.weigh(&[(45, 0), (35, 1), (5, 2), (15, 3)]) {
        0 => &[Family::V4],
        1 => &FAMILIES,
        2 => &[Family::V6, Family::V4],
        _ => &[Family::V6],
    };
    families
        .iter()
        .filter_map(|family| pick(dice, &pod_addresses(*family)))
        .collect()
}

/// In `podIP`, `podIPs` or both.
pub(super) fn write_addresses(dice: &mut Dice, pod: &mut Value, addresses: &[IpAddr]) {
    let status = &mut pod["status"];
    let list: Vec<Value> = addresses
        .iter()
        .map(|address| json!({ "ip": address }))
        .collect();
    let Some(first) = addresses.first() else {
        match dice.between(0, 3) {
            0 => status["podIPs"] = json!([]),
            1 => status["podIPs"] = Value::Null,
            _ => {}
        }
        return;
    };
    let single_field = addresses.len() == 1 && dice.chance(10);
    let list_field = dice.chance(10);
    if !list_field || single_field {
        status["podIP"] = json!(first);
    }
    if !single_field {
        status["podIPs"] = json!(list);
    }
}

fn draw_container(dice: &mut Dice, name: &str) -> Value {
    // Names of containers are unique in a pod; nothing here depends on them.
    let mut container =
        json!({ "name": format!("{name}-{}", dice.between(0, 9999)), "image": "image" });
    match dice.between(0, 9) {
        0..=1 => {}
        2 => container["ports"] = json!([]),
        _ => container["ports"] = json!(dice.several(1, 3, draw_container_port)),
    }
    if name == "init" && dice.chance(50) {
        container["restartPolicy"] = json!("Always");
    }
    container
}

/// Few names and numbers, so that pods give one name different numbers, and one name to a TCP and a
/// UDP port.
fn draw_container_port(dice: &mut Dice) -> Value {
    let mut port = json!({ "containerPort": dice.pick(CONTAINER_PORTS) });
    if dice.chance(80) {
        port["name"] = json!(dice.pick(PORT_NAMES));
    }
    if dice.chance(60) {
        port["protocol"] = json!(dice.weigh(&[(50, "TCP"), (40, "UDP"), (10, "SCTP")]));
    }
    port
}
