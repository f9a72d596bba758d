//! What the runtime says in the environment.

use std::{collections::HashMap, path::PathBuf};

use netpol_api::{CniKey, ObjectName};

use crate::error::{CniError, Code};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

/// The environment.
pub(crate) struct Parameters<'a>(pub(crate) &'a HashMap<String, String>);

impl Parameters<'_> {
    pub(crate) fn command(&self) -> Result<Command, CniError> {
        match self.required("CNI_COMMAND")? {
            "ADD" => Ok(Command::Add),
            "DEL" => Ok(Command::Del),
            "CHECK" => Ok(Command::Check),
            "GC" => Ok(Command::Gc),
            "STATUS" => Ok(Command::Status),
            "VERSION" => Ok(Command::Version),
            other => Err(invalid(format!(
                "CNI_COMMAND is {other:?}, which is none of ADD, DEL, CHECK, GC, STATUS, VERSION"
            ))),
        }
    }

    /// Which interface of which sandbox.
    pub(crate) fn key(&self) -> Result<CniKey, CniError> {
        let container_id = self.required("CNI_CONTAINERID")?;
        let of_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let starts = container_id.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts || !container_id.chars().all(of_id) {
            return Err(invalid(format!(
                "CNI_CONTAINERID {container_id:?} is no id"
            )));
        }
        let interface = self.required("CNI_IFNAME")?;
        let has_bad = interface.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
        if interface.len() > 15 || has_bad || matches!(interface, "." | "..") {
            return Err(invalid(format!(
                "CNI_IFNAME {interface:?} names no interface"
            )));
        }
        Ok(CniKey {
            container_id: container_id.to_owned(),
            interface: interface.to_owned(),
        })
    }

    /// The sandbox's network namespace.
    pub(crate) fn netns(&self) -> Result<PathBuf, CniError> {
        self.required("CNI_NETNS").map(PathBuf::from)
    }

    /// The pod whose sandbox it is, and the uid the kubelet knows it by; none for a container that
    /// is no pod's, which no policy is for.
    pub(crate) fn pod(&self) -> Option<(ObjectName, String)> {
        let pod = ObjectName {
            namespace: self.argument("K8S_POD_NAMESPACE")?.to_owned(),
            name: self.argument("K8S_POD_NAME")?.to_owned(),
        };
        let uid = self.argument("K8S_POD_UID").unwrap_or_default().to_owned();
        Some((pod, uid))
    }

    fn argument(&self, name: &str) -> Option<&str> {
        let arguments = self.0.get("CNI_ARGS")?.split(';');
        let mut pairs = arguments.filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(key, _)| *key == name)?.1;
        (!value.is_empty()).then_some(value)
    }

    fn required(&self, name: &str) -> Result<&str, CniError> {
        let value = self.0.get(name).filter(|value| !value.is_empty());
        value
            .map(String::as_str)
            .ok_or_else(|| invalid(format!("{name} is missing")))
    }
}

fn invalid(details: String) -> CniError {
    CniError::new(Code::Environment, "invalid environment", details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_pod_is_named_by_the_arguments() {
        let arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=db;\
                         K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=1-2";
        let variables = environment(&[("CNI_ARGS", arguments)]);
        let (pod, uid) = Parameters(&variables).pod().expect("a pod");
        assert_eq!(
            (pod.to_string(), uid.as_str()),
            ("shop/db".to_owned(), "1-2")
        );
        let variables = environment(&[("CNI_ARGS", "K8S_POD_NAMESPACE=;K8S_POD_NAME=x")]);
        assert_eq!(Parameters(&variables).pod(), None);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let cases: [&[(&str, &str)]; 5] = [
            &[("CNI_IFNAME", "eth0")],
            &[("CNI_CONTAINERID", "a")],
            &[("CNI_CONTAINERID", "../x"), ("CNI_IFNAME", "eth0")],
            &[("CNI_CONTAINERID", "a"), ("CNI_IFNAME", "a/b")],
            &[("CNI_CONTAINERID", "a"), ("CNI_IFNAME", "sixteen-letters-")],
        ];
        for case in cases {
            let variables = environment(case);
            let error = Parameters(&variables).key().expect_err("refused");
            assert_eq!(error.code, Code::Environment);
            assert!(error.to_string().contains("CNI_"), "{error}");
        }
        let variables = environment(&[("CNI_COMMAND", "FROB")]);
        let error = Parameters(&variables).command().expect_err("refused");
        assert!(error.to_string().contains("FROB"), "{error}");
    }
}
