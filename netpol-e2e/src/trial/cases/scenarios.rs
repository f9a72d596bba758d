//! The scenarios as a user brings them to a cluster: `kubectl apply -k examples/NAME`, each question
//! of `scenario.yaml` by the pod's address and through its Service.

mod questions;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use netpol_api::Flow;
use serde_json::Value;

use questions::{Question, REFUSAL, ask_all, judge};

use crate::{
    lab::{Family, Host, OUTSIDE, Traffic, workspace},
    scenario::{Cell, Expect, Explain, Scenario, Step, is_the_refusal},
    trial::{
        bed::{Bed, PATIENCE, until},
        findings::{Findings, ms},
        pods::PodFacts,
    },
};

const NODE: &str = "node";

/// A scenario on a cluster.
struct Stage<'a> {
    bed: &'a Bed,
    scenario: Scenario,
    /// By the name the script calls them.
    hosts: BTreeMap<String, Host>,
    /// The node each pod is on.
    nodes: BTreeMap<String, String>,
    /// Addresses of the Services, by the name of the pods behind them.
    services: BTreeMap<String, Vec<IpAddr>>,
}

pub(super) fn play(bed: &mut Bed, name: &str, findings: &mut Findings) -> Result<()> {
    let scenario = Scenario::load(name)?;
    let directory = scenario.dir.display().to_string();
    bed.kubectl(&["apply", "-k", &directory])?;
    let stand_in = stand_in_for_dns(bed, &scenario)?;
    let played = set(bed, scenario).and_then(|stage| stage.play(findings));
    bed.close(&bed.outside()?);
    let words = [
        "delete",
        "-k",
        &directory,
        "--ignore-not-found",
        "--timeout=120s",
    ];
    let removed = bed.kubectl(&words);
    if stand_in {
        bed.kubectl(&["delete", "-f", &dns_manifest()])?;
    }
    played?;
    removed?;
    Ok(())
}

/// Where a scenario asks the cluster's DNS and there is none, something that answers in its place; whether it was
/// needed.
fn stand_in_for_dns(bed: &Bed, scenario: &Scenario) -> Result<bool> {
    let asks = scenario
        .pods
        .iter()
        .any(|pod| pod.key().to_string() == "kube-system/kube-dns");
    let own = bed.pods(Some("kube-system"))?;
    if !asks
        || own
            .iter()
            .any(|pod| pod.label("k8s-app") == Some("kube-dns"))
    {
        return Ok(false);
    }
    bed.kubectl(&["apply", "-f", &dns_manifest()])?;
    Ok(true)
}

fn dns_manifest() -> String {
    let manifest = workspace().join("netpol-e2e/manifests/dns.yaml");
    manifest.display().to_string()
}

/// Waits until the pods run, and finds everybody.
fn set(bed: &Bed, scenario: Scenario) -> Result<Stage<'_>> {
    let namespaces: BTreeSet<String> = scenario
        .pods
        .iter()
        .map(|pod| pod.key().namespace.clone())
        .collect();
    for namespace in &namespaces {
        if bed
            .kubectl(&["get", "deployments", "-n", namespace, "-o", "name"])?
            .is_empty()
        {
            continue;
        }
        let words = [
            "wait",
            "--for=condition=Available",
            "deployment",
            "--all",
            "-n",
            namespace,
        ];
        bed.kubectl(&[&words[..], &["--timeout=120s"]].concat())?;
    }
    let mut stage = Stage {
        bed,
        hosts: BTreeMap::from([(OUTSIDE.to_owned(), bed.outside()?)]),
        nodes: BTreeMap::new(),
        services: BTreeMap::new(),
        scenario,
    };
    for namespace in namespaces {
        stage.find_pods(&namespace)?;
        stage.find_services(&namespace)?;
    }
    for traffic in &stage.scenario.script.outside {
        if let Traffic::Port(protocol, port) = traffic {
            bed.outside()?.serve(*protocol, port.get())?;
        }
    }
    Ok(stage)
}

