//! What is wrong with a field.

use std::net::IpAddr;

use crate::{
    object::{InvalidObject, ObjectRef},
    policy::PolicyProblem,
};

/// A field and what is wrong with it; of which object is known to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) field: String,
    pub(super) reason: String,
}

impl Problem {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    pub(super) fn of(self, object: Option<ObjectRef>) -> InvalidObject {
        InvalidObject {
            object,
            field: self.field,
            reason: self.reason,
        }
    }
}

impl From<Problem> for PolicyProblem {
    fn from(problem: Problem) -> Self {
        Self {
            field: problem.field,
            reason: problem.reason,
        }
    }
}

/// An address in a field.
pub(super) fn address(text: &str, field: &str) -> Result<IpAddr, Problem> {
    text.parse()
        .map_err(|_| Problem::new(field, format!("{text:?} is no IP address")))
}
