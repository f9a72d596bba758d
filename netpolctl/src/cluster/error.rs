//! What the API server was asked, and why there is no answer.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// A request, in RBAC's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) verb: String,
    /// `pods`, `pods/exec`, `networkpolicies`.
    pub(crate) resource: &'static str,
    /// None: of the whole cluster.
    pub(crate) namespace: Option<String>,
}

impl Asked {
    pub(crate) fn new(
        verb: &'static str,
        resource: &'static str,
        namespace: Option<String>,
    ) -> Self {
        Self {
            verb: verb.to_owned(),
            resource,
            namespace,
        }
    }
}

impl Asked {
    /// With the verb that the API server missed: an exec may take two, and it names the one that is
    /// missing.
    fn refused(mut self, said: &str) -> Self {
        let verb = said.split_once(" cannot ");
        let verb = verb.and_then(|(_, rest)| rest.split_once(" resource "));
        if let Some((verb, _)) = verb {
            self.verb = verb.to_owned();
        }
        self
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verb {:?} on {:?}", self.verb, self.resource)?;
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => f.write_str(" of the whole cluster"),
        }
    }
}

/// Why the cluster does not answer, and what would help.
#[derive(Debug, Error)]
pub(crate) enum ClusterError {
    #[error("cannot read the kubeconfig {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("the kubeconfig {source_name} cannot be used: {reason}")]
    Unusable { source_name: String, reason: String },
    #[error(
        "no kubeconfig: KUBECONFIG is not set and ~/.kube/config is not there. Name one with \
         --kubeconfig, or an agent's socket on this node with --socket"
    )]
    NoKubeconfig,
    #[error(
        "cannot reach the API server at {server}: {reason}. Is that the right cluster \
         (--kubeconfig, --context), and is it up?"
    )]
    Unreachable { server: String, reason: String },
    #[error("the API server at {server} did not answer within {} s", patience.as_secs())]
    Silent { server: String, patience: Duration },
    #[error(
        "the API server does not know this user (401): the kubeconfig's credentials are wrong or \
         have expired"
    )]
    Unauthorized,
    #[error(
        "this user may not do that: it takes the {asked}, which a Role or ClusterRole grants. The \
         API server says: {said}"
    )]
    Forbidden { asked: Asked, said: String },
    #[error("{said}")]
    NotFound { said: String },
    #[error("the API server refused the {asked}: {said}")]
    Refused { asked: Asked, said: String },
}

impl ClusterError {
    /// The client's error, in our words.
    pub(crate) fn new(asked: Asked, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Self::Unauthorized,
                403 => Self::Forbidden {
                    asked: asked.refused(&status.message),
                    said: status.message,
                },
                404 => Self::NotFound {
                    said: status.message,
                },
                _ => Self::Refused {
                    asked,
                    said: status.message,
                },
            },
            kube::Error::HyperError(_) | kube::Error::Service(_) => Self::Unreachable {
                server: String::new(),
                reason: innermost(&error),
            },
            kube::Error::Auth(error) => Self::Unusable {
                source_name: "user".to_owned(),
                reason: error.to_string(),
            },
            error => Self::Refused {
                asked,
                said: error.to_string(),
            },
        }
    }

    /// The same, naming the server where it matters.
    pub(super) fn at(self, name: &str) -> Self {
        match self {
            Self::Unreachable { reason, .. } => Self::Unreachable {
                server: name.to_owned(),
                reason,
            },
            other => other,
        }
    }

    /// Whether it may go well the next time.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Refused { .. }
        )
    }

    /// Whether it is a right that is missing.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
    }
}

/// The cause at the bottom: those above it say that there was an error.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> String {
        let status = Status {
            code,
            message: "pods is forbidden".to_owned(),
            ..Status::default()
        };
        let asked = Asked::new("list", "pods", Some("netpol-system".to_owned()));
        ClusterError::new(asked, kube::Error::Api(status.boxed())).to_string()
    }

    #[test]
    fn a_missing_right_is_named_by_verb_resource_and_namespace() {
        let text = refused(403);
        assert!(
            text.contains("verb \"list\" on \"pods\" in namespace netpol-system"),
            "{text}"
        );
        assert!(text.contains("pods is forbidden"), "{text}");
    }

    #[test]
    fn of_the_verbs_that_exec_takes_the_missing_one_is_named() {
        let status = Status {
            code: 403,
            message: "pods \"a\" is forbidden: User \"me\" cannot get resource \"pods/exec\" in \
                      API group \"\""
                .to_owned(),
            ..Status::default()
        };
        let asked = Asked::new("create", "pods/exec", None);
        let error = ClusterError::new(asked, kube::Error::Api(status.boxed())).to_string();
        assert!(error.contains("verb \"get\" on \"pods/exec\""), "{error}");
    }

    #[test]
    fn credentials_that_are_not_known_are_told_from_missing_rights() {
        assert!(refused(401).contains("credentials"), "{}", refused(401));
        assert!(
            refused(500).starts_with("the API server refused"),
            "{}",
            refused(500)
        );
    }
}
