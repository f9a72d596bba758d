//! Who gets which address. Every lab uses the same ones: labs do not share a network.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6.
    #[serde(rename = "ipv6")]
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        })
    }
}

/// The two addresses of a host; every host is dual stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6.
    pub v6: Ipv6Addr,
}

impl Addresses {
    /// The address of one family.
    pub fn of(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// Both, IPv4 first.
    pub fn both(self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// Whether `address` is one of them.
    pub fn contains(self, address: IpAddr) -> bool {
        self.both().contains(&address)
    }
}

/// The gateway of this node's pods: on every veth (point to point) or on the bridge.
pub(crate) const POD_GATEWAY: Addresses = pod(1);
/// The pods of this node, as the bridge's subnet and in the Node object.
pub(crate) const POD_CIDRS: [&str; 2] = ["10.244.0.0/24", "fd00:10:244::/64"];
/// The node's own address, on its first uplink.
pub(crate) const NODE: Addresses = uplink(0);

/// Address `n` in this node's pod range; 1 is the gateway.
pub(crate) const fn pod(n: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(10, 244, 0, n),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, n as u16),
    }
}

/// Address `n` in the pod range of another node.
pub(crate) const fn remote_pod(n: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(10, 244, 1, n),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, 1, 0, 0, 0, n as u16),
    }
}

/// The node's end of uplink `n`.
pub(crate) const fn uplink(n: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(172, 20, n, 1),
        v6: Ipv6Addr::new(0xfd00, 0x20, n as u16, 0, 0, 0, 0, 1),
    }
}

/// The host at the far end of uplink `n`, if it is not a pod.
pub(crate) const fn outside(n: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(172, 20, n, 10),
        v6: Ipv6Addr::new(0xfd00, 0x20, n as u16, 0, 0, 0, 0, 0x10),
    }
}
