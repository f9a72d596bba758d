//! NetworkPolicies: what is absent, `[]` and `[{}]`, and what is not valid.

use ipnet::IpNet;
use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use serde_json::Value;

use super::{Problem, decode};
use crate::{
    object::ObjectKey,
    policy::{Block, Namespaces, Peer, Peers, Policy, PolicyVersion, Ports, Rule},
    selector::Selector,
};

mod ports;
mod selectors;

use selectors::selector;

/// Reads a policy. One that is not valid keeps its selector and directions as far as these can be
/// read, and closes: its pods are isolated and it allows nothing.
pub(super) fn policy(key: ObjectKey, value: &Value) -> Policy {
    let empty = Value::Object(serde_json::Map::new());
    let spec = match value.get("spec") {
        None | Some(Value::Null) => &empty,
        Some(spec) => spec,
    };
    Policy {
        version: version(value),
        ..valid(&key, spec).unwrap_or_else(|problem| closed(key, spec, problem))
    }
}

/// Which state of the object it is, as far as it says so.
fn version(value: &Value) -> PolicyVersion {
    let field = |name: &str| value.get("metadata").and_then(|m| m.get(name));
    let uid = field("uid").and_then(Value::as_str);
    PolicyVersion {
        uid: uid.unwrap_or_default().to_owned(),
        generation: field("generation").and_then(Value::as_i64),
    }
}

/// Whether an apiVersion that is not ours still means the stock object: an old one, or a slip of
/// the pen. Those of other groups (`crd.projectcalico.org`) are other objects.
pub(super) fn is_meant(group_version: &str) -> bool {
    let group = group_version.split('/').next().unwrap_or_default();
    !group_version.contains('/') || group == "extensions" || group.starts_with("networking")
}

/// Reads a policy whose apiVersion is not the one whose meaning is known.
pub(super) fn of_another_version(key: ObjectKey, value: &Value, group_version: &str) -> Policy {
    let reason = format!("{group_version:?} is not networking.k8s.io/v1");
    let spec = value.get("spec").unwrap_or(&Value::Null);
    Policy {
        version: version(value),
        ..closed(key, spec, Problem::new("apiVersion", reason))
    }
}

fn valid(key: &ObjectKey, spec: &Value) -> Result<Policy, Problem> {
    let spec = decode_spec(spec)?;
    let subjects = spec.pod_selector.as_ref();
    let subjects = subjects.map_or(Ok(Selector::everything()), |s| {
        selector(s, "spec.podSelector")
    })?;
    // "If no policyTypes are specified on a NetworkPolicy then by default Ingress will always be
    // set and Egress will be set if the NetworkPolicy has any egress rules."
    let types = spec.policy_types.unwrap_or_default();
    let egress_rules = spec.egress.unwrap_or_default();
    for (place, name) in types.iter().enumerate() {
        if name != "Ingress" && name != "Egress" {
            let field = format!("spec.policyTypes[{place}]");
            let reason = format!("{name:?} is neither Ingress nor Egress");
            return Err(Problem::new(field, reason));
        }
    }
    let isolates = |name: &str, default: bool| {
        if types.is_empty() {
            default
        } else {
            types.iter().any(|t| t == name)
        }
    };
    let (ingress_isolates, egress_isolates) = (
        isolates("Ingress", true),
        isolates("Egress", !egress_rules.is_empty()),
    );
    let mut ingress = Vec::new();
    for (place, item) in spec.ingress.unwrap_or_default().into_iter().enumerate() {
        let at = format!("spec.ingress[{place}]");
        ingress.push(rule(key, item.from, item.ports, &at, "from")?);
    }
    let mut egress = Vec::new();
    for (place, item) in egress_rules.into_iter().enumerate() {
        let at = format!("spec.egress[{place}]");
        egress.push(rule(key, item.to, item.ports, &at, "to")?);
    }
    Ok(Policy {
        key: key.clone(),
        version: PolicyVersion::default(),
        subjects,
        ingress: ingress_isolates.then_some(ingress),
        egress: egress_isolates.then_some(egress),
        problem: None,
    })
}

/// Decodes the spec and refuses fields the API does not have: a field that is not understood
/// would have changed what the policy says.
fn decode_spec(spec: &Value) -> Result<NetworkPolicySpec, Problem> {
    if !spec.is_object() {
        return Err(Problem::new("spec", "is no object"));
    }
    let mut unknown = None;
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(spec, &mut track);
    let decoded = serde_ignored::deserialize(tracked, |path: serde_ignored::Path<'_>| {
        unknown.get_or_insert_with(|| path.to_string());
    });
    match (decoded, unknown) {
        (Err(error), _) => {
            let path = track.path().to_string();
            Err(Problem::new(format!("spec.{path}"), error.to_string()))
        }
        (Ok(_), Some(path)) => {
            let field = format!("spec.{}", readable_path(&path));
            Err(Problem::new(field, "is no field of a NetworkPolicy"))
        }
        (Ok(spec), None) => Ok(spec),
    }
}

/// `ingress.?.0.from` as `ingress[0].from`: optional layers are not part of the path, and list
/// places stand in brackets, as everywhere else.
fn readable_path(path: &str) -> String {
    let mut readable = String::new();
    for part in path.split('.').filter(|part| *part != "?") {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            readable.push_str(&format!("[{part}]"));
        } else {
            if !readable.is_empty() {
                readable.push('.');
            }
            readable.push_str(part);
        }
    }
    readable
}

