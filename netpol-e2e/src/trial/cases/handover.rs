//! One address, one pod after the other, friend and foe in turn.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::Measure;
use crate::{
    lab::{Addresses, Host, Protocol},
    trial::{
        addresses::pod_address,
        bed::{Bed, PATIENCE, at, until},
        findings::{Findings, spread},
        newborn::Errand,
        objects::{idle_pod, namespace, newborn, policy},
        pods::PodFacts,
        world::PORT,
    },
};

const HEIRS: &str = "heirs";
const NODE: u8 = 1;
/// Far from where host-local counts by itself.
const HANDED: u8 = 200;
/// How long a foe knocks once it runs.
const KNOCKING: Duration = Duration::from_secs(2);

pub(super) fn addresses(bed: &mut Bed, measure: &Measure, findings: &mut Findings) -> Result<()> {
    let nodes = bed.nodes();
    let mut objects = vec![
        namespace(HEIRS, &[]),
        policy(
            HEIRS,
            "friends-only",
            &json!({
                "podSelector": {"matchLabels": {"app": "target"}},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}]}],
            }),
        ),
    ];
    for (number, node) in (1..).zip(&nodes) {
        let name = format!("target-{number}");
        objects.push(idle_pod(HEIRS, &name, node, &[("app", "target")]));
    }
    bed.apply(&objects)?;
    bed.ready(HEIRS)?;
    let targets: Vec<Host> = bed.hosts(HEIRS)?.into_values().collect();
    for target in &targets {
        target.serve(Protocol::Tcp, PORT)?;
        target.serve(Protocol::Udp, PORT)?;
    }
    bed.enforced()?;

    let handed = pod_address(NODE, HANDED);
    let mut opened = Vec::new();
    let mut escaped = Vec::new();
    for round in 0..measure.rounds {
        let heir = Heir::of(round, &targets);
        let seen = arrivals(&targets, handed);
        heir.start(bed, &nodes[0], handed)?;
        if heir.is_friend {
            let started = Instant::now();
            until("a friend let in", PATIENCE, || {
                Ok((arrivals(&targets, handed) > seen).then_some(()))
            })?;
            opened.push(started.elapsed().as_secs_f64() * 1e3);
        } else {
            thread::sleep(KNOCKING);
            let came = arrivals(&targets, handed) - seen;
            if came > 0 {
                escaped.push(format!(
                    "round {round}: {came} of {} came through",
                    heir.name
                ));
            }
        }
        bed.kubectl(&["delete", "pod", "-n", HEIRS, &heir.name, "--wait=false"])?;
        for address in handed.both() {
            bed.taken_back(NODE, address)?;
        }
    }
    findings.figure("times the address was handed on", measure.rounds);
    findings.none(
        "heirs whose packets came through by their forerunner's labels",
        &escaped,
    );
    findings.figure(
        "until a friend was let in, once it had started",
        spread(&mut opened),
    );
    for target in &targets {
        bed.close(target);
    }
    bed.remove(&[HEIRS])
}

struct Heir {
    name: String,
    is_friend: bool,
    errand: Errand,
}

impl Heir {
    fn of(round: usize, targets: &[Host]) -> Self {
        let is_friend = round.is_multiple_of(2);
        let errand = Errand {
            // Whether it may is what its label says: both do the same.
            forbidden: targets.iter().flat_map(|it| at(it, PORT)).collect(),
            forever: true,
            ..Errand::default()
        };
        Self {
            name: format!("{}-{round}", if is_friend { "friend" } else { "foe" }),
            is_friend,
            errand,
        }
    }

    /// Starts it at the address and waits until its first instructions have run.
    fn start(&self, bed: &Bed, node: &str, handed: Addresses) -> Result<()> {
        bed.give_next(NODE, HANDED)?;
        let role = if self.is_friend { "friend" } else { "foe" };
        let mut pod = newborn(HEIRS, &self.name, node, &[("role", role)], &self.errand);
        // Terminating for a while, as most pods are: the object outlives the pod's last packet.
        pod["spec"]["terminationGracePeriodSeconds"] = 1.into();
        bed.apply(&[pod])?;
        let key = format!("{HEIRS}/{}", self.name);
        let pod = until(&format!("{key} runs"), PATIENCE, || {
            let pods = bed.pods(Some(HEIRS))?.into_iter();
            let mut running = pods.filter(|pod| {
                let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
                pod.key() == key && phase == Some("Running")
            });
            Ok(running.next())
        })?;
        let own = pod
            .addresses()
            .first()
            .copied()
            .context("a pod with an address")?;
        if own != IpAddr::V4(handed.v4) {
            bail!("{key} got {own}, not {} as arranged", handed.v4);
        }
        Ok(())
    }
}

/// What came to the targets from the address that is handed on.
fn arrivals(targets: &[Host], handed: Addresses) -> usize {
    let all = targets.iter().flat_map(Host::arrivals);
    all.filter(|it| handed.contains(it.peer.ip())).count()
}
