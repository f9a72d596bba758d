//! Policies as their author means them: who may reach whom on which ports.

use core::net::IpAddr;

use netpol_common::Direction;
use netpol_common::protocol::{SCTP, TCP, UDP};

use crate::node::{self, Net};

/// Whom a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// A pod, by its labels.
    Friend,
    /// Another.
    Guest,
    /// Every pod.
    AnyPod,
    /// A prefix outside.
    Near,
    /// A longer one inside of it.
    Nearer,
    /// Everyone.
    Anyone,
}

impl Term {
    pub(crate) fn matches(self, address: IpAddr) -> bool {
        let net = Net::of(address);
        match self {
            Self::Friend => address == net.friend,
            Self::Guest => address == net.guest,
            Self::AnyPod => net.pods().contains(&address),
            Self::Near => node::within(address, net.near_prefix),
            Self::Nearer => node::within(address, net.nearer_prefix),
            Self::Anyone => true,
        }
    }

    /// Whether it stands for whoever is not named.
    pub(crate) const fn is_wildcard(self) -> bool {
        matches!(self, Self::AnyPod | Self::Anyone)
    }

    pub(crate) const fn is_prefix(self) -> bool {
        matches!(self, Self::Near | Self::Nearer)
    }
}

/// The ports of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ports {
    /// It names none: everything, protocols without ports too.
    All,
    /// Those that agree with one in their first so many bits.
    Some { protocol: u8, port: u16, bits: u32 },
}

impl Ports {
    const fn one(protocol: u8, port: u16) -> Self {
        Self::Some {
            protocol,
            port,
            bits: 16,
        }
    }

    /// How exactly a port is named, if it is.
    fn names(self, asked: u8, asked_port: u16) -> Option<u32> {
        match self {
            Self::All => None,
            Self::Some {
                protocol,
                port,
                bits,
            } => {
                let size = 1_u32 << (16 - bits);
                let same = u32::from(port) / size == u32::from(asked_port) / size;
                (protocol == asked && same).then_some(bits)
            }
        }
    }
}

/// The rules that a policy may be made of, by bit of [`Rules::mask`].
pub(crate) const RULES: [(Term, Ports); 16] = [
    (Term::Friend, Ports::All),
    (Term::Friend, Ports::one(TCP, 80)),
    (Term::Guest, Ports::one(TCP, 80)),
    (Term::Guest, Ports::one(UDP, 53)),
    (Term::Guest, Ports::one(SCTP, 5060)),
    (
        Term::Guest,
        Ports::Some {
            protocol: TCP,
            port: 8080,
            bits: 12,
        },
    ),
    (Term::AnyPod, Ports::one(UDP, 53)),
    (Term::AnyPod, Ports::one(TCP, 443)),
    (Term::Near, Ports::All),
    (Term::Near, Ports::one(TCP, 80)),
    (
        Term::Nearer,
        Ports::Some {
            protocol: UDP,
            port: 0,
            bits: 0,
        },
    ),
    (Term::Nearer, Ports::All),
    (Term::Anyone, Ports::one(TCP, 443)),
    (Term::Anyone, Ports::All),
    (Term::Anyone, Ports::one(UDP, 53)),
    (
        Term::Friend,
        Ports::Some {
            protocol: UDP,
            port: 0,
            bits: 0,
        },
    ),
];

/// The policies of a pod in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) isolated: bool,
    /// Which of [`RULES`].
    pub(crate) mask: u16,
    /// Whether what is refused is answered.
    pub(crate) reject: bool,
}

impl Rules {
    /// The rules in force, with their places among [`RULES`].
    pub(crate) fn each(self) -> impl Iterator<Item = (u32, Term, Ports)> {
        (0..)
            .zip(RULES)
            .filter(move |(bit, _)| self.mask & (1 << bit) != 0)
            .map(|(bit, (term, ports))| (bit, term, ports))
    }

    /// The rule that allows a connection, by its place.
    ///
    /// Where several do, one that names no ports goes before, then one that names them more
    /// exactly, then the first.
    pub(crate) fn allowing(self, peer: IpAddr, protocol: u8, port: u16) -> Option<u32> {
        let matching = || self.each().filter(|(_, term, _)| term.matches(peer));
        let whole = matching().find(|(_, _, ports)| matches!(ports, Ports::All));
        if let Some((bit, ..)) = whole {
            return Some(bit);
        }
        let mut best: Option<(u32, u32)> = None;
        for (bit, _, ports) in matching() {
            if let Some(bits) = ports.names(protocol, port)
                && best.is_none_or(|(most, _)| bits > most)
            {
                best = Some((bits, bit));
            }
        }
        best.map(|(_, bit)| bit)
    }
}

/// The counter of a rule.
pub(crate) const fn rule_number(pod: usize, direction: Direction, bit: u32) -> u32 {
    100 + pod as u32 * 64 + direction as u32 * 32 + bit
}

/// The counter of a default deny.
pub(crate) const fn deny_number(pod: usize, direction: Direction) -> u32 {
    80 + pod as u32 * 2 + direction as u32
}
