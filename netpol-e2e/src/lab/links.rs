//! Links: how a pod hangs on its node.
//!
//! ```text
//! point to point                              bridge
//! pod A eth0 ---- veth (gateway address,      pod A eth0 ---- veth --+
//!                 host route to A)  |         pod B eth0 ---- veth --+- cni0 (gateway address)
//!                                forward                             |
//! pod B eth0 ---- veth --------------+                            forward
//!                                   |                                |
//! outside eth0 -- up0 (node address)+         outside eth0 -- up0 ---+
//! ```
//! Point to point is what the `ptp` plugin makes, bridge what the `bridge` plugin makes.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    address::{Addresses, POD_GATEWAY},
    command::{self, ip_batch},
    error::{Doing, LabError, Result},
    netns::Netns,
    sweep::building,
};

/// How pods are linked to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// A veth with the gateway's address and a host route for each pod.
    PointToPoint,
    /// All veths on one bridge.
    Bridge,
}

impl Link {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::PointToPoint, Self::Bridge];
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PointToPoint => "point to point",
            Self::Bridge => "bridge",
        })
    }
}

/// One host to be linked to the node.
#[derive(Debug)]
pub(crate) struct Wire<'a> {
    /// The host's namespace, not yet there.
    pub(crate) netns: &'a Netns,
    /// Name of the node's end.
    pub(crate) interface: &'a str,
    /// Its number, if it is to have a certain one.
    pub(crate) ifindex: Option<u32>,
    pub(crate) addresses: Addresses,
    /// The node's address on this wire; unused on a bridge.
    pub(crate) gateway: Addresses,
    pub(crate) link: Link,
}

const BRIDGE: &str = "cni0";
const LOOPBACK_UP: &str = "link set lo up";
/// The kernel gathers changes of links for up to a second.
const LINK_PATIENCE: Duration = Duration::from_secs(5);

