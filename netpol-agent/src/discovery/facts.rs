//! What the kernel says about links, routes, neighbours and bridges, as far as it matters here.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

/// A link-layer address.
pub(crate) type Mac = [u8; 6];

/// A snapshot of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// By interface index.
    pub(crate) links: HashMap<u32, Link>,
    /// What the routing tables answer for an address.
    pub(crate) routes: HashMap<IpAddr, Route>,
    /// Neighbours whose link-layer address is known, by interface and address.
    pub(crate) neighbours: HashMap<(u32, IpAddr), Neighbour>,
    /// Learned and static entries of bridges.
    pub(crate) forwarding: Vec<Forwarding>,
    /// Interfaces that a default route, or a route by way of a gateway, leaves by.
    pub(crate) uplinks: BTreeSet<u32>,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) kind: LinkKind,
    /// The bridge (or bond, or VRF) it is a port of.
    pub(crate) controller: Option<u32>,
    /// Its other end is in another network namespace.
    pub(crate) peer_elsewhere: bool,
}

/// Kinds of interfaces, as far as they differ here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// One end of a pair; the other is usually in a pod.
    Veth,
    /// A pair made for pods.
    Netkit,
    /// A device that a process serves: a virtual machine's.
    Tun,
    /// A bridge: pods are behind its ports.
    Bridge,
    /// The loopback interface.
    Loopback,
    /// Anything else, by the kernel's word; `device` for hardware, which has none.
    Other(String),
}

/// The answer of the routing tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// On the link itself, by a route of that prefix length.
    OnLink { ifindex: u32, prefix: u8 },
    /// By way of a gateway: elsewhere.
    Gateway { ifindex: u32 },
    /// An address of the node itself.
    Local,
    /// No route, or one that refuses.
    None,
}

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) mac: Mac,
    /// Somebody wrote it down; the kernel does not find out.
    pub(crate) fixed: bool,
}

/// An entry of a bridge's forwarding table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarding {
    pub(crate) bridge: u32,
    pub(crate) port: u32,
    pub(crate) mac: Mac,
}

impl Link {
    /// Why no pod can be right behind this interface; none if one can.
    pub(crate) fn refusal(&self) -> Option<String> {
        match &self.kind {
            LinkKind::Veth if !self.peer_elsewhere => Some(format!(
                "both ends of {} are in the node's network namespace",
                self.name
            )),
            LinkKind::Veth | LinkKind::Netkit | LinkKind::Tun => None,
            LinkKind::Bridge => Some(format!("{} is a bridge", self.name)),
            LinkKind::Loopback => Some("it is the node's own address".to_owned()),
            LinkKind::Other(kind) => Some(format!(
                "{} is a {kind} interface, which carries more than one pod's traffic",
                self.name
            )),
        }
    }
}
