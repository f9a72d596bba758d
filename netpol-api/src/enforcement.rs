//! The proof that a policy is in force: which version of it, on which pods, since when, and what
//! the kernel holds.

use serde::{Deserialize, Serialize};

use crate::{Direction, EndpointState, ObjectName, PolicyProblem};

/// What an agent says of some policies, or of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnforcementReport {
    /// The node's name.
    pub node: String,
    /// When the kernel's maps and hooks were read for this.
    pub read: f64,
    /// Sentences about what keeps the agent from enforcing what the cluster holds now: the maps
    /// cannot be written, the API server is away.
    pub problems: Vec<String>,
    /// The policies that were asked for, as far as the agent knows them.
    pub policies: Vec<PolicyEnforcement>,
}

/// A policy on one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyEnforcement {
    /// The policy.
    pub policy: ObjectName,
    /// `metadata.uid` of the object the agent has read; empty for a manifest without one.
    pub uid: String,
    /// `metadata.generation` of the object the agent has read; manifests have none.
    pub generation: Option<i64>,
    /// What is wrong with it; its pods are isolated and none of its rules allows anything.
    pub problem: Option<PolicyProblem>,
    /// Its rules.
    pub rules: Vec<PolicyRule>,
    /// The directions in which it isolates.
    pub directions: Vec<Direction>,
    /// The local pods it selects.
    pub pods: Vec<PodEnforcement>,
}

/// A rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// Its direction.
    pub direction: Direction,
    /// Its place in `spec.ingress` or `spec.egress`, from zero.
    pub index: u32,
    /// What it says, in one line.
    pub text: String,
}

/// A policy on one pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodEnforcement {
    /// The pod.
    pub pod: ObjectName,
    /// `metadata.uid` of the pod; empty for a manifest without one.
    pub uid: String,
    /// Whether this version of the policy is in force on it.
    pub state: EndpointState,
    /// Since when, as far as this agent knows: one that was started anew counts from its start,
    /// although what was in force before stayed so.
    pub since: Option<f64>,
    /// What the kernel holds for the pod; none when it is not what should be there.
    pub kernel: Option<KernelEntry>,
}

/// What the kernel was found to hold for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelEntry {
    /// Host interface on which the programs are attached.
    pub ifindex: u32,
    /// Generation of the pod's entry.
    pub generation: u32,
    /// What judges traffic to it; none when nothing isolates it there.
    pub ingress: Option<KernelSet>,
    /// What judges traffic from it.
    pub egress: Option<KernelSet>,
}

/// A policy set: all that isolates a pod in one direction, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSet {
    /// Its number.
    pub number: u32,
    /// Entries for peers, "anyone" and "any pod" included.
    pub peers: u64,
    /// Entries for ports.
    pub ports: u64,
}
