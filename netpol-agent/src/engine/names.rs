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
        verdict: match event.verdict {
            event::ALLOWED => Verdict::Allow,
            event::REJECTED => Verdict::Reject,
            _ => Verdict::Deny,
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
        RuleAttribution::SourceDeny { policies } => RuleRef::SourceDeny {
            policies: policies.iter().map(object_name).collect(),
        },
    }
}

/// The counters of what passes without a rule.
pub(crate) const EXEMPTIONS: [u32; 5] = [
    counter::NOT_ISOLATED,
    counter::FROM_NODE,
    counter::SELF,
    counter::NEIGHBOUR,
    counter::ANSWER,
];

fn exemption(number: u32) -> Option<&'static str> {
    match number {
        counter::NOT_ISOLATED => Some("no policy isolates the pod in this direction"),
        counter::FROM_NODE => Some("from the pod's own node"),
        counter::SELF => Some("the pod itself"),
        counter::NEIGHBOUR => Some("ARP and neighbour discovery"),
        counter::ANSWER => Some("netpol's own answer to a refused packet"),
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

#[cfg(test)]
mod tests {
    use netpol_policy::{Change, Limits, Object, Scope};
    use serde_json::json;

    use super::*;

    fn state() -> ClusterState {
        let mut state = ClusterState::new(Scope::Node("n".to_owned()), Limits::UNLIMITED);
        for (name, address) in [("here", "10.0.0.1"), ("there", "10.0.0.2")] {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "a"},
                "spec": {"nodeName": "n"},
                "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
            });
            let object = Object::from_value(&pod).expect("valid").expect("a pod");
            state.apply(Change::Set(object));
        }
        state
    }

    fn maps() -> Programmed {
        let mut maps = Programmed::default();
        let mut endpoint = Endpoint::default();
        endpoint.v4[0] = address::v4_word([10, 0, 0, 1].into());
        maps.endpoints.insert(7, endpoint);
        maps
    }

    fn event(direction: Direction) -> Event {
        Event {
            endpoint: 7,
            direction: direction as u32,
            verdict: event::DENIED,
            counter: DropReason::Spoofed.counter(),
            protocol: protocol::TCP.into(),
            ports: 80 << 16 | 4000,
            length: 60,
            family: 4,
            local: [address::v4_word([10, 0, 0, 1].into()), 0, 0, 0],
            remote: [address::v4_word([10, 0, 0, 2].into()), 0, 0, 0],
        }
    }

    #[test]
    fn both_sides_of_a_flow_are_named_and_its_ports_follow_the_packet() {
        let out = flow(&event(Direction::Egress), &state(), &maps());
        assert_eq!((out.source_port, out.destination_port), (4000, 80));
        let named = |peer: &Peer| peer.pod.as_ref().map(ToString::to_string);
        assert_eq!(named(&out.endpoint).as_deref(), Some("a/here"));
        assert_eq!(named(&out.peer).as_deref(), Some("a/there"));
        assert_eq!(out.verdict, Verdict::Deny);
        let reason = "spoofed source address".to_owned();
        assert_eq!(out.rule, RuleRef::Drop { reason });

        let back = flow(&event(Direction::Ingress), &state(), &maps());
        assert_eq!((back.source_port, back.destination_port), (80, 4000));
    }

    #[test]
    fn what_could_not_be_read_and_who_is_not_known_stay_blank() {
        let blank = Event {
            endpoint: 8,
            family: 0,
            ..event(Direction::Ingress)
        };
        let flow = flow(&blank, &state(), &maps());
        assert_eq!(flow.protocol, "-");
        assert_eq!((flow.endpoint.pod, flow.endpoint.address), (None, None));
        assert_eq!((flow.peer.pod, flow.peer.address), (None, None));
    }

    #[test]
    fn every_fixed_counter_has_a_name() {
        for number in EXEMPTIONS {
            let rule = rule_ref(number, &state());
            assert!(matches!(rule, RuleRef::Exemption { .. }), "{number}");
        }
        for reason in DropReason::ALL {
            let rule = rule_ref(reason.counter(), &state());
            let reason = reason.words().to_owned();
            assert_eq!(rule, RuleRef::Drop { reason });
        }
    }
}
