//! Which object a JSON value is, read before anything else of it is known to be valid.

use std::fmt;

use netpol_policy::default_group_version;
use serde_json::Value;
use thiserror::Error;

/// Kind, namespace and name of an object, whatever its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    pub(crate) group_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A value that no cluster could hold, since it has no name to go by.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum IdentityError {
    /// Not even a kind: something else than an object of Kubernetes.
    #[error("kind: is missing, so this is no Kubernetes object")]
    NoKind,
    /// A file of kustomize: it says which files are objects, and is none.
    #[error("a {kind} of kustomize is no object of a cluster")]
    Kustomize {
        /// `Kustomization` or `Component`.
        kind: String,
    },
    /// A kind, but no name.
    #[error("{kind} without a name: metadata.name: is missing or no text")]
    NoName {
        /// The kind.
        kind: String,
    },
}

impl Identity {
    /// Of an object's value. Without a namespace it is of `default`, as kubectl has it; of a kind
    /// without namespaces the namespace means nothing.
    pub(crate) fn of(value: &Value) -> Result<Self, IdentityError> {
        let text = |value: Option<&Value>| match value.and_then(Value::as_str) {
            Some("") | None => None,
            Some(text) => Some(text.to_owned()),
        };
        let kind = text(value.get("kind")).ok_or(IdentityError::NoKind)?;
        let group_version = text(value.get("apiVersion"));
        if group_version.as_deref().is_some_and(is_kustomize) {
            return Err(IdentityError::Kustomize { kind });
        }
        let metadata = |name: &str| text(value.get("metadata").and_then(|m| m.get(name)));
        let Some(name) = metadata("name") else {
            return Err(IdentityError::NoName { kind });
        };
        let namespace = match kind.as_str() {
            "Namespace" | "Node" => String::new(),
            _ => metadata("namespace").unwrap_or_else(|| "default".to_owned()),
        };
        Ok(Self {
            group_version: group_version.unwrap_or_else(|| default_group_version(&kind).to_owned()),
            kind,
            namespace,
            name,
        })
    }
}

fn is_kustomize(group_version: &str) -> bool {
    group_version.starts_with("kustomize.config.k8s.io/")
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}
