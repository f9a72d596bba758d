//! Names of rules, peers and lists, worded alike in every command.

use std::net::{IpAddr, SocketAddr};

use netpol_api::{Direction, EndpointState, ObjectName, Peer, RuleRef};

use crate::output::Detail;
use crate::output::table::{Cell, bad, good, warn};

/// Whether an endpoint enforces its policies.
pub(crate) fn state(state: &EndpointState) -> Cell {
    match state {
        EndpointState::Enforced => good("enforced"),
        EndpointState::Pending { .. } => warn("pending"),
        EndpointState::Closed { .. } => bad("closed"),
    }
}

/// Why it does not.
pub(crate) fn reason(state: &EndpointState) -> &str {
    match state {
        EndpointState::Enforced => "-",
        EndpointState::Pending { reason } | EndpointState::Closed { reason } => reason,
    }
}

/// What a verdict is attributed to, in one line.
pub(crate) fn rule(rule: &RuleRef) -> String {
    match rule {
        RuleRef::Rule {
            policy,
            direction,
            index,
            text,
        } => format!("{policy} {direction}[{index}]: {text}"),
        RuleRef::DefaultDeny {
            policies,
            direction,
        } => default_deny(policies, *direction),
        RuleRef::SourceDeny { policies } => {
            format!(
                "the sender is {}",
                default_deny(policies, Direction::Egress)
            )
        }
        RuleRef::Exemption { text } => text.clone(),
        RuleRef::Drop { reason } => reason.clone(),
    }
}

/// Why a default deny denies. Called for every refused probe of a batch.
fn default_deny(policies: &[ObjectName], direction: Direction) -> String {
    let mut text = String::from("isolated by ");
    for (place, policy) in policies.iter().enumerate() {
        text += if place > 0 { ", " } else { "" };
        text += &policy.namespace;
        text.push('/');
        text += &policy.name;
    }
    text += match direction {
        Direction::Ingress => "; no ingress rule allows it",
        Direction::Egress => "; no egress rule allows it",
    };
    text
}

/// A list of names; a long one is cut short unless everything is wanted.
pub(crate) fn names(names: &[ObjectName], detail: Detail) -> String {
    list(names.iter().map(ObjectName::to_string), detail)
}

/// A list of names without their namespace.
pub(crate) fn bare_names(names: &[ObjectName], detail: Detail) -> String {
    list(names.iter().map(|n| n.name.clone()), detail)
}

fn list(names: impl ExactSizeIterator<Item = String>, detail: Detail) -> String {
    const SHOWN: usize = 3;
    let hidden = match detail {
        Detail::Table if names.len() > SHOWN + 1 => names.len() - SHOWN,
        _ => 0,
    };
    let shown = names.len() - hidden;
    let mut text = names.take(shown).collect::<Vec<_>>().join(", ");
    if hidden > 0 {
        text += &format!(" and {hidden} more");
    }
    text
}

/// One side of a flow: the pod's name where there is one, the address else.
pub(crate) fn peer(peer: &Peer, detail: Detail) -> String {
    match (&peer.pod, peer.address) {
        (Some(pod), Some(address)) if detail == Detail::Wide => format!("{pod} ({address})"),
        (Some(pod), _) => pod.to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => "-".to_owned(),
    }
}

/// Protocol and port: `TCP/6379`, or the protocol alone where it has no ports.
pub(crate) fn port(protocol: &str, port: u16) -> String {
    match protocol {
        "TCP" | "UDP" | "SCTP" => format!("{protocol}/{port}"),
        _ => protocol.to_owned(),
    }
}

/// Address and port, an IPv6 address in brackets.
pub(crate) fn socket(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}
