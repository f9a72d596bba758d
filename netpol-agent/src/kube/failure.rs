//! Why a request to the API server failed, and what that means for a watch.

use std::error::Error as _;

use kube::Error;

use super::resources::Resource;

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server no longer has the changes since the version asked for: all is to be listed.
    Expired,
    /// The server does not list by watching.
    NoStreaming,
    /// The server answers, and will not serve this until somebody changes something.
    Refused(String),
    /// It does not answer, or not as it should.
    Away(String),
}

impl Failure {
    /// What an error means for a verb on a kind of objects.
    pub(super) fn of(error: &Error, verb: &str, resource: &Resource) -> Self {
        let Error::Api(status) = error else {
            return Self::Away(sentence(error));
        };
        Self::of_code(u64::from(status.code), &status.message, verb, resource)
    }

    /// What an HTTP status means for a verb on a kind of objects.
    pub(super) fn of_code(code: u64, message: &str, verb: &str, resource: &Resource) -> Self {
        let name = resource.full_name();
        match code {
            410 => Self::Expired,
            // The server is younger than what was seen: its store was restored.
            504 if message.contains("resource version") => Self::Expired,
            401 => Self::Refused(format!(
                "the API server does not accept the agent's credentials ({message}): renew the \
                 token or certificate of its kubeconfig or service account"
            )),
            403 => Self::Refused(format!(
                "the agent may not {verb} {name} ({message}): grant its ClusterRole `{verb}` on \
                 them, as the install manifests do"
            )),
            404 => Self::Refused(format!(
                "the API server has no {name} in {} ({message}): netpol needs Kubernetes 1.21 or \
                 later",
                resource.group_version
            )),
            _ => Self::Away(format!("the API server answers {code} ({message})")),
        }
    }

    /// The reason, in words.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Expired => "the API server no longer has the changes since the last one seen",
            Self::NoStreaming => "the API server does not list by watching",
            Self::Refused(words) | Self::Away(words) => words,
        }
    }
}

/// An error with its causes, each said once.
pub(super) fn sentence(error: &Error) -> String {
    let mut words = match error {
        Error::Service(_) | Error::HyperError(_) => "the API server does not answer".to_owned(),
        other => other.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{super::resources::RESOURCES, *};

    #[test]
    fn a_refusal_names_the_verb_the_resource_and_what_to_do() {
        let policies = RESOURCES.iter().find(|r| r.plural == "networkpolicies");
        let policies = policies.expect("watched");
        let failure = Failure::of_code(403, "no RBAC policy matched", "watch", policies);
        let words = failure.words();
        for part in [
            "may not watch networkpolicies.networking.k8s.io",
            "no RBAC",
            "grant",
        ] {
            assert!(words.contains(part), "{words}");
        }
        assert!(matches!(failure, Failure::Refused(_)));
    }

    #[test]
    fn a_version_that_is_gone_is_no_refusal() {
        assert_eq!(
            Failure::of_code(410, "too old", "watch", &RESOURCES[0]),
            Failure::Expired
        );
        let busy = Failure::of_code(429, "slow down", "list", &RESOURCES[0]);
        assert!(matches!(busy, Failure::Away(_)));
    }
}
