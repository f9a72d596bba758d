//! Which packets are worth asking about.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::oracle::{Probe, Protocol};

use super::Cluster;
use super::dice::Dice;
use super::surroundings::{Surroundings, addresses_of, is_finished};
use super::vocabulary::{FAMILIES, Family, PORTS, outside_addresses, pod_addresses};

/// How many probes a cluster is asked at most. Fewer where chance draws one twice.
const PROBES: usize = 120;

/// Probes between the addresses that matter to the cluster, on the ports that matter: the same ones
/// for the same cluster and seed. Most have a pod at one end at least, since nobody else is judged.
///
/// The addresses pods may have had before, or will have, are among them.
pub fn probes(cluster: &Cluster, seed: u64) -> Vec<Probe> {
    let dice = &mut Dice::new(seed);
    let ends = FAMILIES.map(|family| Ends::of(cluster, family));
    let ports = interesting_ports(cluster);
    let mut probes = BTreeSet::new();
    for _ in 0..PROBES {
        let ends = &ends[usize::from(dice.chance(40))];
        if dice.chance(30)
            && let Some(probe) = ends.draw_to_service(dice)
        {
            probes.insert(probe);
            continue;
        }
        let Some((from, to)) = ends.draw(dice) else {
            continue;
        };
        let (protocol, port) = draw_port(dice, to, &ports);
        probes.insert(Probe {
            from: from.address,
            to: to.address,
            protocol,
            port,
        });
    }
    probes.into_iter().collect()
}

/// The addresses of one family, by what they are.
struct Ends {
    live_pods: Vec<End>,
    nodes: Vec<End>,
    others: Vec<End>,
    /// What Services answer for, at which ports; addresses of nodes among them.
    frontends: Vec<(IpAddr, Protocol, u16)>,
}

struct End {
    address: IpAddr,
    /// The pod it belongs to, by number.
    pod: Option<usize>,
    /// What is listened on there, by name or not.
    container_ports: Vec<(Protocol, u16)>,
}

impl Ends {
    fn of(cluster: &Cluster, family: Family) -> Self {
        let is_of_family = |address: &IpAddr| address.is_ipv4() == (family == Family::V4);
        let pods = cluster.of_kind("Pod");
        let (finished, live): (Vec<_>, Vec<_>) = pods
            .into_iter()
            .enumerate()
            .partition(|(_, pod)| is_finished(pod));

        let mut live_pods = Vec::new();
        for (number, pod) in live {
            for address in addresses_of(pod) {
                live_pods.push(End {
                    address,
                    pod: Some(number),
                    container_ports: container_ports(pod),
                });
            }
        }
        live_pods.retain(|end| is_of_family(&end.address));

        let nowhere = |address| End {
            address,
            pod: None,
            container_ports: Vec::new(),
        };
        let nodes = Surroundings::of(cluster)
            .nodes
            .into_iter()
            .flat_map(|node| node.addresses);
        let others = finished
            .into_iter()
            .flat_map(|(_, pod)| addresses_of(pod))
            .chain(outside_addresses(family))
            .chain(pod_addresses(family))
            .chain(
                cluster
                    .of_kind("NetworkPolicy")
                    .into_iter()
                    .flat_map(block_edges),
            );
        Self {
            live_pods,
            frontends: frontends(cluster)
                .into_iter()
                .filter(|(address, ..)| is_of_family(address))
                .collect(),
            nodes: nodes.filter(is_of_family).map(nowhere).collect(),
            others: others
                .filter(is_of_family)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .map(nowhere)
                .collect(),
        }
    }

    /// From a pod to a Service, now and then at a port or protocol that it does not have.
    fn draw_to_service(&self, dice: &mut Dice) -> Option<Probe> {
        let (to, protocol, port) = *dice.try_pick(&self.frontends)?;
        let from = dice.try_pick(&self.live_pods)?.address;
        let (protocol, port) = match dice.weigh(&[(88, 0), (6, 1), (6, 2)]) {
            0 => (protocol, Some(port)),
            1 => (protocol, Some(port + 1)),
            _ => (Protocol::Icmp, None),
        };
        Some(Probe {
            from,
            to,
            protocol,
            port,
        })
    }

    fn draw(&self, dice: &mut Dice) -> Option<(&End, &End)> {
        let to = match dice.weigh(&[(72, 0), (8, 1), (20, 2)]) {
            0 => dice.try_pick(&self.live_pods),
            1 => dice.try_pick(&self.nodes),
            _ => dice.try_pick(&self.others),
        }?;
        let from = match dice.weigh(&[(58, 0), (12, 1), (25, 2), (5, 3)]) {
            0 => dice.try_pick(&self.live_pods),
            1 => dice.try_pick(&self.nodes),
            2 => dice.try_pick(&self.others),
            _ => {
                let same_pod: Vec<&End> = self
                    .live_pods
                    .iter()
                    .filter(|end| end.pod == to.pod)
                    .collect();
                dice.try_pick(&same_pod).copied()
            }
        }?;
        let judged = from.pod.is_some() || to.pod.is_some();
        (judged || dice.chance(15)).then_some((from, to))
    }
}

