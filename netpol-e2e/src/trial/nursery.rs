//! Newborn pods in batches: started, waited for, and asked what they saw.

use std::{
    collections::BTreeMap,
    fmt, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;

use super::{
    bed::{Bed, at},
    findings::{Findings, spread},
    newborn::{Errand, Report, WORD},
    objects::newborn,
    pods::PodFacts,
    world::{BORN, PORT, World},
};
use crate::lab::{Arrival, Host};

/// How long a batch may take.
const PATIENCE: Duration = Duration::from_secs(240);
/// Started together; more only wait for each other on a small machine.
const BATCH: usize = 20;
const PREFIX: &str = "newborn-";

/// What all newborns of a trial did.
#[derive(Debug, Default)]
pub(crate) struct Nursery {
    /// By pod.
    pub(crate) reports: BTreeMap<String, Report>,
    /// Pods that left no report, and why.
    pub(crate) silent: Vec<String>,
    slowest_batch: Duration,
}

/// A datagram that a newborn sent and that arrived where it must not.
struct Escaped(Arrival);

impl fmt::Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arrival {
            host,
            protocol,
            port,
            peer,
            ..
        } = &self.0;
        write!(f, "{peer} reached {host} at {port}/{protocol}")
    }
}

impl Nursery {
    /// Has so many pods be born, spread over the nodes.
    pub(crate) fn raise(&mut self, bed: &Bed, world: &World, pods: usize) -> Result<()> {
        let nodes = bed.nodes();
        let all = |role: &str| {
            let hosts = world.all(role).into_iter();
            hosts.flat_map(|host| at(host, PORT)).collect::<Vec<_>>()
        };
        let errand = Errand {
            forbidden: all("forbidden"),
            allowed: all("allowed"),
            linger: 1000,
            forever: false,
        };
        let mut made = 0;
        while made < pods {
            let batch: Vec<String> = (made..pods.min(made + BATCH))
                .map(|number| format!("{PREFIX}{number}"))
                .collect();
            let objects: Vec<_> = (made..)
                .zip(&batch)
                .map(|(number, name)| {
                    let node = &nodes[number % nodes.len()];
                    newborn(BORN, name, node, &[("app", "newborn")], &errand)
                })
                .collect();
            let started = Instant::now();
            bed.apply(&objects)?;
            self.wait(bed, &batch)?;
            self.slowest_batch = self.slowest_batch.max(started.elapsed());
            made += batch.len();
        }
        Ok(())
    }

    /// Waits until the pods have ended, takes their reports, and removes them.
    fn wait(&mut self, bed: &Bed, batch: &[String]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let ours = |pod: &Pod| {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            batch.iter().any(|it| it == name)
        };
        let pods = loop {
            let mut pods = bed.pods(Some(BORN))?;
            pods.retain(ours);
            if pods.iter().all(PodFacts::is_over) || Instant::now() > deadline {
                break pods;
            }
            thread::sleep(Duration::from_millis(250));
        };
        for pod in &pods {
            match report_of(pod) {
                Ok(report) => {
                    self.reports.insert(pod.key(), report);
                }
                Err(error) => self.silent.push(format!("{}: {error:#}", pod.key())),
            }
        }
        let words = [
            "delete",
            "pod",
            "-n",
            BORN,
            "--grace-period=0",
            "--force",
            "--wait=false",
        ];
        let names: Vec<&str> = batch.iter().map(String::as_str).collect();
        bed.kubectl(&[&words[..], &names].concat())?;
        Ok(())
    }

    /// Notes what came of it.
    pub(crate) fn judge(mut self, world: &World, findings: &mut Findings) {
        let forbidden = world.all("forbidden");
        let escaped: Vec<Escaped> = forbidden.into_iter().flat_map(escaped).collect();
        let mut broken = Vec::new();
        let mut heard = Vec::new();
        let mut missed = Vec::new();
        let (mut early, mut early_pods) = (0, 0);
        let mut took = Vec::new();
        for (pod, report) in &self.reports {
            let came = report.broken_through.iter();
            broken.extend(came.map(|to| format!("{pod} connected to {to}")));
            early += report.before;
            early_pods += usize::from(report.before > 0);
            if report.heard > 0 {
                heard.push(format!("{pod} heard {} datagrams", report.heard));
            }
            for answer in &report.allowed {
                match answer {
                    Ok(ms) => took.push(*ms),
                    Err(why) => missed.push(format!("{pod}: {why}")),
                }
            }
        }
        findings.figure("pods started", self.reports.len());
        findings.none("pods without a report", &self.silent);
        findings.none("forbidden datagrams that arrived", &escaped);
        findings.none("forbidden connections that were made", &broken);
        findings.none(
            "newborns that strangers reached from their first instruction on",
            &heard,
        );
        findings.figure(
            "datagrams of strangers that came before it, to an interface without a process",
            format!("{early}, at {early_pods} pods"),
        );
        let tried = took.len() + missed.len();
        findings.figure("allowed connections tried", tried);
        findings.figure("allowed connections answered at the first try", took.len());
        findings.figure("time to the answer", spread(&mut took));
        findings.figure(
            "slowest batch of 20",
            format!("{:.1} s", self.slowest_batch.as_secs_f64()),
        );
        self.silent.clear();
        // 99 of 100.
        findings.must(took.len() * 100 >= tried * 99 && tried > 0, || {
            let shown = missed.iter().take(10).cloned().collect::<Vec<_>>();
            format!(
                "{} of {tried} missed at the first try: {}",
                missed.len(),
                shown.join("; ")
            )
        });
    }
}

fn escaped(host: &Host) -> Vec<Escaped> {
    let arrivals = host.arrivals().into_iter();
    let of_newborns = arrivals.filter(|it| it.payload.starts_with(WORD.as_bytes()));
    of_newborns.map(Escaped).collect()
}

fn report_of(pod: &Pod) -> Result<Report> {
    let status = pod.status.as_ref();
    let containers = status.and_then(|it| it.container_statuses.as_ref());
    let container = containers.and_then(|it| it.first());
    let state = container.and_then(|it| it.state.as_ref());
    let phase = status.and_then(|it| it.phase.clone()).unwrap_or_default();
    let ended = state
        .and_then(|it| it.terminated.as_ref())
        .with_context(|| format!("it has not ended (phase {phase})"))?;
    let said = ended.message.as_deref().unwrap_or_default();
    serde_json::from_str(said)
        .with_context(|| format!("exit code {}, last words {said:?}", ended.exit_code))
}