fn rule(
    policy: &ObjectKey,
    peers: Option<Vec<NetworkPolicyPeer>>,
    ports: Option<Vec<NetworkPolicyPort>>,
    at: &str,
    peers_field: &str,
) -> Result<Rule, Problem> {
    // "If this field is empty or missing, this rule matches all sources (traffic not restricted
    // by source)", and the same of destinations and ports.
    let peers = match peers.unwrap_or_default() {
        none if none.is_empty() => Peers::Anyone,
        some => Peers::Of(
            some.into_iter()
                .enumerate()
                .map(|(place, item)| peer(policy, &item, &format!("{at}.{peers_field}[{place}]")))
                .collect::<Result<_, _>>()?,
        ),
    };
    let ports = match ports.unwrap_or_default() {
        none if none.is_empty() => Ports::All,
        some => Ports::Of(
            some.into_iter()
                .enumerate()
                .map(|(place, item)| ports::port_match(&item, &format!("{at}.ports[{place}]")))
                .collect::<Result<_, _>>()?,
        ),
    };
    Ok(Rule { peers, ports })
}

fn peer(policy: &ObjectKey, peer: &NetworkPolicyPeer, at: &str) -> Result<Peer, Problem> {
    let namespaces = peer.namespace_selector.as_ref();
    let pods = peer.pod_selector.as_ref();
    match (&peer.ip_block, namespaces, pods) {
        (Some(given), None, None) => block(given, &format!("{at}.ipBlock")).map(Peer::Block),
        // "If this field is set then neither of the other fields can be."
        (Some(_), _, _) => Err(Problem::new(
            format!("{at}.ipBlock"),
            "cannot stand beside a selector: write two items",
        )),
        (None, None, None) => Err(Problem::new(
            at,
            "needs one of podSelector, namespaceSelector, ipBlock",
        )),
        (None, namespaces, pods) => Ok(Peer::Pods {
            // "Otherwise it selects the pods matching podSelector in the policy's own namespace."
            namespaces: match namespaces {
                None => Namespaces::Named(policy.namespace.clone()),
                Some(given) => {
                    Namespaces::Selected(selector(given, &format!("{at}.namespaceSelector"))?)
                }
            },
            // "Otherwise it selects all pods in the namespaces selected by namespaceSelector."
            pods: pods.map_or(Ok(Selector::everything()), |given| {
                selector(given, &format!("{at}.podSelector"))
            })?,
        }),
    }
}

fn block(block: &IPBlock, at: &str) -> Result<Block, Problem> {
    let net = net(&block.cidr, &format!("{at}.cidr"))?;
    let mut except = Vec::new();
    for (place, text) in block.except.iter().flatten().enumerate() {
        let field = format!("{at}.except[{place}]");
        let hole = self::net(text, &field)?;
        // "Except values will be rejected if they are outside the cidr range."
        if !net.contains(&hole) {
            return Err(Problem::new(field, format!("{hole} is outside {net}")));
        }
        except.push(hole);
    }
    except.sort_unstable();
    except.dedup();
    Ok(Block { net, except })
}

fn net(text: &str, field: &str) -> Result<IpNet, Problem> {
    let net: IpNet = text.parse().map_err(|_| {
        Problem::new(
            field,
            format!("{text:?} is no CIDR such as 10.0.0.0/8 or 2001:db8::/32"),
        )
    })?;
    if let IpNet::V6(v6) = net
        && v6.addr().to_ipv4_mapped().is_some()
    {
        let reason = format!("{text:?} maps IPv4 into IPv6: write the IPv4 CIDR");
        return Err(Problem::new(field, reason));
    }
    Ok(net.trunc())
}

/// The policy of an invalid object: it isolates as far as it can be read, and allows nothing.
fn closed(key: ObjectKey, spec: &Value, problem: Problem) -> Policy {
    let subjects = match spec.get("podSelector") {
        None | Some(Value::Null) => Ok(Selector::everything()),
        Some(given) => decode::<LabelSelector>(given, "spec.podSelector")
            .and_then(|given| selector(&given, "spec.podSelector")),
    };
    let (ingress, egress) = directions(spec);
    Policy {
        key,
        version: PolicyVersion::default(),
        // Where even the selector is unreadable, every pod of the namespace is isolated.
        subjects: subjects.unwrap_or_else(|_| Selector::everything()),
        ingress: ingress.then(Vec::new),
        egress: egress.then(Vec::new),
        problem: Some(problem.into()),
    }
}

/// The directions of an invalid policy; what cannot be read isolates in both.
fn directions(spec: &Value) -> (bool, bool) {
    let has_egress = match spec.get("egress") {
        None | Some(Value::Null) => false,
        Some(Value::Array(rules)) => !rules.is_empty(),
        Some(_) => true,
    };
    let fields = ["podSelector", "policyTypes", "ingress", "egress"];
    let Some(given) = spec.as_object() else {
        return (true, true);
    };
    // A field that is not understood may be a misspelt one that says more.
    if given.keys().any(|name| !fields.contains(&name.as_str())) {
        return (true, true);
    }
    match spec.get("policyTypes") {
        None | Some(Value::Null) => (true, has_egress),
        Some(Value::Array(types)) if types.is_empty() => (true, has_egress),
        Some(Value::Array(types)) => {
            let known = |name: &Value| name == "Ingress" || name == "Egress";
            if types.iter().all(known) {
                let listed = |name: &str| types.iter().any(|t| t == name);
                (listed("Ingress"), listed("Egress"))
            } else {
                (true, true)
            }
        }
        Some(_) => (true, true),
    }
}

#[cfg(test)]
mod tests;
