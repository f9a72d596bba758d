//! What is said about a question: the verdict, what each end says, and what came nearest.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;
use netpol_api::{Direction, ObjectName, RuleRef, Verdict};
use netpol_policy::Policy;
use serde::Serialize;

use super::objects::Objects;
use super::question::Party;
use crate::offline;
use crate::offline::cluster::Cluster;
use crate::offline::explain::{self, Explanation, Remote};
use crate::offline::judge::{End, Outcome};
use crate::offline::probe::Probe;
use crate::offline::service::{Backend, Through};

/// The answer to a question.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `allow` if the connection is allowed in every family that both sides have.
    pub(super) verdict: Verdict,
    /// One for each such family.
    pub(super) probes: Vec<ProbeReport>,
}

/// The answer for one family.
#[derive(Debug, Serialize)]
pub(super) struct ProbeReport {
    /// Who opens the connection.
    pub(super) from: Side,
    /// To whom.
    pub(super) to: Side,
    /// `TCP`, `UDP`, `SCTP`, `ICMP` or a number.
    pub(super) protocol: String,
    /// The port it goes to.
    pub(super) port: Option<u16>,
    /// Whether it is allowed.
    pub(super) verdict: Verdict,
    /// The end that denies it: `egress` at the source, `ingress` at the destination.
    pub(super) at: Option<Direction>,
    /// What the source's end says.
    pub(super) egress: EndReport,
    /// What the destination's end says.
    pub(super) ingress: EndReport,
    /// The Service that the address is, and where it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<ServiceReport>,
    #[serde(skip)]
    pub(super) traffic: String,
}

/// A Service that a connection goes through.
#[derive(Debug, Serialize)]
pub(super) struct ServiceReport {
    /// The Service.
    pub(super) name: ObjectName,
    /// The node may masquerade on the way, so that no backend knows who sends: every backend must
    /// be allowed at the source.
    pub(super) every_backend: bool,
    /// Where the connection may end.
    pub(super) backends: Vec<BackendReport>,
}

/// A backend of a Service.
#[derive(Debug, Serialize)]
pub(super) struct BackendReport {
    /// The backend.
    pub(super) to: Side,
    /// Its port.
    pub(super) port: u16,
    /// Whether a connection that kube-proxy sends here is let in.
    pub(super) verdict: Verdict,
    /// What the source's policies say of this backend.
    pub(super) egress: EndReport,
    /// What the backend's end says.
    pub(super) ingress: EndReport,
}

/// One side of a connection.
#[derive(Debug, Serialize)]
pub(super) struct Side {
    /// The pod, if the address is one's.
    pub(super) pod: Option<ObjectName>,
    /// The address.
    pub(super) address: IpAddr,
    /// Whether the address stands in for one that the manifest does not have.
    pub(super) synthetic: bool,
}

/// What one end says.
#[derive(Debug, Serialize)]
pub(super) struct EndReport {
    /// None where nobody judges, since the address is no pod's.
    pub(super) verdict: Option<Verdict>,
    /// What decided; none where nothing isolates the pod in either direction.
    pub(super) rule: Option<RuleRef>,
    /// Of a pod that cannot be understood, why.
    pub(super) problem: Option<String>,
    /// What came nearest to allowing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nearest: Option<Explanation>,
}

/// Judges every probe of a question.
pub(super) fn report(
    cluster: &mut Cluster,
    objects: &Objects,
    from: &Party,
    to: &Party,
    probes: &[Probe],
) -> Result<Report> {
    let mut reports = Vec::new();
    for probe in probes {
        let (outcome, through) = cluster.judge(probe)?;
        let mut report = probe_report(cluster, objects, [from, to], probe, &outcome);
        report.service = through.map(|t| service_report(cluster, objects, probe, &outcome, &t));
        reports.push(report);
    }
    let denied = reports.iter().any(|r| r.verdict == Verdict::Deny);
    Ok(Report {
        verdict: if denied {
            Verdict::Deny
        } else {
            Verdict::Allow
        },
        probes: reports,
    })
}

