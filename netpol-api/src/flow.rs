//! Flows: denies and new connections, as they happen.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Direction, ObjectName, RuleRef, Verdict};

/// A denied packet or a new connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Seconds since the Unix epoch, with a fraction.
    pub time: f64,
    /// The endpoint that judged it; no pod when it is gone.
    pub endpoint: Peer,
    /// The endpoint's view of the packet.
    pub direction: Direction,
    /// The other side.
    pub peer: Peer,
    /// `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6`, a number, or `-` when it could not be read.
    pub protocol: String,
    /// Port of the side that the packet goes to.
    pub destination_port: u16,
    /// Port of the side that the packet comes from.
    pub source_port: u16,
    /// Bytes of the packet.
    pub length: u32,
    /// Allowed or denied.
    pub verdict: Verdict,
    /// What decided.
    pub rule: RuleRef,
}

/// One side of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its address; none when the packet could not be read.
    pub address: Option<IpAddr>,
    /// The pod with that address, if it is one.
    pub pod: Option<ObjectName>,
}
