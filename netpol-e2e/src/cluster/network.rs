//! The fabric: how machines are linked, and how pods of one node reach those of another.
//!
//! ```text
//! this computer                 netns of the control plane
//!   npwN 169.254.201.x ───────── door      the API server listens on all
//!                                br0 172.30.0.1 ─┬─ to-node1 ── eth0 node1 172.30.0.11
//!                                                ├─ to-node2 ── eth0 node2 172.30.0.12
//!                                                └─ to-outside ─ eth0 outside 172.30.0.250
//! ```
//! Everyone but a node of a flannel-like cluster reaches the pods of a node through that node's address. There, nodes
//! wrap what they send each other into VXLAN, with the entries flannel writes: a route, a neighbour, a forwarding entry
//! for each other node.

use super::{
    address::{self, CONTROL_PLANE, FABRIC_LENGTHS, MOST_CLUSTERS, OUTSIDE, SERVICE_CIDRS},
    error::{ClusterError, Result},
    machine::Machine,
    options::{Cni, Options},
};
use crate::lab::{Addresses, LabError, command::ip_batch};

const FABRIC: &str = "br0";
const VXLAN: &str = "flannel.1";
/// VXLAN takes 50 bytes of the fabric's 1500.
pub(super) const VXLAN_MTU: u16 = 1450;

/// The control plane's end of the wire to this computer.
const DOOR: &str = "door";

/// Lays the wire between this computer and the control plane; returns its number. The kernel gives a name once, so that
/// clusters agree on numbers whoever brings them up.
pub(super) fn lay_wire(machine: &Machine) -> Result<u8> {
    let netns = machine.netns().name();
    for number in 0..MOST_CLUSTERS {
        let interface = format!("npw{number}");
        let add = format!("link add {interface} type veth peer name {DOOR} netns {netns}");
        match ip_batch(None, &[add]) {
            Err(LabError::Command { stderr, .. }) if stderr.contains("File exists") => continue,
            other => other?,
        }
        let (theirs, ours) = address::doorstep(number);
        ip_batch(
            None,
            &[
                format!("address add {ours}/30 dev {interface}"),
                format!("link set {interface} up"),
            ],
        )?;
        let lines = [
            format!("address add {theirs}/30 dev {DOOR}"),
            format!("link set {DOOR} up"),
        ];
        ip_batch(Some(netns), &lines)?;
        return Ok(number);
    }
    Err(ClusterError::TooMany(MOST_CLUSTERS))
}

/// Removes both ends at once: the end of a namespace alone does it some time later.
pub(super) fn cut_wire(netns: &str) {
    // There is none if the cluster is up by half.
    let _ = ip_batch(Some(netns), &[format!("link del {DOOR}")]);
}

/// The bridge in the control plane's namespace.
pub(super) fn make_fabric(machine: &Machine) -> Result<()> {
    let [v4_length, v6_length] = FABRIC_LENGTHS;
    let lines = [
        format!("link add {FABRIC} type bridge stp_state 0 mcast_snooping 0"),
        format!("address add {}/{v4_length} dev {FABRIC}", CONTROL_PLANE.v4),
        format!(
            "address add {}/{v6_length} dev {FABRIC} nodad",
            CONTROL_PLANE.v6
        ),
        format!("link set {FABRIC} up"),
    ];
    Ok(ip_batch(Some(machine.netns().name()), &lines)?)
}

/// Routes of the control plane to all pods: once the nodes' addresses can be reached.
pub(super) fn route_control_plane(machine: &Machine, options: &Options) -> Result<()> {
    let lines: Vec<String> = (1..=options.nodes).flat_map(through_node).collect();
    Ok(ip_batch(Some(machine.netns().name()), &lines)?)
}

