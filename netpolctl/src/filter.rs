//! `-n`, `-A`, `--pod`, `--policy`: which part of an answer is shown.

use std::str::FromStr;

use clap::Args;
use netpol_api::ObjectName;
use netpol_policy::ObjectKey;

use crate::exit::UsageError;

/// The namespaces that are shown.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Namespaces {
    /// Only this namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// All namespaces, which is the default
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

impl Namespaces {
    /// Whether `name` is in a namespace that is shown.
    pub(crate) fn contain(&self, name: &ObjectName) -> bool {
        self.namespace.as_ref().is_none_or(|n| *n == name.namespace)
    }

    /// Whether only one namespace is shown.
    pub(crate) fn is_one(&self) -> bool {
        self.namespace.is_some()
    }

    /// The full name of an argument: a bare name is one of the namespace given by `-n`.
    pub(crate) fn resolve(&self, argument: &NameArgument) -> Result<ObjectName, UsageError> {
        let namespace = argument.namespace.as_ref().or(self.namespace.as_ref());
        let Some(namespace) = namespace else {
            return Err(UsageError(format!(
                "in which namespace is {0:?}? Write NAMESPACE/{0}, or add -n NAMESPACE",
                argument.name
            )));
        };
        Ok(ObjectName {
            namespace: namespace.clone(),
            name: argument.name.clone(),
        })
    }
}

/// `namespace/name`, or a name in the namespace given by `-n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameArgument {
    namespace: Option<String>,
    name: String,
}

impl NameArgument {
    /// The full name; a bare name is one of `namespace`.
    pub(crate) fn in_namespace(&self, namespace: &str) -> ObjectKey {
        let own = self.namespace.as_deref();
        ObjectKey::new(own.unwrap_or(namespace), &self.name)
    }
}

impl FromStr for NameArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        if name.is_empty() || namespace.is_some_and(str::is_empty) || name.contains('/') {
            return Err("expected NAMESPACE/NAME".to_owned());
        }
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(namespace: Option<&str>) -> Namespaces {
        Namespaces {
            namespace: namespace.map(str::to_owned),
            all_namespaces: false,
        }
    }

    #[test]
    fn a_bare_name_is_one_of_the_given_namespace() {
        let argument: NameArgument = "web".parse().expect("a name");
        let name = namespaces(Some("shop")).resolve(&argument).expect("a name");
        assert_eq!(name.to_string(), "shop/web");
        let error = namespaces(None).resolve(&argument).expect_err("no -n");
        assert!(error.to_string().contains("NAMESPACE/web"), "{error}");
    }

    #[test]
    fn a_full_name_keeps_its_namespace() {
        let argument: NameArgument = "other/web".parse().expect("a name");
        let name = namespaces(Some("shop")).resolve(&argument).expect("a name");
        assert_eq!(name.to_string(), "other/web");
    }

    #[test]
    fn half_names_are_refused() {
        for text in ["", "/", "a/", "/b", "a/b/c"] {
            assert!(text.parse::<NameArgument>().is_err(), "{text:?}");
        }
    }
}
