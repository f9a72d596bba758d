//! Why the ports of a rule do not match a connection, in words.

use netpol_policy::Pod;
use netpol_policy::{PortMatch, PortSpec, Ports};

use super::Miss;
use crate::offline::traffic::Traffic;

/// What would have to be otherwise for a port of the rule to match; nothing when one does. Named
/// ports are those of `destination`, the pod that the connection goes to.
pub(super) fn miss(ports: &Ports, traffic: Traffic, destination: Option<&Pod>) -> Option<Miss> {
    let items = match ports {
        Ports::All => return None,
        Ports::Of(items) => items,
    };
    if items.iter().any(|item| matches(item, traffic, destination)) {
        return None;
    }
    let reason = match traffic {
        Traffic::Ping | Traffic::Ping6 => "ping passes only by a rule without ports".to_owned(),
        Traffic::Other(_) => format!("{traffic} passes only by a rule without ports"),
        Traffic::Tcp(_) | Traffic::Udp(_) | Traffic::Sctp(_) => {
            let allowed: Vec<String> = items.iter().map(|i| words(i, destination)).collect();
            format!("it allows {}, not {traffic}", allowed.join(", "))
        }
    };
    Some(Miss {
        distance: 1,
        reasons: vec![reason],
    })
}

fn matches(item: &PortMatch, traffic: Traffic, destination: Option<&Pod>) -> bool {
    let (protocol, port) = match traffic {
        Traffic::Tcp(port) | Traffic::Udp(port) | Traffic::Sctp(port) => {
            let protocol = netpol_policy::Protocol::from_name(&traffic.protocol_name());
            (protocol, port)
        }
        Traffic::Ping | Traffic::Ping6 | Traffic::Other(_) => return false,
    };
    let port_matches = match &item.port {
        PortSpec::Any => true,
        PortSpec::Range { first, last } => (*first..=*last).contains(&port),
        PortSpec::Named(name) => numbers(item, name, destination).contains(&port.get()),
    };
    protocol == Some(item.protocol) && port_matches
}

/// What an item allows; of a named port also what it means on the destination.
fn words(item: &PortMatch, destination: Option<&Pod>) -> String {
    let PortSpec::Named(name) = &item.port else {
        return item.to_string();
    };
    let numbers = numbers(item, name, destination);
    match destination {
        None => format!("{item} (which only pods have)"),
        Some(pod) if numbers.is_empty() => format!("{item} (which {} does not have)", pod.key),
        Some(pod) => {
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            format!("{item} ({} on {})", numbers.join(", "), pod.key)
        }
    }
}

fn numbers(item: &PortMatch, name: &str, destination: Option<&Pod>) -> Vec<u16> {
    let ports = destination.into_iter().flat_map(|pod| &pod.named_ports);
    let named = ports.filter(|p| p.name == name && p.protocol == item.protocol);
    named.map(|p| p.number).collect()
}
