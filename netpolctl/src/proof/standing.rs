//! What is in force, and what is missing: the API server's word against the agents'.

use std::collections::{BTreeMap, BTreeSet};

use netpol_api::{
    EndpointState, EnforcementReport, KernelEntry, ObjectName, PodEnforcement, PolicyEnforcement,
};
use serde::Serialize;

use super::argument::Selection;
use super::wanted::{Wanted, WantedPod};

/// What each node's agent says, or why it says nothing.
pub(crate) type Reports = BTreeMap<String, Result<EnforcementReport, String>>;

/// How a policy stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Standing {
    pub(crate) policy: ObjectName,
    pub(crate) uid: String,
    /// The generation that should be in force.
    pub(crate) generation: Option<i64>,
    /// It is, on all pods.
    pub(crate) enforced: bool,
    pub(crate) nodes_enforced: u64,
    /// Nodes that have pods it selects.
    pub(crate) nodes: u64,
    pub(crate) pods_enforced: u64,
    pub(crate) pods: u64,
    /// Selected pods that have no address yet, and are not waited for.
    pub(crate) pods_without_address: u64,
    /// It cannot be enforced as it is written: the field, and why.
    pub(crate) invalid: Option<String>,
    pub(crate) missing: Vec<Missing>,
}

/// Where it is not in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Missing {
    /// Empty where no pod is known.
    pub(crate) node: String,
    pub(crate) pod: Option<ObjectName>,
    pub(crate) reason: String,
}

/// How the policies stand.
pub(crate) fn of(wanted: &[Wanted], reports: &Reports) -> Vec<Standing> {
    wanted.iter().map(|wanted| one(wanted, reports)).collect()
}

/// What the agent of a socket takes for wanted: its own word is all there is.
pub(crate) fn wanted_by_agents(selection: &Selection, reports: &Reports) -> Vec<Wanted> {
    let heard = reports.values().filter_map(|report| report.as_ref().ok());
    let policies = heard.flat_map(|report| {
        let policies = report.policies.iter();
        policies.map(move |policy| (report, policy))
    });
    let selected = policies.filter(|(_, policy)| selection.has(&policy.policy));
    let wanted = selected.map(|(report, policy)| Wanted {
        policy: policy.policy.clone(),
        uid: policy.uid.clone(),
        generation: policy.generation,
        pods: (policy.pods.iter())
            .map(|pod| WantedPod {
                node: report.node.clone(),
                pod: pod.pod.clone(),
                uid: pod.uid.clone(),
            })
            .collect(),
        without_address: 0,
    });
    wanted.collect()
}

/// Reports under the names that the agents themselves give their nodes.
pub(crate) fn by_own_name(reports: &Reports) -> Reports {
    let heard = reports.values().filter_map(|report| report.as_ref().ok());
    heard
        .map(|report| (report.node.clone(), Ok(report.clone())))
        .collect()
}

impl Standing {
    /// A policy that no agent knows, and where it should be is not known either.
    pub(crate) fn unknown(policy: ObjectName, reason: &str) -> Self {
        Self {
            missing: vec![Missing {
                node: String::new(),
                pod: None,
                reason: reason.to_owned(),
            }],
            policy,
            uid: String::new(),
            generation: None,
            enforced: false,
            nodes_enforced: 0,
            nodes: 0,
            pods_enforced: 0,
            pods: 0,
            pods_without_address: 0,
            invalid: None,
        }
    }
}

/// A pod's proof, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Proof {
    pub(crate) node: String,
    pub(crate) pod: ObjectName,
    pub(crate) enforced: bool,
    /// Why it is not.
    pub(crate) reason: Option<String>,
    /// The generation that the node's agent has read.
    pub(crate) generation: Option<i64>,
    /// Since when it is in force.
    pub(crate) since: Option<f64>,
    /// What the node's kernel was found to hold.
    pub(crate) kernel: Option<KernelEntry>,
    /// When it was read.
    pub(crate) read: Option<f64>,
}

