//! NetworkPolicies in canonical form: what `None`, `[]` and `{}` mean is settled here.

use std::{
    fmt,
    hash::{Hash, Hasher},
    num::NonZeroU16,
};

use ipnet::IpNet;
use netpol_common::{Direction, protocol};

use crate::{
    object::{InvalidObject, ObjectKey},
    selector::Selector,
};

/// A NetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Which state of the object this is.
    pub version: PolicyVersion,
    /// The pods of its namespace that it applies to.
    pub subjects: Selector,
    /// `None`: it does not isolate for ingress. Empty: it isolates and allows nothing.
    pub ingress: Option<Vec<Rule>>,
    /// The same for egress.
    pub egress: Option<Vec<Rule>>,
    /// What is wrong with the object. Then it isolates, and has no rules.
    pub problem: Option<PolicyProblem>,
}

/// Which state of an object was read. It is no part of what the policy says and feeds no digest:
/// two that say the same have the same numbers in the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyVersion {
    /// `metadata.uid`; empty when the manifest has none.
    pub uid: String,
    /// `metadata.generation`: rises with every change of `spec`. Manifests have none.
    pub generation: Option<i64>,
}

impl Hash for PolicyVersion {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicyProblem {
    /// The field, as a path.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl From<InvalidObject> for PolicyProblem {
    fn from(invalid: InvalidObject) -> Self {
        Self {
            field: invalid.field,
            reason: invalid.reason,
        }
    }
}

impl Policy {
    /// Its rules of a direction; `None` when it does not isolate there.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

/// One item of `spec.ingress` or `spec.egress`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Whom it allows.
    pub peers: Peers,
    /// On which ports.
    pub ports: Ports,
}

/// `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peers {
    /// Absent or empty: "this rule matches all sources (traffic not restricted by source)".
    Anyone,
    /// One of these.
    Of(Vec<Peer>),
}

/// One item of `from` or `to`: a term, once it is in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods by their namespaces and labels.
    Pods {
        /// Their namespaces.
        namespaces: Namespaces,
        /// Their labels.
        pods: Selector,
    },
    /// Addresses.
    Block(Block),
}

impl Peer {
    /// Whether it selects every pod of the cluster.
    #[must_use]
    pub fn is_any_pod(&self) -> bool {
        matches!(
            self,
            Self::Pods { namespaces: Namespaces::Selected(namespaces), pods }
                if namespaces.is_everything() && pods.is_everything()
        )
    }
}

/// Which namespaces' pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespaces {
    /// No namespaceSelector: the policy's own namespace.
    Named(String),
    /// Those with such labels.
    Selected(Selector),
}

/// An ipBlock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// `cidr`, host bits masked.
    pub net: IpNet,
    /// `except`, host bits masked, sorted, each inside `net`.
    pub except: Vec<IpNet>,
}

/// `ports` of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// Absent or empty: everything, other IP protocols and ping included.
    All,
    /// One of these.
    Of(Vec<PortMatch>),
}

/// One item of `ports`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortMatch {
    /// Its protocol; TCP when absent.
    pub protocol: Protocol,
    /// Its port.
    pub port: PortSpec,
}

/// The port of a [`PortMatch`], always the destination's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortSpec {
    /// Absent: every port of the protocol.
    Any,
    /// `port` to `endPort`, both included.
    Range {
        /// First port.
        first: NonZeroU16,
        /// Last port.
        last: NonZeroU16,
    },
    /// A container port of this name and protocol on the destination pod.
    Named(String),
}

/// The protocols a policy can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The protocol of its name in the API.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }

    /// Its IP protocol number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
            Self::Sctp => protocol::SCTP,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ports {
            Ports::All => f.write_str("everything")?,
            Ports::Of(ports) => write_list(f, ports, ", ")?,
        }
        f.write_str(" | ")?;
        match &self.peers {
            Peers::Anyone => f.write_str("anyone"),
            Peers::Of(peers) => write_list(f, peers, "; "),
        }
    }
}

fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    separator: &str,
) -> fmt::Result {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods { namespaces, pods } => {
                if pods.is_everything() {
                    f.write_str("any pod")?;
                } else {
                    write!(f, "pods {pods}")?;
                }
                match namespaces {
                    Namespaces::Named(name) => write!(f, " in namespace {name}"),
                    Namespaces::Selected(s) if s.is_everything() => {
                        f.write_str(" in any namespace")
                    }
                    Namespaces::Selected(s) => write!(f, " in namespaces {s}"),
                }
            }
            Self::Block(block) => write!(f, "{block}"),
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.net)?;
        if !self.except.is_empty() {
            f.write_str(" except ")?;
            write_list(f, &self.except, ",")?;
        }
        Ok(())
    }
}

impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            PortSpec::Any => write!(f, "{}", self.protocol),
            PortSpec::Range { first, last } if first == last => {
                write!(f, "{}/{first}", self.protocol)
            }
            PortSpec::Range { first, last } => write!(f, "{}/{first}-{last}", self.protocol),
            PortSpec::Named(name) => write!(f, "{}/{name}", self.protocol),
        }
    }
}
