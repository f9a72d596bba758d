//! What came nearest: for a denied connection, the rules of the isolating policies and what about
//! each of them did not match.
//!
//! The verdict is not made here: the compiled maps and the datapath make it. This reads the
//! policies once more, as their author would, to put into words what kept a rule from matching.

use std::sync::Arc;

use netpol_api::{Direction, ObjectName};
use netpol_policy::Pod;
use netpol_policy::Policy;
use serde::Serialize;

pub(crate) use self::peer::Remote;
use super::traffic::Traffic;

mod peer;
mod port;
#[cfg(test)]
mod tests;

/// What would have to be otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Miss {
    /// How many things that are.
    distance: usize,
    /// Those things, in words.
    reasons: Vec<String>,
}

/// A rule that did not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NearRule {
    /// The policy.
    pub(crate) policy: ObjectName,
    /// The rule's place in `spec.ingress` or `spec.egress`, from zero.
    pub(crate) index: usize,
    /// What the rule says.
    pub(crate) text: String,
    /// Whether it is about the other side.
    pub(crate) peer_matches: bool,
    /// Whether it is about the port.
    pub(crate) port_matches: bool,
    /// What did not match, in words.
    pub(crate) because: Vec<String>,
    #[serde(skip)]
    distance: usize,
}

/// A policy that isolates and has no rule that could have matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SilentPolicy {
    /// The policy.
    pub(crate) policy: ObjectName,
    /// Why it allows nothing.
    pub(crate) because: String,
}

/// What kept the policies that isolate an endpoint from allowing a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Explanation {
    /// Rules, the nearest first.
    pub(crate) rules: Vec<NearRule>,
    /// Policies without rules.
    pub(crate) silent: Vec<SilentPolicy>,
}

/// Explains why none of `policies`, which isolate an endpoint in `direction`, allows `traffic`.
pub(crate) fn explain(
    policies: &[Arc<Policy>],
    direction: Direction,
    remote: Remote<'_>,
    traffic: Traffic,
    destination: Option<&Pod>,
) -> Explanation {
    let mut explanation = Explanation::default();
    for policy in policies {
        let name = super::name(&policy.key);
        let rules = policy.rules(super::common(direction)).unwrap_or_default();
        if rules.is_empty() {
            explanation.silent.push(SilentPolicy {
                policy: name,
                because: silence(policy, direction),
            });
            continue;
        }
        for (index, rule) in rules.iter().enumerate() {
            let peer = peer::miss(&rule.peers, remote);
            let port = port::miss(&rule.ports, traffic, destination);
            explanation.rules.push(NearRule {
                policy: name.clone(),
                index,
                text: rule.to_string(),
                peer_matches: peer.is_none(),
                port_matches: port.is_none(),
                distance: [&peer, &port]
                    .into_iter()
                    .flatten()
                    .map(|m| m.distance)
                    .sum(),
                because: [peer, port]
                    .into_iter()
                    .flatten()
                    .flat_map(|m| m.reasons)
                    .collect(),
            });
        }
    }
    explanation.rules.sort_by_key(|r| (r.rank(), r.distance));
    explanation
}

impl NearRule {
    /// How near it came: about the right peer first, then about the right port, then neither.
    pub(crate) fn rank(&self) -> u8 {
        match (self.peer_matches, self.port_matches) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }
    }
}

/// Why a policy without rules has none.
fn silence(policy: &Policy, direction: Direction) -> String {
    match &policy.problem {
        Some(problem) => format!(
            "is invalid, so it isolates and allows nothing: {}: {}",
            problem.field, problem.reason
        ),
        None => format!("has no {direction} rule: it only denies"),
    }
}