/// Links a machine to the fabric.
fn plug_in(control_plane: &Machine, machine: &Machine, addresses: Addresses) -> Result<()> {
    let port = format!("to-{}", machine.name());
    let [v4_length, v6_length] = FABRIC_LENGTHS;
    ip_batch(
        Some(control_plane.netns().name()),
        &[
            format!(
                "link add {port} type veth peer name eth0 netns {}",
                machine.netns().name()
            ),
            format!("link set {port} master {FABRIC} up"),
        ],
    )?;
    let lines = [
        format!("address add {}/{v4_length} dev eth0", addresses.v4),
        format!("address add {}/{v6_length} dev eth0 nodad", addresses.v6),
        "link set eth0 up".to_owned(),
        format!("route add default via {}", CONTROL_PLANE.v4),
        format!("route add default via {}", CONTROL_PLANE.v6),
    ];
    Ok(ip_batch(Some(machine.netns().name()), &lines)?)
}

/// Links the host outside, which reaches pods through their nodes and Services through the first one.
pub(super) fn link_outside(
    control_plane: &Machine,
    machine: &Machine,
    options: &Options,
) -> Result<()> {
    plug_in(control_plane, machine, OUTSIDE)?;
    let mut lines: Vec<String> = (1..=options.nodes).flat_map(through_node).collect();
    let first = address::node(1);
    lines.push(format!("route add {} via {}", SERVICE_CIDRS[0], first.v4));
    lines.push(format!("route add {} via {}", SERVICE_CIDRS[1], first.v6));
    Ok(ip_batch(Some(machine.netns().name()), &lines)?)
}

/// Links a node, with routes to the pods of the others.
pub(super) fn link_node(
    control_plane: &Machine,
    machine: &Machine,
    number: u8,
    options: &Options,
) -> Result<()> {
    plug_in(control_plane, machine, address::node(number))?;
    let others = (1..=options.nodes).filter(|other| *other != number);
    if options.cni != Cni::FlannelLike {
        let lines: Vec<String> = others.flat_map(through_node).collect();
        return Ok(ip_batch(Some(machine.netns().name()), &lines)?);
    }
    let mut lines = vxlan(number);
    lines.extend(others.clone().flat_map(through_vxlan));
    ip_batch(Some(machine.netns().name()), &lines)?;
    for other in others {
        let (mac, node) = (vxlan_mac(other), address::node(other).v4.to_string());
        machine.run(&["bridge", "fdb", "append", &mac, "dev", VXLAN, "dst", &node])?;
    }
    Ok(())
}

fn through_node(number: u8) -> Vec<String> {
    let node = address::node(number);
    let [v4, v6] = address::pod_cidrs(number);
    vec![
        format!("route add {v4} via {}", node.v4),
        format!("route add {v6} via {}", node.v6),
    ]
}

fn vxlan_mac(node: u8) -> String {
    format!("02:6e:70:00:00:{node:02x}")
}

fn vxlan(number: u8) -> Vec<String> {
    let own = address::pod_network(number);
    vec![
        format!(
            "link add {VXLAN} address {} mtu {VXLAN_MTU} type vxlan id 1 local {} dev eth0 dstport 8472 nolearning",
            vxlan_mac(number),
            address::node(number).v4
        ),
        format!("address add {}/32 dev {VXLAN}", own.v4),
        format!("address add {}/128 dev {VXLAN} nodad", own.v6),
        format!("link set {VXLAN} up"),
    ]
}

fn through_vxlan(other: u8) -> Vec<String> {
    let far = address::pod_network(other);
    let [v4, v6] = address::pod_cidrs(other);
    let mac = vxlan_mac(other);
    vec![
        format!(
            "neighbour add {} lladdr {mac} dev {VXLAN} nud permanent",
            far.v4
        ),
        format!(
            "neighbour add {} lladdr {mac} dev {VXLAN} nud permanent",
            far.v6
        ),
        format!("route add {v4} via {} dev {VXLAN} onlink", far.v4),
        format!("route add {v6} via {} dev {VXLAN} onlink", far.v6),
    ]
}
