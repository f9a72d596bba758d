//! The objects netpol reads, each as far as policy needs it.

use std::{fmt, net::IpAddr, sync::Arc};

use serde_json::Value;
use thiserror::Error;

use crate::{
    convert,
    labels::Labels,
    policy::{Policy, Protocol},
    refusal::Refusal,
    service::{EndpointSlice, Service},
};

/// Namespace and name of an object; the namespace is empty for Namespaces and Nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// A key of its two parts.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// The kinds of objects netpol reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1` Namespace.
    Namespace,
    /// `v1` Node.
    Node,
    /// `v1` Pod.
    Pod,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
        })
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub key: ObjectKey,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// An object that is not what its kind asks for: the user's error, never ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{field}: {reason}", object.as_ref().map(|o| format!("{o}: ")).unwrap_or_default())]
pub struct InvalidObject {
    /// Which object, as far as it could be read.
    pub object: Option<ObjectRef>,
    /// The field, as a path: `spec.ingress[0].from[1].ipBlock.cidr`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels, `kubernetes.io/metadata.name` among them.
    pub labels: Labels,
    /// How packets are refused that its policies forbid.
    pub refusal: Refusal,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its internal and external addresses, sorted.
    pub addresses: Vec<IpAddr>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.uid`; empty when the manifest has none.
    pub uid: String,
    /// Of a static pod's mirror: the uid that the kubelet knows the pod by
    /// (annotation `kubernetes.io/config.hash`).
    pub static_uid: Option<Box<str>>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.nodeName`, once scheduled.
    pub node: Option<String>,
    /// All of `status.podIPs` and `status.podIP`, sorted.
    pub addresses: Vec<IpAddr>,
    /// Named ports of all containers, init containers included.
    pub named_ports: Vec<NamedPort>,
    /// Whether it shares its node's network, and so is its node.
    pub host_network: bool,
    /// Phase Succeeded or Failed: its containers are gone, its address may be another's.
    pub finished: bool,
    /// It has been asked to go, and has not gone.
    pub terminating: bool,
    /// `metadata.creationTimestamp`, RFC 3339; empty when the manifest has none.
    pub created: String,
}

/// A named port of a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

impl Pod {
    /// Whether policies can select the pod, as a subject or as a peer. A hostNetwork pod is its
    /// node; the containers of a finished pod are gone.
    #[must_use]
    pub fn is_selectable(&self) -> bool {
        !self.host_network && !self.finished
    }

    /// Whether this is the pod that the kubelet knows by a uid. Manifests need not have uids, nor
    /// need a container runtime name one: then the name has to do.
    #[must_use]
    pub fn is_known_as(&self, uid: &str) -> bool {
        uid.is_empty()
            || self.uid.is_empty()
            || self.uid == uid
            || self.static_uid.as_deref() == Some(uid)
    }
}

/// An object, as far as policy needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A namespace.
    Namespace(Namespace),
    /// A node.
    Node(Node),
    /// A pod.
    Pod(Box<Pod>),
    /// A policy; an invalid one too, with its problem and without rules.
    NetworkPolicy(Arc<Policy>),
    /// A Service.
    Service(Arc<Service>),
    /// Some endpoints of a Service.
    EndpointSlice(Arc<EndpointSlice>),
}

impl Object {
    /// Reads an object. `None` is a kind netpol has no use for.
    ///
    /// # Errors
    /// When the object cannot be read at all. A NetworkPolicy whose name can be read is never an
    /// error here: an invalid one still isolates (see [`Policy::problem`]).
    pub fn from_value(value: &Value) -> Result<Option<Self>, InvalidObject> {
        convert::object(value)
    }

    /// Which object this is.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        let (kind, key) = match self {
            Self::Namespace(n) => (Kind::Namespace, ObjectKey::new("", &n.name)),
            Self::Node(n) => (Kind::Node, ObjectKey::new("", &n.name)),
            Self::Pod(p) => (Kind::Pod, p.key.clone()),
            Self::NetworkPolicy(p) => (Kind::NetworkPolicy, p.key.clone()),
            Self::Service(s) => (Kind::Service, s.key.clone()),
            Self::EndpointSlice(s) => (Kind::EndpointSlice, s.key.clone()),
        };
        ObjectRef { kind, key }
    }
}

/// The objects of a document: a List gives its items, everything else itself. Items of a typed
/// list (`PodList`), as the API server answers with, are of the list's kind. A List whose items
/// are none stays as it is, for [`Object::from_value`] to refuse.
#[must_use]
pub fn objects_of(document: Value) -> Vec<Value> {
    let of_items = |fields: &serde_json::Map<String, Value>| {
        let kind = fields.get("kind")?.as_str()?.strip_suffix("List")?;
        let is_list = kind.is_empty() || !convert::default_group_version(kind).is_empty();
        let has_items = matches!(
            fields.get("items"),
            None | Some(Value::Null | Value::Array(_))
        );
        (is_list && has_items).then(|| kind.to_owned())
    };
    match document {
        Value::Object(mut fields) => {
            let Some(kind) = of_items(&fields) else {
                return vec![Value::Object(fields)];
            };
            let version = fields.remove("apiVersion");
            let Some(Value::Array(items)) = fields.remove("items") else {
                return Vec::new();
            };
            let typed = |mut item: Value| {
                if let (Value::Object(item), false) = (&mut item, kind.is_empty()) {
                    item.entry("kind").or_insert_with(|| kind.clone().into());
                    if let Some(version) = &version {
                        item.entry("apiVersion").or_insert_with(|| version.clone());
                    }
                }
                objects_of(item)
            };
            items.into_iter().flat_map(typed).collect()
        }
        Value::Null => Vec::new(),
        other => vec![other],
    }
}