fn probe_report(
    cluster: &Cluster,
    objects: &Objects,
    [from, to]: [&Party; 2],
    probe: &Probe,
    outcome: &Outcome,
) -> ProbeReport {
    let at = outcome.denied_at();
    let side = |party: &Party, address: IpAddr| Side {
        pod: match party {
            Party::Pod(pod) => Some(offline::name(pod)),
            Party::Address(_) | Party::Service(_) => {
                cluster.pod_at(address).map(|pod| offline::name(&pod.key))
            }
        },
        address,
        synthetic: objects.is_synthetic(address),
    };
    ProbeReport {
        from: side(from, probe.from()),
        to: side(to, probe.to()),
        protocol: probe.traffic().protocol_name(),
        port: probe.traffic().port().map(u16::from),
        verdict: if at.is_some() {
            Verdict::Deny
        } else {
            Verdict::Allow
        },
        at,
        egress: end_report(cluster, probe, Direction::Egress, outcome),
        ingress: end_report(cluster, probe, Direction::Ingress, outcome),
        service: None,
        traffic: probe.traffic().to_string(),
    }
}

fn service_report(
    cluster: &Cluster,
    objects: &Objects,
    probe: &Probe,
    outcome: &Outcome,
    through: &Through,
) -> ServiceReport {
    let leaves = matches!(outcome.egress, End::Outside | End::Passed(_));
    let backend = |backend: &Backend| {
        let address = backend.view.address;
        let arrives = Outcome {
            ingress: backend.ingress.clone(),
            reply_dropped: None,
            ..backend.direct.clone()
        };
        let taken = matches!(backend.ingress, End::Outside | End::Passed(_));
        BackendReport {
            to: Side {
                pod: backend.view.pod.as_ref().map(offline::name),
                address,
                synthetic: objects.is_synthetic(address),
            },
            port: backend.view.port,
            verdict: if leaves && taken && !backend.view.unknown {
                Verdict::Allow
            } else {
                Verdict::Deny
            },
            egress: end_report(cluster, probe, Direction::Egress, &arrives),
            ingress: end_report(cluster, probe, Direction::Ingress, &arrives),
        }
    };
    ServiceReport {
        name: offline::name(&through.service),
        every_backend: through.every,
        backends: through.backends.iter().map(backend).collect(),
    }
}

fn end_report(
    cluster: &Cluster,
    probe: &Probe,
    direction: Direction,
    outcome: &Outcome,
) -> EndReport {
    let end = match direction {
        Direction::Egress => &outcome.egress,
        Direction::Ingress => &outcome.ingress,
    };
    let rule = |counter: Option<u32>| Some((*cluster.attribution(counter?)).clone());
    let (verdict, rule, problem) = match end {
        End::Outside => (None, None, None),
        End::Passed(counter) => (Some(Verdict::Allow), rule(*counter), None),
        End::Dropped(counter) => (Some(Verdict::Deny), rule(*counter), None),
        End::Unknown(why) => (Some(Verdict::Deny), None, Some(why.to_string())),
    };
    match outcome.reply_dropped {
        Some((at, counter)) if at == direction => EndReport {
            verdict: Some(Verdict::Deny),
            rule: counter.map(|c| (*cluster.attribution(c)).clone()),
            problem: Some("the request passes, but its reply is dropped".to_owned()),
            nearest: None,
        },
        _ => EndReport {
            nearest: rule
                .as_ref()
                .and_then(|r| nearest(cluster, probe, direction, r)),
            verdict,
            rule,
            problem,
        },
    }
}

/// What came nearest, where a default deny has decided.
fn nearest(
    cluster: &Cluster,
    probe: &Probe,
    direction: Direction,
    rule: &RuleRef,
) -> Option<Explanation> {
    let RuleRef::DefaultDeny { policies, .. } = rule else {
        return None;
    };
    let world = cluster.world();
    let all = world.policies();
    let isolating: Vec<Arc<Policy>> = all
        .filter(|p| policies.contains(&offline::name(&p.key)))
        .cloned()
        .collect();
    let remote = match direction {
        Direction::Egress => probe.to(),
        Direction::Ingress => probe.from(),
    };
    let pod = cluster.pod_at(remote);
    let labels = pod.map(|pod| world.namespace_labels(&pod.key.namespace));
    let remote = Remote {
        address: remote,
        pod: pod.zip(labels.as_ref()),
    };
    let destination = cluster.pod_at(probe.to());
    Some(explain::explain(
        &isolating,
        direction,
        remote,
        probe.traffic(),
        destination,
    ))
}
