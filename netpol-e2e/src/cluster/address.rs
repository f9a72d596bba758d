//! Who gets which address. Every cluster uses the same ones inside: clusters do not share a network. Only the wire from
//! this computer to the API server has a number.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::lab::Addresses;

/// The control plane, as the nodes see it.
pub const CONTROL_PLANE: Addresses = fabric(1);
/// A host beside the nodes, outside the cluster, with routes to its pods.
pub const OUTSIDE: Addresses = fabric(250);
/// The Service of the API server.
pub const API_SERVICE: Addresses = service(1);
/// The Service of DNS (`kube-dns`).
pub const DNS: Addresses = service(10);
/// All pods.
pub const POD_CIDRS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];
/// All Services.
pub const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
/// The port of the API server, at all its addresses.
pub const API_PORT: u16 = 6443;
/// How many clusters can be up at once.
pub const MOST_CLUSTERS: u8 = 63;

/// Prefix lengths of the fabric's networks.
pub(super) const FABRIC_LENGTHS: [u8; 2] = [24, 64];

const fn fabric(host: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(172, 30, 0, host),
        v6: Ipv6Addr::new(0xfd00, 0x30, 0, 0, 0, 0, 0, host as u16),
    }
}

const fn service(host: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(10, 96, 0, host),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, host as u16),
    }
}

/// A node, counted from 1.
pub const fn node(number: u8) -> Addresses {
    fabric(10 + number)
}

/// A node's pods, `.0` and `::` first.
pub const fn pod_network(node: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(10, 244, node, 0),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, node as u16, 0, 0, 0, 0),
    }
}

/// A node's pods, as CIDRs.
pub fn pod_cidrs(node: u8) -> [String; 2] {
    let Addresses { v4, v6 } = pod_network(node);
    [format!("{v4}/24"), format!("{v6}/64")]
}

/// The ends of the wire between this machine and the control plane, by the wire's number: (control plane, this
/// computer). Link-local, so that nothing is routed there by mistake.
pub const fn doorstep(wire: u8) -> (Ipv4Addr, Ipv4Addr) {
    let base = wire * 4;
    (
        Ipv4Addr::new(169, 254, 201, base + 1),
        Ipv4Addr::new(169, 254, 201, base + 2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doorsteps_do_not_meet() {
        let (last, _) = doorstep(MOST_CLUSTERS - 1);
        assert_eq!(last, Ipv4Addr::new(169, 254, 201, 249));
        assert_ne!(doorstep(0), doorstep(1));
    }

    #[test]
    fn pods_of_a_node_are_among_all_pods() {
        assert_eq!(pod_cidrs(2), ["10.244.2.0/24", "fd00:10:244:2::/64"]);
    }
}
