//! The proof that policies are in force.
//!
//! ```text
//! state    which version of a policy was read, and which local pods it selects
//! ledger   since when that version is in force on each of them
//! kernel   maps and hooks, read for this answer: what is not there is not in force
//! ```

use std::collections::{BTreeMap, BTreeSet};

use netpol_api::{
    EndpointState, EnforcementReport, PodEnforcement, PolicyEnforcement, PolicyProblem, PolicyRule,
    Reply,
};
use netpol_common::Direction;
use netpol_policy::{EndpointView, ObjectKey, PolicyView, Programmed};
use tokio::time::Instant;

use super::{
    Engine,
    names::{direction_of, object_name},
    report::unix_seconds,
};

mod kernel;
mod ledger;

pub(crate) use ledger::Ledger;

/// What a pod is told to be while the kernel holds something else.
const DRIFTED: &str = "others changed what the kernel holds for it; it is being repaired";

/// Which policies are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

impl Asked<'_> {
    fn is_for(&self, key: &ObjectKey) -> bool {
        let is = |asked: Option<&str>, own: &str| asked.is_none_or(|asked| asked == own);
        is(self.namespace, &key.namespace) && is(self.name, &key.name)
    }
}

impl Engine {
    /// Reads what the kernel holds, and says what of the policies is in force.
    pub(crate) async fn enforcement(&mut self, asked: Asked<'_>) -> Reply {
        let mut policies = self.state.policies();
        policies.retain(|policy| asked.is_for(&policy.key));
        let endpoints: BTreeMap<ObjectKey, EndpointView> = self
            .state
            .endpoints()
            .into_iter()
            .map(|view| (view.pod.clone(), view))
            .collect();
        let selected: BTreeSet<&ObjectKey> = policies.iter().flat_map(|p| &p.pods).collect();
        let interfaces = selected
            .iter()
            .filter_map(|pod| endpoints.get(*pod)?.ifindex);
        self.check_hooks(&interfaces.collect()).await;
        let kernel = match tokio::task::block_in_place(|| self.tables.read()) {
            Ok(kernel) => kernel,
            Err(error) => return Reply::Error(format!("cannot read the maps: {error}")),
        };
        if kernel != self.mirror && self.failure.is_none() {
            self.repaired("maps");
            self.adrift = true;
            // At once, rather than with the next event.
            self.retry_at = Some(Instant::now());
        }
        let mut problems = self.failures();
        problems.extend_from_slice(&self.source.unread);
        let policies = policies
            .iter()
            .map(|policy| self.policy_enforcement(policy, &endpoints, &kernel))
            .collect();
        Reply::Enforcement(Box::new(EnforcementReport {
            node: self.node.clone(),
            read: unix_seconds(),
            problems,
            policies,
        }))
    }

    fn policy_enforcement(
        &self,
        policy: &PolicyView,
        endpoints: &BTreeMap<ObjectKey, EndpointView>,
        kernel: &Programmed,
    ) -> PolicyEnforcement {
        let pods = policy.pods.iter().filter_map(|pod| endpoints.get(pod));
        PolicyEnforcement {
            policy: object_name(&policy.key),
            uid: policy.version.uid.clone(),
            generation: policy.version.generation,
            problem: policy.problem.as_ref().map(|problem| PolicyProblem {
                field: problem.field.clone(),
                reason: problem.reason.clone(),
            }),
            rules: self.rules_of(&policy.key),
            directions: policy
                .directions
                .iter()
                .copied()
                .map(direction_of)
                .collect(),
            pods: pods
                .map(|endpoint| self.pod_enforcement(&policy.key, endpoint, kernel))
                .collect(),
        }
    }

    fn rules_of(&self, key: &ObjectKey) -> Vec<PolicyRule> {
        let Some(policy) = self.state.policy(key) else {
            return Vec::new();
        };
        let directions = [Direction::Ingress, Direction::Egress].into_iter();
        let rules = directions.flat_map(|direction| {
            let rules = policy.rules(direction).unwrap_or_default().iter();
            rules.enumerate().map(move |(index, rule)| PolicyRule {
                direction: direction_of(direction),
                index: index as u32,
                text: rule.to_string(),
            })
        });
        rules.collect()
    }

    fn pod_enforcement(
        &self,
        policy: &ObjectKey,
        endpoint: &EndpointView,
        kernel: &Programmed,
    ) -> PodEnforcement {
        let mut state = self.endpoint_state(endpoint);
        let mut entry = None;
        if state == EndpointState::Enforced {
            let confirmed = endpoint.ifindex.filter(|_| *kernel == self.mirror);
            entry = confirmed.and_then(|ifindex| kernel::entry(kernel, ifindex));
            if entry.is_none() {
                let reason = DRIFTED.to_owned();
                state = EndpointState::Pending { reason };
            }
        }
        let since = entry.and_then(|_| self.ledger.since(policy, &endpoint.pod));
        let object = self.state.pod(&endpoint.pod);
        PodEnforcement {
            pod: object_name(&endpoint.pod),
            uid: object.map(|pod| pod.uid.to_string()).unwrap_or_default(),
            state,
            since,
            kernel: entry,
        }
    }
}
