//! Pods as a user writes them, and as the API server would show them once they run.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde_json::{Value, json};

use super::{address::Addresses, traffic::Protocol};

/// Namespace and name. Written `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl FromStr for PodKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(format!("`{text}` is no pod: write namespace/name")),
        }
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Where a pod runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// On the lab's node.
    Here,
    /// On another node, reached over an uplink.
    Elsewhere,
}

/// A pod to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct PodSpec {
    pub(crate) key: PodKey,
    pub(crate) labels: BTreeMap<String, String>,
    /// `spec` of the Pod object.
    pub(crate) spec: Value,
    pub(crate) addresses: Option<Addresses>,
    pub(crate) interface: Option<String>,
    pub(crate) ifindex: Option<u32>,
    pub(crate) place: Place,
}

impl PodSpec {
    /// A pod with one container, no labels, no ports.
    ///
    /// # Panics
    ///
    /// When `key` is not `namespace/name`.
    pub fn new(key: &str) -> Self {
        Self {
            key: key
                .parse()
                .unwrap_or_else(|error: String| panic!("{error}")),
            labels: BTreeMap::new(),
            spec: json!({"containers": [{"name": "main", "image": "lab", "ports": []}]}),
            addresses: None,
            interface: None,
            ifindex: None,
            place: Place::Here,
        }
    }

    /// A pod as a Pod object describes it; a status it may have is not used.
    ///
    /// # Errors
    ///
    /// Names what the object lacks.
    pub fn from_object(object: &Value) -> Result<Self, String> {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| format!("a Pod needs {}", pointer[1..].replace('/', ".")))
        };
        let labels = object.pointer("/metadata/labels").unwrap_or(&Value::Null);
        let labels: Option<BTreeMap<String, String>> =
            serde_json::from_value(labels.clone()).map_err(|error| format!("labels: {error}"))?;
        Ok(Self {
            key: PodKey {
                namespace: text("/metadata/namespace")?,
                name: text("/metadata/name")?,
            },
            labels: labels.unwrap_or_default(),
            spec: object
                .get("spec")
                .cloned()
                .ok_or("a Pod needs spec".to_owned())?,
            addresses: None,
            interface: None,
            ifindex: None,
            place: Place::Here,
        })
    }

    /// Its namespace and name.
    pub fn key(&self) -> &PodKey {
        &self.key
    }

    /// Adds a label, or gives it another value.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds a container port with a name; the lab serves no port by itself.
    #[must_use]
    pub fn port(mut self, name: &str, protocol: Protocol, port: u16) -> Self {
        if let Some(Value::Array(ports)) = self.spec.pointer_mut("/containers/0/ports") {
            ports.push(json!({
                "name": name, "containerPort": port, "protocol": protocol.to_string(),
            }));
        }
        self
    }

    /// Gives it addresses: those of a pod that is gone, say.
    #[must_use]
    pub fn at(mut self, addresses: Addresses) -> Self {
        self.addresses = Some(addresses);
        self
    }

    /// Names the node's end of its link.
    #[must_use]
    pub fn interface(mut self, name: &str) -> Self {
        self.interface = Some(name.to_owned());
        self
    }

    /// Numbers the node's end of its link.
    #[must_use]
    pub fn ifindex(mut self, index: u32) -> Self {
        self.ifindex = Some(index);
        self
    }

    /// Puts it on another node: in the manifests a pod, for this node's agent only a peer.
    #[must_use]
    pub fn on_another_node(mut self) -> Self {
        self.place = Place::Elsewhere;
        self
    }

    /// Protocols and numbers of all its containers' ports.
    pub fn ports(&self) -> Vec<(Protocol, u16)> {
        let containers = self.spec["containers"].as_array().into_iter().flatten();
        containers
            .flat_map(|container| container["ports"].as_array().into_iter().flatten())
            .filter_map(|port| {
                let protocol = port["protocol"].as_str().unwrap_or("TCP").parse().ok()?;
                let number = port["containerPort"].as_u64()?;
                Some((protocol, u16::try_from(number).ok()?))
            })
            .collect()
    }

    /// The Pod object of a running pod.
    pub(crate) fn object(&self, node: &str, host: Addresses, own: Addresses) -> Value {
        let mut spec = self.spec.clone();
        spec["nodeName"] = json!(node);
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": self.key.namespace,
                "name": self.key.name,
                "labels": self.labels,
            },
            "spec": spec,
            "status": {
                "phase": "Running",
                "hostIP": host.v4,
                "hostIPs": [{"ip": host.v4}, {"ip": host.v6}],
                "podIP": own.v4,
                "podIPs": [{"ip": own.v4}, {"ip": own.v6}],
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_object_gives_labels_and_ports() {
        let object = json!({
            "kind": "Pod",
            "metadata": {"namespace": "a", "name": "b", "labels": {"app": "b"}},
            "spec": {"containers": [
                {"name": "x", "ports": [{"containerPort": 80}]},
                {"name": "y", "ports": [{"containerPort": 53, "protocol": "UDP"}]},
                {"name": "z"},
            ]},
        });
        let pod = PodSpec::from_object(&object).expect("a pod");
        assert_eq!(pod.key.to_string(), "a/b");
        assert_eq!(pod.labels["app"], "b");
        assert_eq!(pod.ports(), [(Protocol::Tcp, 80), (Protocol::Udp, 53)]);
    }

    #[test]
    fn a_pod_object_without_a_name_is_named_as_such() {
        let error = PodSpec::from_object(&json!({"metadata": {"namespace": "a"}, "spec": {}}));
        assert_eq!(error, Err("a Pod needs metadata.name".to_owned()));
    }
}