impl Stage<'_> {
    /// A pod of the script is, on a cluster, one with at least its labels.
    fn find_pods(&mut self, namespace: &str) -> Result<()> {
        let pods = self.bed.pods(Some(namespace))?;
        let hosts = self.bed.hosts(namespace)?;
        for wanted in self
            .scenario
            .pods
            .iter()
            .filter(|it| it.key().namespace == namespace)
        {
            let labels = &wanted.labels;
            let matches = |pod: &&Pod| {
                let mut labels = labels.iter();
                !pod.is_over() && labels.all(|(name, value)| pod.label(name) == Some(value))
            };
            let key = wanted.key().to_string();
            let pod = pods
                .iter()
                .find(matches)
                .with_context(|| format!("no pod for {key}"))?;
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let host = hosts
                .get(name)
                .with_context(|| format!("{key} has no address"))?;
            self.nodes.insert(key.clone(), pod.node().to_owned());
            self.hosts.insert(key, host.clone());
        }
        Ok(())
    }

    fn find_services(&mut self, namespace: &str) -> Result<()> {
        let text = self
            .bed
            .kubectl(&["get", "services", "-n", namespace, "-o", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        for service in list["items"].as_array().into_iter().flatten() {
            let name = service["metadata"]["name"].as_str().unwrap_or_default();
            let addresses = service["spec"]["clusterIPs"]
                .as_array()
                .into_iter()
                .flatten();
            let addresses = addresses.filter_map(|it| it.as_str()?.parse().ok());
            self.services
                .insert(format!("{namespace}/{name}"), addresses.collect());
        }
        Ok(())
    }

    fn play(&self, findings: &mut Findings) -> Result<()> {
        let mut in_force: Option<String> = Some(self.file("policies.yaml"));
        for (number, step) in self.scenario.script.steps.iter().enumerate() {
            if number == 0 {
                self.forget(in_force.take())?;
            }
            let questions = self.questions(step)?;
            self.settle(&questions)?;
            judge(&questions, |cell| cell.before, &step.columns[0], findings);
            let next = self.file(&step.policies.display().to_string());
            let started = Instant::now();
            self.forget(in_force.take())?;
            self.bed.kubectl(&["apply", "-f", &next])?;
            self.bed.enforced()?;
            findings.figure(
                format!(
                    "{}: applied and in force on every node",
                    step.policies.display()
                ),
                ms(started.elapsed()),
            );
            in_force = Some(next);
            judge(&questions, |cell| cell.after, &step.columns[1], findings);
            self.explain(&step.explain, findings)?;
        }
        self.forget(in_force)
    }

    fn file(&self, name: &str) -> String {
        self.scenario.dir.join(name).display().to_string()
    }

    fn forget(&self, policies: Option<String>) -> Result<()> {
        if let Some(file) = policies {
            self.bed
                .kubectl(&["delete", "-f", &file, "--ignore-not-found"])?;
            self.bed.enforced()?;
        }
        Ok(())
    }

    /// Waits until what must be reached without the policies is: kube-proxy has its own pace.
    fn settle(&self, questions: &[Question]) -> Result<()> {
        let reached: Vec<&Question> = questions
            .iter()
            .filter(|it| it.cell.before == Expect::Reached)
            .collect();
        let waiting = until("every answer before the policies", PATIENCE, || {
            let outcomes = ask_all(&reached, |_| REFUSAL);
            Ok(outcomes.iter().all(|it| it.is_reached()).then_some(()))
        });
        // What is still missing is told by the judgement, cell by cell.
        drop(waiting);
        Ok(())
    }

    fn questions(&self, step: &Step) -> Result<Vec<Question>> {
        let mut questions = Vec::new();
        for cell in &step.cells {
            let from = self.asker(cell)?;
            let to = self.host(&cell.to)?;
            let is_pod = |name: &str| name != OUTSIDE && name != NODE;
            for family in cell.families() {
                let question = |to, by_service| Question {
                    cell: cell.clone(),
                    from: from.clone(),
                    to,
                    by_service,
                };
                questions.push(question(to.addresses().of(family), false));
                if cell.port == Traffic::Ping || !is_pod(&cell.from) {
                    continue;
                }
                let service = self.services.get(&cell.to).into_iter().flatten();
                let of_family = service.filter(|it| Family::of(**it) == family);
                questions.extend(of_family.map(|it| question(*it, true)));
            }
        }
        Ok(questions)
    }

    /// A script's node is the one that the pod asked for is on.
    fn asker(&self, cell: &Cell) -> Result<Host> {
        if cell.from != NODE {
            return self.host(&cell.from).cloned();
        }
        let node = self.nodes.get(&cell.to).map_or("", String::as_str);
        self.bed.node_host(node)
    }

    fn host(&self, name: &str) -> Result<&Host> {
        self.hosts
            .get(name)
            .with_context(|| format!("nobody is called {name}"))
    }

    /// netpol's word for a refusal, among the flows of the node that refused.
    fn explain(&self, explain: &Explain, findings: &mut Findings) -> Result<()> {
        let (from, to) = (self.host(&explain.from)?, self.host(&explain.to)?);
        let endpoint = match explain.at {
            netpol_api::Direction::Egress => &explain.from,
            netpol_api::Direction::Ingress => &explain.to,
        };
        let node = self.nodes.get(endpoint).map_or("", String::as_str);
        let found = until("a flow", Duration::from_secs(5), || {
            let text = self.bed.netpolctl(node, &["flows", "-o", "json"])?;
            let flows = text
                .lines()
                .filter_map(|it| serde_json::from_str::<Flow>(it).ok());
            let mut refusals = flows.filter(|flow| is_the_refusal(flow, explain, from, to));
            Ok(refusals.next())
        });
        let by = explain.by.join(", ");
        let what = format!("{} to {} {}", explain.from, explain.to, explain.port);
        match found {
            Ok(_) => findings.figure(format!("{what}: refused in the name of"), by),
            Err(error) => findings.wrong.push(format!(
                "no flow on {node} refuses {what} in the name of {by}: {error:#}"
            )),
        }
        Ok(())
    }
}