/// Makes namespaces, without IPv6's wait for duplicate addresses. Their loopbacks are still down.
fn make_netnses(namespaces: &[&Netns]) -> Result<()> {
    let _guard = building();
    fs::create_dir_all("/var/run").doing(|| "create /var/run".to_owned())?;
    let add = |netns: &&Netns| format!("netns add {}", netns.name());
    ip_batch(None, &namespaces.iter().map(add).collect::<Vec<_>>())?;
    let settings = [
        ("net/ipv6/conf/all/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/all/disable_ipv6", "0"),
        ("net/ipv6/conf/default/disable_ipv6", "0"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
    ];
    namespaces
        .iter()
        .try_for_each(|netns| sysctl(netns, &settings))
}

/// Makes the node's namespace forward, with a bridge if the pods want one.
pub(crate) fn make_node(netns: &Netns, link: Link) -> Result<()> {
    make_netnses(&[netns])?;
    sysctl(
        netns,
        &[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
        ],
    )?;
    let mut lines = vec![LOOPBACK_UP.to_owned()];
    if link == Link::Bridge {
        let gateway = POD_GATEWAY;
        lines.extend([
            format!("link add {BRIDGE} type bridge stp_state 0 mcast_snooping 0"),
            format!("address add {}/24 dev {BRIDGE}", gateway.v4),
            format!("address add {}/64 dev {BRIDGE} nodad", gateway.v6),
            format!("link set {BRIDGE} up"),
        ]);
    }
    ip_batch(Some(netns.name()), &lines)
}

/// Makes the hosts' namespaces, links them to the node, and waits until packets pass.
pub(crate) fn connect(node: &Netns, wires: &[Wire<'_>]) -> Result<()> {
    let namespaces: Vec<&Netns> = wires.iter().map(|wire| wire.netns).collect();
    make_netnses(&namespaces)?;
    let lines: Vec<String> = wires.iter().flat_map(node_lines).collect();
    ip_batch(Some(node.name()), &lines)?;
    for wire in wires {
        ip_batch(Some(wire.netns.name()), &host_lines(wire))?;
    }
    let interfaces: Vec<&str> = wires.iter().map(|wire| wire.interface).collect();
    wait_until_up(node, &interfaces)?;
    for wire in wires {
        wait_until_up(wire.netns, &["eth0"])?;
    }
    Ok(())
}

/// Waits until interfaces pass packets. The kernel brings a link up behind the back of whoever set
/// it up, and gathers such changes for up to a second: until then it drops what is sent, without a
/// word.
fn wait_until_up(netns: &Netns, interfaces: &[&str]) -> Result<()> {
    let deadline = Instant::now() + LINK_PATIENCE;
    loop {
        let mut list = Command::new("ip");
        list.args(["-n", netns.name(), "-o", "link", "show", "up"]);
        let output = command::run(&mut list)?;
        let text = String::from_utf8_lossy(&output.stdout);
        // "5: veth0001@if2: <BROADCAST,...> mtu 1500 qdisc noqueue state UP ..."
        let is_up = |interface: &&str| {
            text.lines().any(|line| {
                let name = line.split([':', '@']).nth(1).map(str::trim);
                name == Some(*interface) && line.contains(" state UP ")
            })
        };
        if interfaces.iter().all(is_up) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(LabError::Command {
                command: command::line(&list),
                status: format!("not all up after {LINK_PATIENCE:?}"),
                stderr: text.into_owned(),
            });
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Tells the neighbours that a host's addresses are now at its interface: a gratuitous ARP and an
/// unsolicited neighbour advertisement, which the kernel sends when the link-layer address is set.
pub(crate) fn announce(netns: &Netns) -> Result<()> {
    let settings = [
        ("net/ipv4/conf/eth0/arp_notify", "1"),
        ("net/ipv6/conf/eth0/ndisc_notify", "1"),
    ];
    sysctl(netns, &settings)?;
    let mut show = Command::new("ip");
    show.args(["-n", netns.name(), "-o", "link", "show", "eth0"]);
    let output = command::run(&mut show)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace();
    let mac = words.find(|word| *word == "link/ether").and(words.next());
    let set = |mac| {
        ip_batch(
            Some(netns.name()),
            &[format!("link set eth0 address {mac}")],
        )
    };
    mac.map_or(Ok(()), set)
}

/// Cuts the node's end of a wire at once; the removal of a namespace alone does it some time later.
pub(crate) fn disconnect(node: &Netns, interface: &str) -> Result<()> {
    ip_batch(Some(node.name()), &[format!("link del {interface}")])
}

fn node_lines(wire: &Wire<'_>) -> Vec<String> {
    let Wire {
        interface,
        addresses,
        gateway,
        ..
    } = wire;
    let index = wire.ifindex.map(|index| format!(" index {index}"));
    let mut lines = vec![format!(
        "link add {interface}{} type veth peer name eth0 netns {}",
        index.unwrap_or_default(),
        wire.netns.name()
    )];
    match wire.link {
        Link::PointToPoint => lines.extend([
            format!("address add {}/32 dev {interface}", gateway.v4),
            format!("address add {}/128 dev {interface} nodad", gateway.v6),
            format!("link set {interface} up"),
            format!("route add {}/32 dev {interface}", addresses.v4),
            format!("route add {}/128 dev {interface}", addresses.v6),
        ]),
        Link::Bridge => lines.push(format!("link set {interface} master {BRIDGE} up")),
    }
    lines
}

fn host_lines(wire: &Wire<'_>) -> Vec<String> {
    let Wire {
        addresses, gateway, ..
    } = wire;
    let (v4_len, v6_len) = match wire.link {
        Link::PointToPoint => (32, 128),
        Link::Bridge => (24, 64),
    };
    let mut lines = vec![
        LOOPBACK_UP.to_owned(),
        format!("address add {}/{v4_len} dev eth0", addresses.v4),
        format!("address add {}/{v6_len} dev eth0 nodad", addresses.v6),
        "link set eth0 up".to_owned(),
    ];
    if wire.link == Link::PointToPoint {
        lines.push(format!("route add {}/32 dev eth0", gateway.v4));
        lines.push(format!("route add {}/128 dev eth0", gateway.v6));
    }
    lines.push(format!("route add default via {} dev eth0", gateway.v4));
    lines.push(format!("route add default via {} dev eth0", gateway.v6));
    lines
}

/// Sets values under `/proc/sys`, which shows the network of whoever looks.
pub(crate) fn sysctl(netns: &Netns, settings: &[(&str, &str)]) -> Result<()> {
    let apply = || {
        settings.iter().try_for_each(|(key, value)| {
            let path = format!("/proc/sys/{key}");
            fs::write(&path, value).doing(|| format!("write {value} to {path}"))
        })
    };
    netns
        .inside(apply)
        .doing(|| format!("enter network namespace {}", netns.name()))?
}
