//! The small pools everything is drawn from.

use std::net::IpAddr;

use ipnet::IpNet;

/// A label key and its usual values. An empty value is one.
pub(super) type Labels = [(&'static str, &'static [&'static str])];

pub(super) const POD_LABELS: &Labels = &[
    ("app", &["web", "db", "cache"]),
    ("tier", &["front", "back", ""]),
    ("env", &["prod", "dev"]),
];

pub(super) const NAMESPACE_LABELS: &Labels =
    &[("team", &["red", "blue"]), ("env", &["prod", "dev", ""])];

/// Every namespace has this one, whether its object says so or not.
pub(super) const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A key nothing is labelled with.
pub(super) const GHOST_KEY: &str = "ghost";

pub(super) const NAMESPACES: &[&str] = &["alpha", "beta", "gamma", "delta"];
pub(super) const NODES: &[&str] = &["node-a", "node-b", "node-c"];

/// Numbers with their neighbours, and the edges of the space.
pub(super) const PORTS: &[u16] = &[
    1, 53, 79, 80, 81, 443, 1023, 1024, 8079, 8080, 8081, 8090, 9090, 32768, 65534, 65535,
];

/// What containers listen on.
pub(super) const CONTAINER_PORTS: &[u16] = &[53, 80, 443, 8080, 9090];

/// Names of container ports; policies also ask for `GHOST_PORT`, which no pod has.
pub(super) const PORT_NAMES: &[&str] = &["http", "dns", "web-1"];
pub(super) const GHOST_PORT: &str = "ghost";

/// Which family of addresses; most things below come in both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Family {
    V4,
    V6,
}

pub(super) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// The addresses pods are given: eight on each of two nodes' ranges, so they are often used again.
pub(super) fn pod_addresses(family: Family) -> Vec<IpAddr> {
    (0..2_u16)
        .flat_map(|range| (1..=8_u16).map(move |host| (range, host)))
        .map(|(range, host)| match family {
            Family::V4 => IpAddr::from([10, 0, range as u8, host as u8]),
            Family::V6 => IpAddr::from([0xfd00, 0, 0, range, 0, 0, 0, host]),
        })
        .collect()
}

/// The addresses nodes are given: the first six internal, the last two external.
pub(super) fn node_addresses(family: Family) -> Vec<IpAddr> {
    let texts: &[&str] = match family {
        Family::V4 => &[
            "192.168.0.1",
            "192.168.0.2",
            "192.168.0.3",
            "192.168.0.4",
            "192.168.1.1",
            "192.168.1.2",
            "198.51.100.1",
            "198.51.100.2",
        ],
        Family::V6 => &[
            "fd00:9::1",
            "fd00:9::2",
            "fd00:9::3",
            "fd00:9::4",
            "fd00:9:0:1::1",
            "fd00:9:0:1::2",
            "2001:db8:100::1",
            "2001:db8:100::2",
        ],
    };
    parse_all(texts)
}

/// Addresses that are never a pod's or a node's, inside and outside of the blocks below. The last
/// of each is the one a node has as its `Hostname`, which makes it no address of the node.
pub(super) fn outside_addresses(family: Family) -> Vec<IpAddr> {
    let texts: &[&str] = match family {
        Family::V4 => &[
            "8.8.8.8",
            "10.0.2.9",
            "10.77.0.1",
            "172.16.0.1",
            "203.0.113.5",
            "203.0.113.130",
            "192.168.0.77",
        ],
        Family::V6 => &[
            "2600::8",
            "fd00:0:0:2::9",
            "fd77::1",
            "2001:db8::5",
            "2001:db8:1::5",
            "fd00:9::77",
        ],
    };
    parse_all(texts)
}

/// The address of the Service with a number; inside one of the blocks below.
pub(super) fn service_address(family: Family, number: u16) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([10, 96, 0, 1 + number as u8]),
        Family::V6 => IpAddr::from([0xfd00, 0x96, 0, 0, 0, 0, 0, 1 + number]),
    }
}

/// Addresses outside that Services have, by luck the same one.
pub(super) fn external_addresses() -> Vec<IpAddr> {
    parse_all(&["203.0.113.200", "198.51.100.200", "2001:db8::200"])
}

/// Nested prefixes, around and across the addresses above.
pub(super) fn blocks(family: Family) -> Vec<IpNet> {
    let texts: &[&str] = match family {
        Family::V4 => &[
            "0.0.0.0/0",
            "0.0.0.0/1",
            "128.0.0.0/1",
            "10.0.0.0/8",
            "10.0.0.0/16",
            "10.0.0.0/23",
            "10.0.0.0/24",
            "10.0.1.0/24",
            "10.0.0.0/29",
            "10.0.0.4/30",
            "10.0.0.4/31",
            "10.0.0.5/32",
            "10.0.1.2/32",
            "192.168.0.0/16",
            "192.168.0.0/30",
            "192.168.0.2/31",
            "192.168.0.1/32",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "203.0.113.128/25",
            "203.0.113.130/32",
        ],
        Family::V6 => &[
            "::/0",
            "::/1",
            "8000::/1",
            "fc00::/7",
            "fd00::/16",
            "fd00::/48",
            "fd00::/64",
            "fd00:0:0:1::/64",
            "fd00::/125",
            "fd00::4/126",
            "fd00::4/127",
            "fd00::5/128",
            "fd00:0:0:1::2/128",
            "fd00:9::/32",
            "fd00:9::/126",
            "fd00:9::2/127",
            "fd00:9::1/128",
            "2001:db8::/32",
            "2001:db8::/48",
            "2001:db8::5/128",
            "2001:db8:100::/48",
        ],
    };
    parse_all(texts)
}

#[allow(clippy::unwrap_used, reason = "the texts are the constants above")]
fn parse_all<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}
