//! Ports of a rule.

use std::num::NonZeroU16;

use k8s_openapi::{
    api::networking::v1::NetworkPolicyPort, apimachinery::pkg::util::intstr::IntOrString,
};

use super::Problem;
use crate::policy::{PortMatch, PortSpec, Protocol};

pub(super) fn port_match(given: &NetworkPolicyPort, at: &str) -> Result<PortMatch, Problem> {
    // "If not specified, this field defaults to TCP."
    let protocol = given.protocol.as_deref().unwrap_or("TCP");
    let protocol = Protocol::from_name(protocol).ok_or_else(|| {
        Problem::new(
            format!("{at}.protocol"),
            format!("{protocol:?} is none of TCP, UDP, SCTP"),
        )
    })?;
    let end_port = format!("{at}.endPort");
    let port = match (&given.port, given.end_port) {
        (None, None) => PortSpec::Any,
        // "This field cannot be defined if the port field is not defined or if the port field is
        // defined as a named (string) port."
        (None, Some(_)) => return Err(Problem::new(end_port, "needs a port")),
        (Some(IntOrString::String(_)), Some(_)) => {
            return Err(Problem::new(end_port, "cannot stand beside a named port"));
        }
        (Some(IntOrString::String(name)), None) => named(name, &format!("{at}.port"))?,
        (Some(IntOrString::Int(first)), end) => {
            let first = number(*first, &format!("{at}.port"))?;
            let last = end.map_or(Ok(first), |end| number(end, &end_port))?;
            // "The endPort must be equal or greater than port."
            if last < first {
                let reason = format!("{last} is below the port, {first}");
                return Err(Problem::new(end_port, reason));
            }
            PortSpec::Range { first, last }
        }
    };
    Ok(PortMatch { protocol, port })
}

fn number(given: i32, field: &str) -> Result<NonZeroU16, Problem> {
    u16::try_from(given)
        .ok()
        .and_then(NonZeroU16::new)
        .ok_or_else(|| Problem::new(field, format!("{given} is not between 1 and 65535")))
}

/// A port name as RFC 6335, section 5.1 and Kubernetes' `IsValidPortName` have it.
fn named(name: &str, field: &str) -> Result<PortSpec, Problem> {
    let characters = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let shape = (1..=15).contains(&name.len())
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-');
    if characters && shape {
        return Ok(PortSpec::Named(name.to_owned()));
    }
    let hint = if name.bytes().all(|b| b.is_ascii_digit()) {
        "write a number without quotes"
    } else {
        "at most 15 of a-z, 0-9 and single '-' inside, with a letter"
    };
    Err(Problem::new(
        field,
        format!("{name:?} is no port name: {hint}"),
    ))
}
