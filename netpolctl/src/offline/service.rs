//! A probe to a Service: what becomes of it at each backend it may end at.
//!
//! The source's end judges the Service as the kernel would, before a backend is chosen. Then each
//! backend is asked: by its own policies, and by what it refuses since the source may not send there.

use std::net::IpAddr;
use std::num::NonZeroU16;

use netpol_datapath::memory::{Full, Memory};
use netpol_policy::{BackendView, ObjectKey, Protocol, ServiceView};

use super::addresses::Addresses;
use super::judge::{self, End, Outcome};
use super::probe::Probe;
use super::traffic::Traffic;

/// What a Service is to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Through {
    /// The Service.
    pub(crate) service: ObjectKey,
    /// The node may masquerade on the way, so every backend must be allowed.
    pub(crate) every: bool,
    /// Its backends.
    pub(crate) backends: Vec<Backend>,
}

/// A backend, and what becomes of the probe there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) view: BackendView,
    /// The probe as one that was addressed to the backend.
    pub(crate) direct: Outcome,
    /// The probe itself, once a Service has led it here.
    pub(crate) ingress: End,
}

/// Protocol and port, as Services have them.
pub(crate) fn port_of(traffic: Traffic) -> Option<(Protocol, NonZeroU16)> {
    match traffic {
        Traffic::Tcp(port) => Some((Protocol::Tcp, port)),
        Traffic::Udp(port) => Some((Protocol::Udp, port)),
        Traffic::Sctp(port) => Some((Protocol::Sctp, port)),
        Traffic::Ping | Traffic::Ping6 | Traffic::Other(_) => None,
    }
}

/// Asks every backend of a Service, and gives the outcome the end where the connection arrives:
/// one that takes it, if there is one.
pub(super) fn judge(
    memory: &mut Memory,
    addresses: &Addresses,
    probe: &Probe,
    view: ServiceView,
    outcome: &mut Outcome,
) -> Result<Through, Full> {
    let mut through = Through {
        service: view.service,
        every: view.every,
        backends: Vec::new(),
    };
    for backend in view.backends {
        let Some(direct) = to_backend(probe, backend.address, backend.port) else {
            continue;
        };
        let judged = judge::judge(memory, addresses, &direct)?;
        let itself = addresses.same_pod(probe.from(), backend.address);
        let ingress = if itself || backend.unknown {
            End::Outside
        } else {
            judge::destination(memory, addresses, &direct)?
        };
        through.backends.push(Backend {
            view: backend,
            direct: judged,
            ingress,
        });
    }
    if outcome.egress.passes() {
        let known = through.backends.iter().filter(|b| !b.view.unknown);
        let ends: Vec<&End> = known.map(|backend| &backend.ingress).collect();
        let taken = ends.iter().find(|end| end.passes()).or(ends.first());
        outcome.ingress = taken.map_or(End::Outside, |end| (*end).clone());
    }
    Ok(through)
}

fn to_backend(probe: &Probe, address: IpAddr, port: u16) -> Option<Probe> {
    let port = NonZeroU16::new(port)?;
    let traffic = match probe.traffic() {
        Traffic::Tcp(_) => Traffic::Tcp(port),
        Traffic::Udp(_) => Traffic::Udp(port),
        Traffic::Sctp(_) => Traffic::Sctp(port),
        Traffic::Ping | Traffic::Ping6 | Traffic::Other(_) => return None,
    };
    Probe::new(probe.from(), address, traffic).ok()
}
