//! `networkpolicy/NAME`, as kubectl has it.

use std::str::FromStr;

use netpol_api::{Call, ObjectName};

use crate::exit::UsageError;

/// What kubectl calls the kind.
const KINDS: [&str; 4] = [
    "networkpolicy",
    "networkpolicies",
    "netpol",
    "networkpolicies.networking.k8s.io",
];

/// A policy on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyArgument {
    name: String,
}

impl FromStr for PolicyArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text
            .split_once('/')
            .ok_or_else(|| format!("write networkpolicy/{text}, or netpol/{text}"))?;
        if !KINDS.contains(&kind.to_lowercase().as_str()) {
            return Err(format!(
                "{kind:?} is no kind that is enforced: write networkpolicy/{name}"
            ));
        }
        if name.is_empty() || name.contains('/') {
            return Err("write networkpolicy/NAME, and the namespace with -n".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
        })
    }
}

/// Which policies are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// These, of one namespace.
    Named {
        /// Their namespace.
        namespace: String,
        /// Their names.
        names: Vec<String>,
    },
    /// All of a namespace, or of all namespaces.
    All(Option<String>),
}

impl Selection {
    /// The named ones, or all of them when none is; `default` is the namespace of those who say
    /// none.
    pub(crate) fn new(
        named: &[PolicyArgument],
        namespace: Option<&str>,
        everywhere: bool,
        default: Option<&str>,
    ) -> Result<Self, UsageError> {
        if everywhere {
            return Ok(Self::All(None));
        }
        let Some(namespace) = namespace.or(default) else {
            return Err(UsageError(match named {
                [] => "all policies of which namespace? Add -n NAMESPACE, or -A for all".to_owned(),
                [one, ..] => format!(
                    "in which namespace is networkpolicy/{}? Add -n NAMESPACE",
                    one.name
                ),
            }));
        };
        let namespace = namespace.to_owned();
        if named.is_empty() {
            return Ok(Self::All(Some(namespace)));
        }
        let names = named.iter().map(|argument| argument.name.clone());
        Ok(Self::Named {
            namespace,
            names: names.collect(),
        })
    }

    /// The question that covers it.
    pub(crate) fn call(&self, follow: bool) -> Call {
        let (namespace, name) = match self {
            Self::Named { namespace, names } => (
                Some(namespace.clone()),
                match names.as_slice() {
                    [one] => Some(one.clone()),
                    _ => None,
                },
            ),
            Self::All(namespace) => (namespace.clone(), None),
        };
        Call::Enforcement {
            namespace,
            name,
            follow,
        }
    }

    /// Those that are named.
    pub(crate) fn named(&self) -> impl Iterator<Item = ObjectName> {
        let (namespace, names) = match self {
            Self::Named { namespace, names } => (namespace.as_str(), names.as_slice()),
            Self::All(_) => ("", Default::default()),
        };
        names.iter().map(move |name| ObjectName {
            namespace: namespace.to_owned(),
            name: name.clone(),
        })
    }

    /// Whether a policy is among them.
    pub(crate) fn has(&self, policy: &ObjectName) -> bool {
        match self {
            Self::Named { namespace, names } => {
                policy.namespace == *namespace && names.contains(&policy.name)
            }
            Self::All(namespace) => namespace.as_ref().is_none_or(|n| *n == policy.namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> PolicyArgument {
        text.parse().expect("a policy")
    }

    #[test]
    fn the_kind_is_written_as_for_kubectl() {
        for text in ["networkpolicy/web", "netpol/web", "NetworkPolicies/web"] {
            assert_eq!(policy(text).name, "web");
        }
        for text in ["web", "pod/web", "netpol/", "netpol/shop/web"] {
            assert!(text.parse::<PolicyArgument>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_namespace_is_given_or_the_context_s() {
        let named = [policy("netpol/web")];
        let given = Selection::new(&named, Some("shop"), false, Some("default"));
        let given = given.expect("a selection");
        assert!(given.has(&ObjectName {
            namespace: "shop".to_owned(),
            name: "web".to_owned()
        }));
        let context = Selection::new(&named, None, false, Some("default"));
        let Selection::Named { namespace, .. } = context.expect("a selection") else {
            panic!("a name");
        };
        assert_eq!(namespace, "default");
        let error = Selection::new(&named, None, false, None).expect_err("nowhere");
        assert!(error.to_string().contains("networkpolicy/web"), "{error}");
    }

    #[test]
    fn several_of_one_namespace_are_one_question() {
        let named = [policy("netpol/a"), policy("netpol/b")];
        let several = Selection::new(&named, Some("shop"), false, None).expect("a selection");
        let question = Call::Enforcement {
            namespace: Some("shop".to_owned()),
            name: None,
            follow: true,
        };
        assert_eq!(several.call(true), question);
    }
}
