//! One item of `ports`.

use super::Protocol;
use super::json::{At, Reading};
use super::rule::Traffic;

#[derive(Debug)]
pub(super) struct Port {
    protocol: Protocol,
    which: Which,
}

#[derive(Debug)]
enum Which {
    /// "If this field is not provided, this matches all port names and numbers."
    Every,
    /// "the range of ports from port to endPort if set, inclusive"; a single port is a range of
    /// one.
    Range(u16, u16),
    Named(String),
}

impl Port {
    pub(super) fn read(at: &At<'_>) -> Reading<Self> {
        let protocol = at.get("protocol")?;
        let protocol = match &protocol {
            // "If not specified, this field defaults to TCP."
            None => Protocol::Tcp,
            Some(protocol) => match protocol.text()? {
                "TCP" => Protocol::Tcp,
                "UDP" => Protocol::Udp,
                "SCTP" => Protocol::Sctp,
                unknown => return Err(protocol.fault(format!("unknown protocol {unknown:?}"))),
            },
        };
        let which = Which::read(at)?;
        Ok(Self { protocol, which })
    }

    /// "If present, only traffic on the specified protocol AND port will be matched."
    pub(super) fn matches(&self, traffic: &Traffic<'_>) -> bool {
        if traffic.protocol != self.protocol {
            return false;
        }
        match &self.which {
            Which::Every => true,
            Which::Range(first, last) => traffic
                .port
                .is_some_and(|port| (*first..=*last).contains(&port)),
            // "This can either be a numerical or named port on a pod": the pod is the one that has
            // the port, so the destination. What is no pod has no names.
            Which::Named(name) => traffic.destination.is_some_and(|pod| {
                pod.named_ports.iter().any(|named| {
                    named.name == *name
                        && named.protocol == self.protocol
                        && traffic.port.map(u64::from) == Some(named.number)
                })
            }),
        }
    }
}

impl Which {
    fn read(at: &At<'_>) -> Reading<Self> {
        match (at.get("port")?, at.get("endPort")?) {
            (None, None) => Ok(Self::Every),
            // "This field cannot be defined if the port field is not defined or if the port field
            // is defined as a named (string) port."
            (None, Some(end)) => Err(end.fault("has no port to start from")),
            (Some(port), Some(end)) if port.is_text() => Err(end.fault("follows a named port")),
            (Some(port), None) if port.is_text() => Ok(Self::Named(read_name(&port)?)),
            (Some(port), None) => {
                let number = read_number(&port)?;
                Ok(Self::Range(number, number))
            }
            (Some(port), Some(end)) => {
                let (first, last) = (read_number(&port)?, read_number(&end)?);
                // "The endPort must be equal or greater than port."
                if last < first {
                    return Err(end.fault(format!("{last} is below {first}")));
                }
                Ok(Self::Range(first, last))
            }
        }
    }
}

fn read_number(at: &At<'_>) -> Reading<u16> {
    let number = at.number()?;
    match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(at.fault(format!("{number} is not in 1..=65535"))),
    }
}

/// The API server's `IsValidPortName`: "It must be non-empty and no more than 15 characters long.
/// It may contain only [-a-z0-9] and must contain at least one letter [a-z]. It must not start or
/// end with a hyphen, nor contain adjacent hyphens."
fn read_name(at: &At<'_>) -> Reading<String> {
    let name = at.text()?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let valid = (1..=15).contains(&name.len())
        && name.chars().all(allowed)
        && name.chars().any(|c| c.is_ascii_lowercase())
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-');
    match valid {
        true => Ok(name.to_owned()),
        false => Err(at.fault(format!("{name:?} is no port name"))),
    }
}
