//! The churn: pods, policies and labels that come, change and go, one change at a time.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::json;

use super::random::{self, APPS, TEAMS, one};
use crate::{
    lab::{Host, Traffic},
    trial::{
        bed::{Bed, PATIENCE, until},
        objects::{AGNHOST, namespace, pod, policy},
    },
};

const NAMESPACES: [&str; 3] = ["soak-a", "soak-b", "soak-c"];
const PODS: usize = 10;
const FEWEST: usize = 8;
const MOST: usize = 12;
const POLICIES: usize = 8;

/// What is asked for.
pub(super) fn asked_for() -> [Traffic; 3] {
    [Traffic::tcp(8080), Traffic::tcp(8081), Traffic::udp(8080)]
}

/// The objects of the soak as they are applied.
#[derive(Debug)]
pub(super) struct Churn {
    rng: Rng,
    hosts: BTreeMap<String, Host>,
    policies: Vec<(String, String)>,
    born: usize,
    drawn: usize,
    kinds: BTreeMap<&'static str, usize>,
}

impl Churn {
    /// Namespaces, pods and policies to begin with, in force.
    pub(super) fn begin(bed: &Bed, seed: u64) -> Result<Self> {
        let mut churn = Self {
            rng: Rng::with_seed(seed),
            hosts: BTreeMap::new(),
            policies: Vec::new(),
            born: 0,
            drawn: 0,
            kinds: BTreeMap::new(),
        };
        let team = |rng: &mut Rng| one(rng, &TEAMS);
        let spaces = NAMESPACES.map(|name| namespace(name, &[("team", team(&mut churn.rng))]));
        bed.apply(&spaces)?;
        for _ in 0..PODS {
            churn.bear(bed)?;
        }
        for _ in 0..POLICIES / 2 {
            churn.add_policy(bed)?;
        }
        bed.enforced()?;
        churn.kinds.clear();
        Ok(churn)
    }

    /// The pods there are, by `namespace/name`.
    pub(super) fn hosts(&self) -> &BTreeMap<String, Host> {
        &self.hosts
    }

    /// How many changes of which kind.
    pub(super) fn kinds(&self) -> String {
        let kinds = self
            .kinds
            .iter()
            .map(|(kind, number)| format!("{number} {kind}"));
        kinds.collect::<Vec<_>>().join(", ")
    }

    /// One change; what it was. `before_end` hears who is left before a pod ends.
    pub(super) fn change(
        &mut self,
        bed: &Bed,
        before_end: impl Fn(&BTreeMap<String, Host>),
    ) -> Result<String> {
        match self.rng.u8(..10) {
            0 | 1 => {
                let grow =
                    self.hosts.len() <= FEWEST || (self.hosts.len() < MOST && self.rng.bool());
                if grow {
                    self.bear(bed)
                } else {
                    self.end_pod(bed, before_end)
                }
            }
            2 | 3 => self.label_pod(bed),
            4 => self.label_namespace(bed),
            5 | 6 if !self.policies.is_empty() => self.change_policy(bed),
            7 if self.policies.len() > 2 => self.remove_policy(bed),
            _ if self.policies.len() < POLICIES => self.add_policy(bed),
            _ => self.remove_policy(bed),
        }
    }

    /// Removes all of it.
    pub(super) fn end(self, bed: &Bed) -> Result<()> {
        for host in self.hosts.values() {
            bed.close(host);
        }
        bed.remove(&NAMESPACES)
    }

    fn count(&mut self, kind: &'static str) {
        *self.kinds.entry(kind).or_default() += 1;
    }

    fn bear(&mut self, bed: &Bed) -> Result<String> {
        let space = one(&mut self.rng, &NAMESPACES);
        let nodes = bed.nodes();
        let node = &nodes[self.born % nodes.len()];
        let name = format!("pod-{}", self.born);
        self.born += 1;
        let app = one(&mut self.rng, &APPS);
        let container = json!({
            "name": "idle", "image": AGNHOST, "args": ["pause"],
            "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}],
        });
        bed.apply(&[pod(
            space,
            &name,
            node,
            &[("app", app)],
            container,
            "Always",
        )])?;
        bed.kubectl(&[
            "wait",
            "--for=condition=Ready",
            "pod",
            &name,
            "-n",
            space,
            "--timeout=120s",
        ])?;
        let host = until(&format!("{space}/{name} with an address"), PATIENCE, || {
            Ok(bed.hosts(space)?.remove(&name))
        })?;
        for traffic in asked_for() {
            if let Traffic::Port(protocol, port) = traffic {
                host.serve(protocol, port.get())?;
            }
        }
        self.hosts.insert(format!("{space}/{name}"), host);
        self.count("pods made");
        Ok(format!("pod {space}/{name} made with app={app} on {node}"))
    }

    fn end_pod(
        &mut self,
        bed: &Bed,
        before_end: impl Fn(&BTreeMap<String, Host>),
    ) -> Result<String> {
        let key = self.any_pod()?;
        let host = self.hosts.remove(&key).context("a pod that is there")?;
        before_end(&self.hosts);
        let (space, name) = key.split_once('/').context("namespace/name")?;
        bed.kubectl(&["delete", "pod", "-n", space, name])?;
        bed.close(&host);
        self.count("pods ended");
        Ok(format!("pod {key} ended"))
    }

    fn label_pod(&mut self, bed: &Bed) -> Result<String> {
        let key = self.any_pod()?;
        let (space, name) = key.split_once('/').context("namespace/name")?;
        let label = format!("app={}", one(&mut self.rng, &APPS));
        bed.kubectl(&["label", "pod", "-n", space, name, &label, "--overwrite"])?;
        self.count("pods labelled");
        Ok(format!("pod {key} labelled {label}"))
    }

    fn label_namespace(&mut self, bed: &Bed) -> Result<String> {
        let space = one(&mut self.rng, &NAMESPACES);
        let label = match self.rng.u8(..4) {
            0 => "team-".to_owned(),
            _ => format!("team={}", one(&mut self.rng, &TEAMS)),
        };
        bed.kubectl(&["label", "namespace", space, &label, "--overwrite"])?;
        self.count("namespaces labelled");
        Ok(format!("namespace {space} labelled {label}"))
    }

    fn add_policy(&mut self, bed: &Bed) -> Result<String> {
        let space = one(&mut self.rng, &NAMESPACES);
        let name = format!("policy-{}", self.drawn);
        self.drawn += 1;
        self.policies.push((space.to_owned(), name.clone()));
        let spec = random::policy(&mut self.rng);
        bed.apply(&[policy(space, &name, &spec)])?;
        self.count("policies made");
        Ok(format!("policy {space}/{name} made: {spec}"))
    }

    fn change_policy(&mut self, bed: &Bed) -> Result<String> {
        let (space, name) = self.policies[self.rng.usize(..self.policies.len())].clone();
        let spec = random::policy(&mut self.rng);
        bed.apply(&[policy(&space, &name, &spec)])?;
        self.count("policies changed");
        Ok(format!("policy {space}/{name} changed: {spec}"))
    }

    fn remove_policy(&mut self, bed: &Bed) -> Result<String> {
        let at = self.rng.usize(..self.policies.len());
        let (space, name) = self.policies.swap_remove(at);
        bed.kubectl(&["delete", "networkpolicy", "-n", &space, &name])?;
        self.count("policies removed");
        Ok(format!("policy {space}/{name} removed"))
    }

    fn any_pod(&mut self) -> Result<String> {
        let at = self.rng.usize(..self.hosts.len().max(1));
        self.hosts.keys().nth(at).cloned().context("a pod")
    }
}
