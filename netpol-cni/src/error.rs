//! Errors as the CNI specification has them.

use serde_json::json;

/// Numbers of errors: below 100 the specification's, from there on ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Incompatible CNI version.
    Version = 1,
    /// Invalid environment variables.
    Environment = 4,
    /// I/O failure.
    Io = 5,
    /// Failed to decode content.
    Decode = 6,
    /// Invalid network configuration.
    Configuration = 7,
    /// Try again later.
    Again = 11,
    /// The plugin is not available.
    Unavailable = 50,
    /// The pod's interface is of a kind that packets cannot be judged on.
    Interface = 100,
    /// The agent refuses, and will again.
    Refused = 101,
}

/// An error, for the runtime and for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {details}")]
pub(crate) struct CniError {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: String,
}

impl CniError {
    pub(crate) fn new(code: Code, message: impl Into<String>, details: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: details.into(),
        }
    }

    /// The error result of the specification.
    pub(crate) fn output(&self, version: &str) -> String {
        json!({
            "cniVersion": version,
            "code": self.code as u32,
            "msg": format!("netpol: {}", self.message),
            "details": self.details,
        })
        .to_string()
    }
}
