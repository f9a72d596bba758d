//! Endpoints, policies and connections as the agent sees them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Direction, ObjectName, RuleRef};

/// A local pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The pod.
    pub pod: ObjectName,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Name of its host interface, once found.
    pub interface: Option<String>,
    /// Index of its host interface, once found.
    pub ifindex: Option<u32>,
    /// Whether what should hold for it holds.
    pub state: EndpointState,
    /// Traffic to it.
    pub ingress: Isolation,
    /// Traffic from it.
    pub egress: Isolation,
    /// Rises with every change of what it may do.
    pub generation: u32,
    /// Its tracked connections.
    #[serde(default)]
    pub connections: ConnectionCount,
}

/// How many connections of an endpoint are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionCount {
    /// Those that nobody has answered yet.
    pub new: u64,
    /// Those that were answered.
    pub replied: u64,
    /// Those that policy allowed and that found no room, since the endpoint is there.
    pub refused: u64,
}

/// Whether what should hold for an endpoint holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum EndpointState {
    /// Its policies are in force.
    Enforced,
    /// Not yet.
    Pending {
        /// Why, and what would help.
        reason: String,
    },
    /// All its traffic is dropped, because its policies cannot be held.
    Closed {
        /// Why, and what would help.
        reason: String,
    },
}

/// Whether policies select an endpoint in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// A policy selects it.
    pub isolated: bool,
    /// The policies that do, sorted.
    pub policies: Vec<ObjectName>,
    /// What they refuse is answered, rather than dropped in silence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejects: bool,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The policy.
    pub policy: ObjectName,
    /// The directions in which it isolates.
    pub directions: Vec<Direction>,
    /// The local pods it selects.
    pub pods: Vec<ObjectName>,
    /// Rules of `spec.ingress` that hold.
    pub ingress_rules: u32,
    /// Rules of `spec.egress` that hold.
    pub egress_rules: u32,
    /// What is wrong with it; its pods are isolated and none of its rules allows anything.
    pub problem: Option<PolicyProblem>,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyProblem {
    /// The field, as a path: `spec.ingress[0].from[1].ipBlock.cidr`.
    pub field: String,
    /// The reason.
    pub reason: String,
}

/// A tracked connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The endpoint's pod; none when it is gone.
    pub pod: Option<ObjectName>,
    /// Host interface index of the endpoint.
    pub ifindex: u32,
    /// Who opened it, from the endpoint's view.
    pub direction: Direction,
    /// `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6` or a number.
    pub protocol: String,
    /// The endpoint's port, or the ping's identifier.
    pub local_port: u16,
    /// The peer.
    pub remote: IpAddr,
    /// The peer's port.
    pub remote_port: u16,
    /// Where it stands.
    pub state: ConnectionState,
    /// Seconds since its last packet.
    pub idle_seconds: u64,
    /// The endpoint's generation when it was last judged.
    pub generation: u32,
    /// What allowed it, or cut it.
    pub rule: Option<RuleRef>,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// No reply yet.
    New,
    /// Both sides have spoken.
    Established,
    /// A FIN or RST was seen.
    Closing,
    /// A policy change forbade it: its packets are dropped.
    Cut,
}
