//! Rules, and what was counted under them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// Namespace; empty for objects that have none.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// A direction, always the endpoint's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It passed.
    Allow,
    /// It was dropped.
    Deny,
    /// It was refused, and who sent it was told.
    Reject,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Reject => "reject",
        })
    }
}

/// What a verdict is attributed to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RuleRef {
    /// A rule of a policy allowed it.
    Rule {
        /// The policy.
        policy: ObjectName,
        /// The direction it was judged in.
        direction: Direction,
        /// The rule's place in `spec.ingress` or `spec.egress`, from zero.
        index: u32,
        /// What the rule says, in one line.
        text: String,
    },
    /// No rule allowed it, and these policies isolate the endpoint.
    DefaultDeny {
        /// The policies, sorted.
        policies: Vec<ObjectName>,
        /// The direction it was judged in.
        direction: Direction,
    },
    /// Egress policies of the pod that sent it forbid it: a Service led here, and the sender's
    /// node could not know. Judged at the pod that it came to.
    SourceDeny {
        /// The policies, sorted: all that isolate the sender for egress.
        policies: Vec<ObjectName>,
    },
    /// A documented exemption let it pass: the node itself, the pod itself, a direction in which
    /// nothing isolates.
    Exemption {
        /// Which one, in words.
        text: String,
    },
    /// It was dropped for a reason that is no policy's.
    Drop {
        /// The reason, in words.
        reason: String,
    },
}

/// A verdict counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterRow {
    /// What was counted.
    pub rule: RuleRef,
    /// Allowed or denied.
    pub verdict: Verdict,
    /// Packets.
    pub packets: u64,
    /// Bytes, link-layer headers included.
    pub bytes: u64,
    /// Connections that were open when a change of policy forbade them, and are cut under this
    /// rule. Each is counted once; its packets from then on are among [`CounterRow::packets`].
    #[serde(default)]
    pub connections_cut: u64,
    /// The local pods the rule applies to. Counts are of the rule, all these pods together.
    pub pods: Vec<ObjectName>,
}
