//! Why a peer of a rule does not match the other side of a connection, in words.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netpol_policy::Pod;
use netpol_policy::{Block, Namespaces, Peer, Peers};
use netpol_policy::{Labels, Operator, Requirement, Selector};

use super::Miss;

/// The side of a connection that a rule's peers are compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote<'a> {
    /// Its address.
    pub(crate) address: IpAddr,
    /// The pod that has it, and the labels of the pod's namespace.
    pub(crate) pod: Option<(&'a Pod, &'a Labels)>,
}

/// The least that would have to be otherwise for a peer of the rule to match; nothing when one
/// does.
pub(super) fn miss(peers: &Peers, remote: Remote<'_>) -> Option<Miss> {
    let items = match peers {
        Peers::Anyone => return None,
        Peers::Of(items) => items,
    };
    let mut nearest: Option<Miss> = None;
    for item in items {
        let reasons = match item {
            Peer::Pods { namespaces, pods } => selector_reasons(namespaces, pods, remote),
            Peer::Block(block) => block_reason(block, remote.address).into_iter().collect(),
        };
        if reasons.is_empty() {
            return None;
        }
        let miss = Miss {
            distance: reasons.len(),
            reasons,
        };
        if nearest.as_ref().is_none_or(|n| miss.distance < n.distance) {
            nearest = Some(miss);
        }
    }
    nearest
}

fn selector_reasons(namespaces: &Namespaces, pods: &Selector, remote: Remote<'_>) -> Vec<String> {
    let Some((pod, namespace_labels)) = remote.pod else {
        let address = remote.address;
        return vec![format!(
            "{address} is no pod's address, and selectors match pods only"
        )];
    };
    let mut reasons = Vec::new();
    let its = &pod.key.namespace;
    match namespaces {
        // "Otherwise it selects the pods matching podSelector in the policy's own namespace."
        Namespaces::Named(own) if own != its => reasons.push(format!(
            "pod {}: is in namespace {its}, and a podSelector alone means the policy's own, {own}",
            pod.key
        )),
        Namespaces::Named(_) => {}
        Namespaces::Selected(selector) => {
            let unmet = unmet(selector, namespace_labels);
            reasons
                .extend(unmet.map(|r| format!("namespace {its}: {}", words(r, namespace_labels))));
        }
    }
    let unmet = unmet(pods, &pod.labels);
    reasons.extend(unmet.map(|r| format!("pod {}: {}", pod.key, words(r, &pod.labels))));
    reasons
}

fn unmet<'a>(selector: &'a Selector, labels: &'a Labels) -> impl Iterator<Item = &'a Requirement> {
    selector.requirements().filter(|r| !r.matches(labels))
}

/// What about the labels fails the requirement.
fn words(requirement: &Requirement, labels: &Labels) -> String {
    let key = &requirement.key;
    match (&requirement.operator, labels.get(key)) {
        (Operator::In(wanted), Some(value)) => {
            format!("label {key} is {value}, not {}", one_of(wanted))
        }
        (Operator::In(wanted), None) => {
            format!("has no label {key}, which must be {}", one_of(wanted))
        }
        (Operator::NotIn(_), Some(value)) => format!("label {key} is {value}, which is ruled out"),
        (Operator::Exists, _) => format!("has no label {key}"),
        (Operator::DoesNotExist | Operator::NotIn(_), _) => {
            format!("has the label {key}, which is ruled out")
        }
    }
}

fn one_of(values: &BTreeSet<String>) -> String {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    values.join(" or ")
}

fn block_reason(block: &Block, address: IpAddr) -> Option<String> {
    let net = block.net;
    if net.contains(&address) {
        let hole = block.except.iter().find(|hole| hole.contains(&address))?;
        return Some(format!("{address} is in {hole}, which is excepted"));
    }
    let is_v6 = |address: IpAddr| address.is_ipv6();
    Some(if is_v6(net.network()) == is_v6(address) {
        format!("{address} is outside {net}")
    } else {
        let family = if is_v6(address) { "IPv6" } else { "IPv4" };
        format!("{address} is {family}, of which {net} says nothing")
    })
}
