//! Packets that follow one another, each of another peer or port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netpol_common::Direction;
use netpol_datapath::build::{packet, tcp};
use serde::Serialize;

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// As people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// An address of a network by its number: of IPv4 all of it, of IPv6 the last word.
    #[must_use]
    pub const fn address(self, number: u32) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::from_bits(number)),
            Self::V6 => IpAddr::V6(Ipv6Addr::from_bits(0xfd00 << 112 | number as u128)),
        }
    }
}

/// Where in a frame the peer's address (its last word) and the ports are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Shape {
    /// IPv4, from the peer.
    FromPeerV4 = 0,
    /// IPv4, to the peer.
    ToPeerV4 = 1,
    /// IPv6, from the peer.
    FromPeerV6 = 2,
    /// IPv6, to the peer.
    ToPeerV6 = 3,
}

impl Shape {
    /// Of the packets of a family that a program sees.
    #[must_use]
    pub const fn of(family: Family, direction: Direction) -> Self {
        match (family, direction) {
            (Family::V4, Direction::Ingress) => Self::FromPeerV4,
            (Family::V4, Direction::Egress) => Self::ToPeerV4,
            (Family::V6, Direction::Ingress) => Self::FromPeerV6,
            (Family::V6, Direction::Egress) => Self::ToPeerV6,
        }
    }
}

/// TCP packets between a pod and its peers.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The first packet.
    pub frame: Vec<u8>,
    /// Where it differs from the others.
    pub shape: Shape,
    /// How many peers there are; a packet is of any of them.
    pub peers: u32,
    /// The number of the first one's address.
    pub first: u32,
    /// Source port << 16 | destination port, of the first packet.
    pub ports: u32,
    /// What each packet's ports are more than those of the one before.
    pub step: u32,
}

/// What [`Walk::tcp`] is told of the packets' ports and flags.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// The peer's port.
    pub remote: u16,
    /// The pod's port.
    pub local: u16,
    /// TCP flags.
    pub flags: u8,
}

impl Walk {
    /// Segments between the pod and so many peers, whose addresses follow one another.
    #[must_use]
    pub fn tcp(
        family: Family,
        direction: Direction,
        pod: IpAddr,
        (first, peers): (u32, u32),
        segment: Segment,
    ) -> Self {
        let peer = family.address(first);
        let Segment {
            remote,
            local,
            flags,
        } = segment;
        let (source, destination, frame) = match direction {
            Direction::Egress => (local, remote, packet(pod, peer)),
            Direction::Ingress => (remote, local, packet(peer, pod)),
        };
        Self {
            frame: frame.tcp(source, destination, flags),
            shape: Shape::of(family, direction),
            peers,
            first,
            ports: u32::from(source) << 16 | u32::from(destination),
            step: 0,
        }
    }

    /// The same, but each from another port of who sends it.
    #[must_use]
    pub fn opening(self) -> Self {
        Self {
            step: 1 << 16,
            ..self
        }
    }
}

/// A segment that opens a connection, and one of the middle.
pub(super) const SYN: u8 = tcp::SYN;
pub(super) const ACK: u8 = tcp::ACK;
