//! What the owners of objects should learn, once until it changes: pure.

use std::collections::BTreeMap;

use netpol_policy::{ObjectKey, Policy, PolicyProblem, PolicyVersion};

/// Something to tell the owner of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A policy that selects pods of this node cannot be enforced as written.
    InvalidPolicy {
        policy: ObjectKey,
        version: PolicyVersion,
        problem: PolicyProblem,
    },
    /// All traffic of a pod is dropped.
    Closed {
        pod: ObjectKey,
        uid: String,
        reason: String,
    },
    /// A pod that was closed is judged by its policies again.
    Judged { pod: ObjectKey, uid: String },
}

impl Notice {
    pub(super) fn log(&self) {
        match self {
            Self::InvalidPolicy {
                policy, problem, ..
            } => {
                let PolicyProblem { field, reason } = problem;
                tracing::warn!(%policy, field, reason, "invalid: the pods it selects stay isolated");
            }
            Self::Closed { pod, reason, .. } => {
                tracing::error!(%pod, reason, "closed: all its traffic is dropped");
            }
            Self::Judged { pod, .. } => tracing::info!(%pod, "no longer closed"),
        }
    }
}

/// A local pod, as far as there may be something to tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalPod<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) uid: &'a str,
    pub(super) closed: Option<&'a str>,
}

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Pods that are closed: uid and reason.
    closed: BTreeMap<ObjectKey, (String, String)>,
    /// Policies that are invalid.
    invalid: BTreeMap<ObjectKey, Invalid>,
}

#[derive(Debug)]
struct Invalid {
    version: PolicyVersion,
    problem: PolicyProblem,
    told: bool,
}

impl Told {
    /// Takes a policy as it is now.
    pub(super) fn read(&mut self, policy: &Policy) {
        let Some(problem) = &policy.problem else {
            self.invalid.remove(&policy.key);
            return;
        };
        let before = self.invalid.get(&policy.key);
        if before.is_some_and(|b| b.version == policy.version && b.problem == *problem) {
            return;
        }
        let invalid = Invalid {
            version: policy.version.clone(),
            problem: problem.clone(),
            told: false,
        };
        self.invalid.insert(policy.key.clone(), invalid);
    }

    /// Forgets the policies that are gone.
    pub(super) fn retain_policies(&mut self, is_there: impl Fn(&ObjectKey) -> bool) {
        self.invalid.retain(|key, _| is_there(key));
    }

    /// What is to be told of policies, given those that select pods of this node: the others are
    /// for other nodes to tell.
    pub(super) fn of_policies<'a>(
        &mut self,
        selecting: impl Iterator<Item = &'a ObjectKey>,
    ) -> Vec<Notice> {
        let mut notices = Vec::new();
        if self.invalid.values().all(|invalid| invalid.told) {
            return notices;
        }
        for key in selecting {
            if let Some(invalid) = self.invalid.get_mut(key).filter(|invalid| !invalid.told) {
                invalid.told = true;
                notices.push(Notice::InvalidPolicy {
                    policy: key.clone(),
                    version: invalid.version.clone(),
                    problem: invalid.problem.clone(),
                });
            }
        }
        notices
    }

    /// What is to be told of pods, given all local ones. A pod that is gone needs no word.
    pub(super) fn of_pods<'a>(&mut self, pods: impl Iterator<Item = LocalPod<'a>>) -> Vec<Notice> {
        let mut before = std::mem::take(&mut self.closed);
        let mut notices = Vec::new();
        for LocalPod { key, uid, closed } in pods {
            let told = before.remove(key).filter(|(of, _)| of == uid);
            match (told, closed) {
                (None, None) => {}
                (Some(told), Some(reason)) if told.1 == reason => {
                    self.closed.insert(key.clone(), told);
                }
                (_, Some(reason)) => {
                    let (uid, reason) = (uid.to_owned(), reason.to_owned());
                    self.closed
                        .insert(key.clone(), (uid.clone(), reason.clone()));
                    let pod = key.clone();
                    notices.push(Notice::Closed { pod, uid, reason });
                }
                (Some((uid, _)), None) => {
                    let pod = key.clone();
                    notices.push(Notice::Judged { pod, uid });
                }
            }
        }
        notices
    }
}

#[cfg(test)]
mod tests;
