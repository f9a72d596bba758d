//! From Kubernetes JSON to the types of this crate.
//!
//! The only place that sees `None`, `[]` and `{}` of the API, and unreadable objects.

mod network_policy;
mod pod;
mod problem;
mod service;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    labels::NAMESPACE_NAME_LABEL,
    object::{InvalidObject, Kind, Namespace, Node, Object, ObjectKey, ObjectRef},
    refusal::{REFUSE_ANNOTATION, Refusal},
};
use problem::Problem;

/// Reads any object; `None` is a kind netpol has no use for.
pub(crate) fn object(value: &Value) -> Result<Option<Object>, InvalidObject> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let Some(name) = text("kind") else {
        return Err(Problem::new("kind", "is missing").of(None));
    };
    if name
        .strip_suffix("List")
        .is_some_and(|of| of.is_empty() || !default_group_version(of).is_empty())
    {
        return Err(Problem::new("items", "is no list").of(None));
    }
    let kind = match name {
        "Namespace" => Kind::Namespace,
        "Node" => Kind::Node,
        "Pod" => Kind::Pod,
        "NetworkPolicy" => Kind::NetworkPolicy,
        "Service" => Kind::Service,
        "EndpointSlice" => Kind::EndpointSlice,
        _ => return Ok(None),
    };
    let group_version = text("apiVersion").unwrap_or_default();
    let is_stock = group_version.is_empty() || group_version == default_group_version(name);
    let is_meant = kind == Kind::NetworkPolicy && network_policy::is_meant(group_version);
    if !is_stock && !is_meant {
        return Ok(None);
    }
    let key = object_key(kind, value).map_err(|problem| problem.of(None))?;
    let reference = ObjectRef {
        kind,
        key: key.clone(),
    };
    let object = match kind {
        Kind::Namespace => namespace(key, value).map(Object::Namespace),
        Kind::Node => node(key, value).map(Object::Node),
        Kind::Pod => pod::pod(key, value).map(|pod| Object::Pod(Box::new(pod))),
        Kind::NetworkPolicy if !is_stock => Ok(Object::NetworkPolicy(
            network_policy::of_another_version(key, value, group_version).into(),
        )),
        Kind::NetworkPolicy => Ok(Object::NetworkPolicy(
            network_policy::policy(key, value).into(),
        )),
        Kind::Service => {
            service::service(key, value).map(|service| Object::Service(service.into()))
        }
        Kind::EndpointSlice => {
            service::endpoint_slice(key, value).map(|slice| Object::EndpointSlice(slice.into()))
        }
    };
    object
        .map(Some)
        .map_err(|problem| problem.of(Some(reference)))
}

/// The apiVersion of an object of a kind that comes without one, as inside some Lists. Empty for
/// kinds netpol has no use for.
#[must_use]
pub fn default_group_version(kind: &str) -> &'static str {
    match kind {
        "Namespace" | "Node" | "Pod" | "Service" => "v1",
        "EndpointSlice" => "discovery.k8s.io/v1",
        "NetworkPolicy" => "networking.k8s.io/v1",
        _ => "",
    }
}

fn object_key(kind: Kind, value: &Value) -> Result<ObjectKey, Problem> {
    let field = |name: &str| {
        let found = value.get("metadata").and_then(|m| m.get(name));
        match found {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(Value::String(_)) => Ok(None),
            Some(_) => Err(Problem::new(format!("metadata.{name}"), "is no text")),
        }
    };
    let name = field("name")?.ok_or_else(|| Problem::new("metadata.name", "is missing"))?;
    Ok(match kind {
        Kind::Namespace | Kind::Node => ObjectKey::new("", name),
        // As kubectl does without a namespace.
        Kind::Pod | Kind::NetworkPolicy | Kind::Service | Kind::EndpointSlice => ObjectKey::new(
            field("namespace")?.unwrap_or_else(|| "default".into()),
            name,
        ),
    })
}

/// Decodes an object or a part of it; the problem names the path below `at`.
fn decode<T: DeserializeOwned>(value: &Value, at: &str) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = match (at, path.as_str()) {
            (at, ".") => at.to_owned(),
            ("", path) => path.to_owned(),
            (at, path) => format!("{at}.{path}"),
        };
        Problem::new(field, error.inner().to_string())
    })
}

/// Metadata without managedFields and the like: only what a label or a time may break.
fn labels(value: &Value) -> Result<crate::labels::Labels, Problem> {
    match value.get("metadata").and_then(|m| m.get("labels")) {
        None | Some(Value::Null) => Ok(Default::default()),
        Some(labels) => decode(labels, "metadata.labels"),
    }
}

fn namespace(key: ObjectKey, value: &Value) -> Result<Namespace, Problem> {
    // "The control plane sets an immutable label kubernetes.io/metadata.name on all namespaces;
    // the value of the label is the namespace name."
    let labels = labels(value)?.with(NAMESPACE_NAME_LABEL, &key.name);
    let annotation = value
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(|annotations| annotations.get(REFUSE_ANNOTATION));
    let refusal = match annotation {
        None | Some(Value::Null) => Refusal::Unsaid,
        Some(Value::String(value)) => Refusal::of(value),
        Some(other) => Refusal::Unknown(other.to_string()),
    };
    Ok(Namespace {
        name: key.name,
        labels,
        refusal,
    })
}

/// What of a node's `status` policy needs.
#[derive(Deserialize)]
struct NodeStatus {
    addresses: Option<Vec<NodeAddress>>,
}

#[derive(Deserialize)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

fn node(key: ObjectKey, value: &Value) -> Result<Node, Problem> {
    let status: Option<NodeStatus> = match value.get("status") {
        None | Some(Value::Null) => None,
        Some(status) => Some(decode(status, "status")?),
    };
    let listed = status.and_then(|s| s.addresses).unwrap_or_default();
    let mut addresses = Vec::new();
    for (place, address) in listed.iter().enumerate() {
        if address.kind == "InternalIP" || address.kind == "ExternalIP" {
            let field = format!("status.addresses[{place}].address");
            addresses.push(problem::address(&address.address, &field)?);
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok(Node {
        name: key.name,
        addresses,
    })
}