/// The proofs of a policy, pod by pod.
pub(crate) fn proofs(wanted: &Wanted, reports: &Reports) -> Vec<Proof> {
    let proof = |pod: &WantedPod| {
        let report = reports.get(&pod.node);
        let heard = report.and_then(|report| report.as_ref().ok());
        let known = heard.and_then(|heard| {
            let mut policies = heard.policies.iter();
            policies.find(|p| p.policy == wanted.policy && p.uid == wanted.uid)
        });
        let found = on_pod(wanted, pod, report);
        Proof {
            node: pod.node.clone(),
            pod: pod.pod.clone(),
            enforced: found.is_ok(),
            reason: found.as_ref().err().cloned(),
            generation: known.and_then(|known| known.generation),
            since: found.as_ref().ok().and_then(|found| found.since),
            kernel: found.ok().and_then(|found| found.kernel),
            read: heard.map(|heard| heard.read),
        }
    };
    wanted.pods.iter().map(proof).collect()
}

fn one(wanted: &Wanted, reports: &Reports) -> Standing {
    let nodes: BTreeSet<&String> = wanted.pods.iter().map(|pod| &pod.node).collect();
    let missing: Vec<Missing> = (wanted.pods.iter())
        .filter_map(|pod| {
            let report = reports.get(&pod.node);
            let reason = on_pod(wanted, pod, report).err()?;
            Some(Missing {
                node: pod.node.clone(),
                pod: Some(pod.pod.clone()),
                reason,
            })
        })
        .collect();
    let lacking: BTreeSet<&String> = missing.iter().map(|missing| &missing.node).collect();
    let count = |number: usize| number as u64;
    Standing {
        policy: wanted.policy.clone(),
        uid: wanted.uid.clone(),
        generation: wanted.generation,
        enforced: missing.is_empty(),
        nodes_enforced: count(nodes.len() - lacking.len()),
        nodes: count(nodes.len()),
        pods_enforced: count(wanted.pods.len() - missing.len()),
        pods: count(wanted.pods.len()),
        pods_without_address: wanted.without_address,
        invalid: invalid(wanted, reports),
        missing,
    }
}

/// The proof for a pod, or why there is none.
fn on_pod<'a>(
    wanted: &Wanted,
    pod: &WantedPod,
    report: Option<&'a Result<EnforcementReport, String>>,
) -> Result<&'a PodEnforcement, String> {
    let report = match report {
        None => return Err("its node's agent has not answered yet".to_owned()),
        Some(Err(reason)) => return Err(format!("its node's agent does not answer: {reason}")),
        Some(Ok(report)) => report,
    };
    let behind = |what: &str| match report.problems.as_slice() {
        [] => what.to_owned(),
        problems => format!("{what} ({})", problems.join("; ")),
    };
    let known = report.policies.iter().find(|p| p.policy == wanted.policy);
    let known = known.ok_or_else(|| behind("the agent does not know the policy yet"))?;
    if known.uid != wanted.uid {
        return Err(behind("the agent knows a former policy of that name"));
    }
    if known.generation < wanted.generation {
        let generation = known.generation.unwrap_or_default();
        return Err(behind(&format!("the agent has generation {generation}")));
    }
    if let Some(sentence) = problem(known) {
        return Err(format!("the policy is not valid: {sentence}"));
    }
    let found = known.pods.iter().find(|p| p.pod == pod.pod);
    let found = found.filter(|found| found.uid == pod.uid);
    let found =
        found.ok_or_else(|| behind("the agent does not see that it selects the pod yet"))?;
    match &found.state {
        EndpointState::Enforced => Ok(found),
        EndpointState::Pending { reason } => Err(reason.clone()),
        EndpointState::Closed { reason } => Err(format!("closed, all traffic dropped: {reason}")),
    }
}

/// What is wrong with the version that is wanted, by any agent that has read it.
fn invalid(wanted: &Wanted, reports: &Reports) -> Option<String> {
    let heard = reports.values().filter_map(|report| report.as_ref().ok());
    let mut versions = heard.flat_map(|report| &report.policies).filter(|known| {
        known.policy == wanted.policy
            && known.uid == wanted.uid
            && known.generation >= wanted.generation
    });
    versions.find_map(problem)
}

fn problem(policy: &PolicyEnforcement) -> Option<String> {
    let problem = policy.problem.as_ref()?;
    Some(format!("{}: {}", problem.field, problem.reason))
}

#[cfg(test)]
mod tests;
