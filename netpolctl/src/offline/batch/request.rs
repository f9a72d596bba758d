//! Requests, and what can be wrong with them.

use std::fmt::Display;
use std::net::IpAddr;

use netpol_policy::objects_of;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::offline::probe::{FamilyError, Probe};
use crate::offline::traffic::Traffic;

/// One line of input.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    /// Given back with the answer.
    #[serde(default)]
    pub(super) id: Value,
    /// Which cluster this is a state of; a fresh one without.
    #[serde(default)]
    pub(super) cluster: Option<String>,
    /// All its objects.
    pub(super) objects: Vec<Value>,
    /// What is asked.
    pub(super) probes: Vec<Value>,
}

/// A probe that cannot be asked.
#[derive(Debug, Error)]
#[error("probes[{place}].{field}: {reason}")]
pub(super) struct ProbeError {
    place: usize,
    field: &'static str,
    reason: String,
}

impl Request {
    /// Reads a line. Where it is no request, what is wrong with it, and its id as far as there is
    /// one.
    pub(super) fn read(line: &[u8]) -> Result<Self, (Value, String)> {
        match serde_json::from_slice::<Self>(line) {
            Ok(mut request) => {
                let objects = request.objects.into_iter();
                request.objects = objects.flat_map(objects_of).collect();
                Ok(request)
            }
            Err(error) => {
                let value: Value = serde_json::from_slice(line).unwrap_or_default();
                let id = value.get("id").cloned().unwrap_or_default();
                Err((id, error.to_string()))
            }
        }
    }
}

/// The probes of a request.
pub(super) fn probes(values: &[Value]) -> Result<Vec<Probe>, ProbeError> {
    values
        .iter()
        .enumerate()
        .map(|(place, value)| probe(place, value))
        .collect()
}

fn probe(place: usize, value: &Value) -> Result<Probe, ProbeError> {
    let error = |field, reason: &dyn Display| ProbeError {
        place,
        field,
        reason: reason.to_string(),
    };
    let address = |field| -> Result<IpAddr, ProbeError> {
        let text = match value.get(field) {
            Some(Value::String(text)) => text,
            Some(other) => return Err(error(field, &format!("{other} is no address"))),
            None => return Err(error(field, &"is missing")),
        };
        text.parse()
            .map_err(|_| error(field, &format!("{text:?} is no address")))
    };
    let (from, to) = (address("from")?, address("to")?);
    let port = match value.get("port") {
        None | Some(Value::Null) => None,
        Some(port) => Some(
            port.as_u64()
                .and_then(|port| u16::try_from(port).ok())
                .ok_or_else(|| error("port", &format!("{port} is no port: 1 to 65535")))?,
        ),
    };
    let traffic = match value.get("protocol") {
        Some(Value::String(name)) => Traffic::new(name, port),
        Some(Value::Number(number)) => Traffic::new(&number.to_string(), port),
        // As in a policy: "If not specified, this field defaults to TCP."
        None | Some(Value::Null) => Traffic::new("TCP", port),
        Some(other) => return Err(error("protocol", &format!("{other} is no protocol"))),
    };
    let traffic = traffic.map_err(|e| error(e.field, &e.reason))?;
    Probe::new(from, to, traffic).map_err(|e| match e {
        FamilyError::Different { .. } => error("to", &e),
        FamilyError::Icmp(_) => error("protocol", &e),
    })
}