fn draw_port(dice: &mut Dice, to: &End, ports: &[u16]) -> (Protocol, Option<u16>) {
    if dice.chance(30)
        && let Some((protocol, port)) = dice.try_pick(&to.container_ports)
    {
        return (*protocol, Some(*port));
    }
    let protocol = dice.weigh(&[
        (50, Protocol::Tcp),
        (24, Protocol::Udp),
        (10, Protocol::Sctp),
        (10, Protocol::Icmp),
        (3, Protocol::Other(47)),
        (3, Protocol::Other(50)),
    ]);
    let has_ports = matches!(protocol, Protocol::Tcp | Protocol::Udp | Protocol::Sctp);
    (protocol, has_ports.then(|| *dice.pick(ports)))
}

/// The addresses and ports of Services.
fn frontends(cluster: &Cluster) -> Vec<(IpAddr, Protocol, u16)> {
    let mut found = Vec::new();
    let nodes = Surroundings::of(cluster).nodes;
    for service in cluster.of_kind("Service") {
        let spec = &service["spec"];
        let mut addresses: Vec<IpAddr> = Vec::new();
        for list in [&spec["clusterIPs"], &spec["externalIPs"]] {
            let list = list.as_array().into_iter().flatten();
            addresses.extend(list.filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok()));
        }
        let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
        let ingress = ingress.into_iter().flatten();
        addresses.extend(ingress.filter_map(|i| i["ip"].as_str()?.parse::<IpAddr>().ok()));
        for port in spec["ports"].as_array().into_iter().flatten() {
            let protocol = match port["protocol"].as_str() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            };
            let number = |field: &str| port[field].as_u64().and_then(|n| u16::try_from(n).ok());
            if let Some(number) = number("port") {
                found.extend(addresses.iter().map(|address| (*address, protocol, number)));
            }
            if let Some(number) = number("nodePort") {
                let nodes = nodes.iter().flat_map(|node| &node.addresses);
                found.extend(nodes.map(|address| (*address, protocol, number)));
            }
        }
    }
    found
}

/// Every number that stands for a port in the cluster, its neighbours, and a few that may not.
fn interesting_ports(cluster: &Cluster) -> Vec<u16> {
    let mut numbers: BTreeSet<u16> = [PORTS[0], PORTS[3], PORTS[PORTS.len() - 1]].into();
    for object in &cluster.objects {
        walk(object, &mut |key, value| {
            let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
            if let (Some(number), "port" | "endPort" | "containerPort") = (number, key) {
                numbers.extend([number.saturating_sub(1), number, number.saturating_add(1)]);
            }
        });
    }
    numbers.remove(&0);
    numbers.into_iter().collect()
}

/// First and last address of every block and except, and the ones just outside.
fn block_edges(policy: &Value) -> Vec<IpAddr> {
    let mut edges = Vec::new();
    walk(policy, &mut |key, value| {
        let net = value.as_str().and_then(|text| text.parse::<IpNet>().ok());
        if let (Some(net), "cidr" | "except") = (net, key) {
            edges.extend([net.network(), net.broadcast()]);
            edges.extend(neighbour(net.network(), -1));
            edges.extend(neighbour(net.broadcast(), 1));
        }
    });
    edges.retain(|edge| !matches!(edge, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()));
    edges
}

fn neighbour(address: IpAddr, step: i8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4
            .to_bits()
            .checked_add_signed(step.into())
            .map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6
            .to_bits()
            .checked_add_signed(step.into())
            .map(|bits| IpAddr::V6(bits.into())),
    }
}

fn container_ports(pod: &Value) -> Vec<(Protocol, u16)> {
    let mut ports = Vec::new();
    walk(&pod["spec"], &mut |key, value| {
        let number = value["containerPort"]
            .as_u64()
            .and_then(|number| u16::try_from(number).ok());
        if let (Some(number), "ports") = (number, key) {
            let protocol = match value["protocol"].as_str() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            };
            ports.push((protocol, number));
        }
    });
    ports
}

/// Visits every value in an object's tree with the name of the field it stands in; the items of a
/// list stand in the list's.
fn walk<'v>(value: &'v Value, visit: &mut impl FnMut(&'v str, &'v Value)) {
    fn step<'v>(key: &'v str, value: &'v Value, visit: &mut impl FnMut(&'v str, &'v Value)) {
        visit(key, value);
        match value {
            Value::Object(fields) => fields
                .iter()
                .for_each(|(key, value)| step(key, value, visit)),
            Value::Array(items) => items.iter().for_each(|item| step(key, item, visit)),
            _ => {}
        }
    }
    step("", value, visit);
}
