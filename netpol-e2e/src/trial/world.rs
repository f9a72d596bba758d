//! The small world that the trials of the time dimension share.
//!
//! ```text
//! on each node N: trial/allowed-N    trial/forbidden-N   trial/stranger-N
//!                 born/client-N ---> allowed-N, by policy; nobody reaches born/*
//! ```
//! All serve 8080 over TCP and UDP. Pods of `born` are isolated in both directions and may open
//! connections to pods labelled `app=allowed`, nothing else.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    bed::{Bed, PATIENCE, until},
    objects::{idle_pod, namespace, policy},
};
use crate::lab::{Host, Protocol};

/// Targets and strangers.
pub(crate) const TRIAL: &str = "trial";
/// Those under policies.
pub(crate) const BORN: &str = "born";
/// What everybody serves.
pub(crate) const PORT: u16 = 8080;

/// The hosts of the world.
#[derive(Debug)]
pub(crate) struct World {
    hosts: BTreeMap<String, Host>,
    /// How many nodes it is on.
    pub(crate) nodes: usize,
}

impl World {
    /// Makes it, with policies in force.
    pub(crate) fn make(bed: &Bed) -> Result<Self> {
        let nodes = bed.nodes();
        let mut objects = vec![namespace(TRIAL, &[]), namespace(BORN, &[])];
        objects.extend(policies());
        for (number, node) in (1..).zip(&nodes) {
            for role in ["allowed", "forbidden", "stranger"] {
                let name = format!("{role}-{number}");
                objects.push(idle_pod(TRIAL, &name, node, &[("app", role)]));
            }
            let name = format!("client-{number}");
            objects.push(idle_pod(BORN, &name, node, &[("app", "client")]));
        }
        bed.apply(&objects)?;
        let mut world = Self {
            hosts: BTreeMap::new(),
            nodes: nodes.len(),
        };
        for name in [TRIAL, BORN] {
            bed.ready(name)?;
            world
                .hosts
                .extend(until("pods with addresses", PATIENCE, || {
                    let wanted = if name == TRIAL { 3 } else { 1 } * nodes.len();
                    Ok(Some(bed.hosts(name)?).filter(|it| it.len() >= wanted))
                })?);
        }
        for host in world.hosts.values() {
            host.serve(Protocol::Tcp, PORT)?;
            host.serve(Protocol::Udp, PORT)?;
        }
        bed.enforced()?;
        Ok(world)
    }

    /// A host by its role and the number of its node, from 1.
    ///
    /// # Panics
    ///
    /// When there is no such role.
    pub(crate) fn host(&self, role: &str, number: usize) -> &Host {
        &self.hosts[&format!("{role}-{number}")]
    }

    /// All hosts of a role.
    pub(crate) fn all(&self, role: &str) -> Vec<&Host> {
        (1..=self.nodes).map(|it| self.host(role, it)).collect()
    }

    /// Removes it.
    pub(crate) fn remove(self, bed: &Bed) -> Result<()> {
        for host in self.hosts.values() {
            bed.close(host);
        }
        bed.remove(&[TRIAL, BORN])
    }
}

fn policies() -> [Value; 2] {
    let ports = json!([
        {"protocol": "TCP", "port": PORT},
        {"protocol": "UDP", "port": PORT},
    ]);
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    let allow = json!({
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [{
            "to": [{
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": TRIAL}},
                "podSelector": {"matchLabels": {"app": "allowed"}},
            }],
            "ports": ports,
        }],
    });
    [
        policy(BORN, "default-deny", &deny),
        policy(BORN, "to-allowed", &allow),
    ]
}
