//! Objects that cannot be understood, and what holds meanwhile: what is not understood closes.

use netpol_policy::{InvalidObject, Policy};
use serde::Serialize;

use super::identity::Identity;

/// An object that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Invalid {
    /// `NetworkPolicy ns/name`.
    pub(crate) object: String,
    /// The field, as a path.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) reason: String,
    /// What holds meanwhile.
    pub(crate) effect: &'static str,
}

impl Invalid {
    /// An object that could not be read at all.
    pub(super) fn of_object(identity: &Identity, error: InvalidObject) -> Self {
        let effect = match identity.kind.as_str() {
            "Pod" => "no rule matches it, and whatever goes from or to its addresses is denied",
            "Namespace" => "whatever goes from or to the addresses of its pods is denied",
            _ => "it is left out, and nothing is allowed because of it",
        };
        Self {
            object: identity.to_string(),
            field: error.field,
            reason: error.reason,
            effect,
        }
    }

    /// A policy with a problem: the compiler has taken it, as one that only denies.
    pub(super) fn of_policy(policy: &Policy) -> Option<Self> {
        let problem = policy.problem.as_ref()?;
        Some(Self {
            object: format!("NetworkPolicy {}", policy.key),
            field: problem.field.clone(),
            reason: problem.reason.clone(),
            effect: "it isolates the pods it selects, and allows nothing",
        })
    }

    /// In one sentence.
    pub(crate) fn sentence(&self) -> String {
        let Self {
            object,
            field,
            reason,
            ..
        } = self;
        format!("{object} is invalid: {field}: {reason}")
    }
}
