//! A question, and its packets: one that opens a connection, and the answer to it.

use std::net::IpAddr;

use netpol_datapath::build::{self, chunk, tcp};
use thiserror::Error;

use super::traffic::Traffic;

/// The port that a probe comes from, one of those that Linux gives out (32768 to 60999).
const SOURCE_PORT: u16 = 40_000;
/// A verification tag of an SCTP association; any will do.
const TAG: u32 = 1;
/// The identifier of a probe's ping.
const IDENTIFIER: u16 = 1;

/// May this address open such a connection to that one?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    from: IpAddr,
    to: IpAddr,
    traffic: Traffic,
}

/// Addresses between which such a packet cannot go.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum FamilyError {
    #[error("{from} and {to} are of different families")]
    Different { from: IpAddr, to: IpAddr },
    #[error("{0} is IPv4, and ICMPv6 is IPv6's: say ICMP")]
    Icmp(IpAddr),
}

impl Probe {
    /// A question; both addresses must be of one family, that of the protocol.
    pub(crate) fn new(from: IpAddr, to: IpAddr, traffic: Traffic) -> Result<Self, FamilyError> {
        if from.is_ipv4() != to.is_ipv4() {
            return Err(FamilyError::Different { from, to });
        }
        if traffic == Traffic::Ping6 && from.is_ipv4() {
            return Err(FamilyError::Icmp(from));
        }
        Ok(Self { from, to, traffic })
    }

    /// Who opens the connection.
    pub(crate) fn from(&self) -> IpAddr {
        self.from
    }

    /// To whom.
    pub(crate) fn to(&self) -> IpAddr {
        self.to
    }

    /// What kind of connection.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The first packet of the connection.
    pub(super) fn request(&self) -> Vec<u8> {
        let packet = build::packet(self.from, self.to);
        match self.traffic {
            Traffic::Tcp(port) => packet.tcp(SOURCE_PORT, port.get(), tcp::SYN),
            Traffic::Udp(port) => packet.udp(SOURCE_PORT, port.get()),
            Traffic::Sctp(port) => packet.sctp(SOURCE_PORT, port.get()),
            Traffic::Ping | Traffic::Ping6 => packet.echo_request(IDENTIFIER),
            Traffic::Other(number) => packet.protocol(number, &[0; 8]),
        }
    }

    /// The first packet of the answer.
    pub(super) fn reply(&self) -> Vec<u8> {
        let packet = build::packet(self.to, self.from);
        match self.traffic {
            Traffic::Tcp(port) => packet.tcp(port.get(), SOURCE_PORT, tcp::SYN | tcp::ACK),
            Traffic::Udp(port) => packet.udp(port.get(), SOURCE_PORT),
            Traffic::Sctp(port) => packet.sctp_chunk(port.get(), SOURCE_PORT, TAG, chunk::INIT_ACK),
            Traffic::Ping | Traffic::Ping6 => packet.echo_reply(IDENTIFIER),
            Traffic::Other(number) => packet.protocol(number, &[0; 8]),
        }
    }
}
