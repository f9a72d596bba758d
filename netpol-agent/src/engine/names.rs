//! Numbers and addresses of the kernel's side -> names of the API's.

use std::net::IpAddr;

use netpol_api::{Flow, ObjectName, Peer, RuleRef, Verdict};
use netpol_common::{
    Direction, address,
    counter::{self, DropReason},
    endpoint::Endpoint,
    event::{self, Event},
    protocol,
};
use netpol_policy::{ClusterState, ObjectKey, Programmed, RuleAttribution, RuleView};

use super::report::unix_seconds;

/// The flow that an event tells of.
pub(crate) fn flow(event: &Event, state: &ClusterState, maps: &Programmed) -> Flow {
    let direction = Direction::from_word(event.direction).unwrap_or(Direction::Ingress);
    let local = address_of(event.family, event.local);
    let remote = address_of(event.family, event.remote);
    let (local_port, remote_port) = (event.ports as u16, (event.ports >> 16) as u16);
    let (source_port, destination_port) = match direction {
        Direction::Ingress => (remote_port, local_port),
        Direction::Egress => (local_port, remote_port),
    };
    let endpoint = endpoint_pod(event.endpoint, state, maps);
    Flow {
        time: unix_seconds(),
        endpoint: Peer {
            address: local,
            pod: endpoint.map(|pod| object_name(&pod)),
        },
        direction: direction_of(direction),
        peer: Peer {
            address: remote,
            pod: remote
                .and_then(|address| state.pod_at(address))
                .map(object_name),
        },
        protocol: if event.family == 0 {
            "-".to_owned()
        } else {
            protocol_name(event.protocol as u8)
        },
        destination_port,
        source_port,
        length: event.length,
        verdict: if event.verdict == event::ALLOWED {
            Verdict::Allow
        } else {
            Verdict::Deny
        },
        rule: rule_ref(event.counter, state),
    }
}

/// What a counter number is called.
pub(crate) fn rule_ref(number: u32, state: &ClusterState) -> RuleRef {
    if let Some(reason) = DropReason::from_counter(number) {
        return RuleRef::Drop {
            reason: reason.words().to_owned(),
        };
    }
    if let Some(text) = exemption(number) {
        return RuleRef::Exemption {
            text: text.to_owned(),
        };
    }
    match state.rule(number) {
        Some(view) => rule_of(view),
        None => RuleRef::Drop {
            reason: format!("rule {number}, which is gone"),
        },
    }
}

/// A rule as the API names it.
pub(crate) fn rule_of(view: RuleView) -> RuleRef {
    let direction = direction_of(view.direction);
    match view.attribution {
        RuleAttribution::Rule {
            policy,
            index,
            text,
        } => RuleRef::Rule {
            policy: object_name(&policy),
            direction,
            index: index as u32,
            text,
        },
        RuleAttribution::DefaultDeny { policies } => RuleRef::DefaultDeny {
            policies: policies.iter().map(object_name).collect(),
            direction,
        },
    }
}

/// The counters of what passes without a rule.
pub(crate) const EXEMPTIONS: [u32; 4] = [
    counter::NOT_ISOLATED,
    counter::FROM_NODE,
    counter::SELF,
    counter::NEIGHBOUR,
];

fn exemption(number: u32) -> Option<&'static str> {
    match number {
        counter::NOT_ISOLATED => Some("no policy isolates the pod in this direction"),
        counter::FROM_NODE => Some("from the pod's own node"),
        counter::SELF => Some("the pod itself"),
        counter::NEIGHBOUR => Some("ARP and neighbour discovery"),
        _ => None,
    }
}

/// The pod behind an interface, by what is in force there.
pub(crate) fn endpoint_pod(
    ifindex: u32,
    state: &ClusterState,
    maps: &Programmed,
) -> Option<ObjectKey> {
    let endpoint = maps.endpoints.get(&ifindex)?;
    let mut addresses = endpoint_addresses(endpoint);
    addresses.find_map(|address| state.pod_at(address)).cloned()
}

/// Whether an endpoint's entry has an address.
pub(crate) fn has_address(endpoint: &Endpoint, address: IpAddr) -> bool {
    endpoint_addresses(endpoint).any(|own| own == address)
}

fn endpoint_addresses(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    let v4 = endpoint.v4.into_iter().filter(|word| *word != 0);
    let v4 = v4.map(|word| IpAddr::V4(address::v4_from_word(word)));
    let v6 = endpoint.v6.into_iter().filter(|words| *words != [0; 4]);
    v4.chain(v6.map(|words| IpAddr::V6(address::v6_from_words(words))))
}

fn address_of(family: u32, words: [u32; 4]) -> Option<IpAddr> {
    match family {
        4 => Some(IpAddr::V4(address::v4_from_word(words[0]))),
        6 => Some(IpAddr::V6(address::v6_from_words(words))),
        _ => None,
    }
}

/// A protocol as the API writes it.
pub(crate) fn protocol_name(number: u8) -> String {
    match number {
        protocol::TCP => "TCP".to_owned(),
        protocol::UDP => "UDP".to_owned(),
        protocol::SCTP => "SCTP".to_owned(),
        protocol::ICMP => "ICMP".to_owned(),
        protocol::ICMPV6 => "ICMPv6".to_owned(),
        other => other.to_string(),
    }
}

/// A direction as the API has it.
pub(crate) fn direction_of(direction: Direction) -> netpol_api::Direction {
    match direction {
        Direction::Ingress => netpol_api::Direction::Ingress,
        Direction::Egress => netpol_api::Direction::Egress,
    }
}

/// An object's name as the API has it.
pub(crate) fn object_name(key: &ObjectKey) -> ObjectName {
    ObjectName {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}
