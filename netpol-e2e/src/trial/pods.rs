//! Pods of the cluster as hosts of a lab: sockets are made in their network namespaces, which the
//! container runtime keeps as files.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use nix::ifaddrs::getifaddrs;
use serde::Deserialize;

use super::bed::Bed;
use crate::{
    cluster::Machine,
    lab::{Addresses, Host, Netns},
};

/// Where the container runtime mounts pods' network namespaces.
const NETNS_DIR: &str = "/run/netns";

/// What kubectl prints: a List, of whatever kind the API calls it.
#[derive(Deserialize)]
struct PodList {
    items: Vec<Pod>,
}

/// What a test asks of a pod's object.
pub(crate) trait PodFacts {
    /// `namespace/name`.
    fn key(&self) -> String;
    /// The node it is on; empty before it is on one.
    fn node(&self) -> &str;
    /// Its addresses.
    fn addresses(&self) -> Vec<IpAddr>;
    /// Value of a label.
    fn label(&self, name: &str) -> Option<&str>;
    /// Whether it has ended, or is about to.
    fn is_over(&self) -> bool;
}

impl PodFacts for Pod {
    fn key(&self) -> String {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        format!(
            "{}/{}",
            part(&self.metadata.namespace),
            part(&self.metadata.name)
        )
    }

    fn node(&self) -> &str {
        let node = self.spec.as_ref().and_then(|it| it.node_name.as_deref());
        node.unwrap_or_default()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let status = self.status.as_ref();
        let listed = status.and_then(|it| it.pod_ips.as_ref());
        let listed = listed.into_iter().flatten();
        listed.filter_map(|it| it.ip.parse().ok()).collect()
    }

    fn label(&self, name: &str) -> Option<&str> {
        let labels = self.metadata.labels.as_ref()?;
        labels.get(name).map(String::as_str)
    }

    fn is_over(&self) -> bool {
        let status = self.status.as_ref();
        let phase = status.and_then(|it| it.phase.as_deref());
        self.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
    }
}

impl Bed {
    /// Pods of a namespace, or of all.
    pub(crate) fn pods(&self, namespace: Option<&str>) -> Result<Vec<Pod>> {
        let scope = namespace.map_or(vec!["-A"], |it| vec!["-n", it]);
        let text = self.kubectl(&[&["get", "pods", "-o", "json"], &scope[..]].concat())?;
        let list: PodList = serde_json::from_str(&text).context("read the list of pods")?;
        Ok(list.items)
    }

    /// The pods of a namespace that run, as hosts, by name.
    pub(crate) fn hosts(&self, namespace: &str) -> Result<BTreeMap<String, Host>> {
        let mut found = BTreeMap::new();
        let mut known = BTreeMap::new();
        for pod in self.pods(Some(namespace))? {
            if pod.is_over() || pod.addresses().is_empty() {
                continue;
            }
            let node = pod.node().to_owned();
            if !known.contains_key(&node) {
                let namespaces = namespaces_of(&self.node(&node)?)?;
                known.insert(node.clone(), namespaces);
            }
            let host = self.host_of(&pod, &known[&node])?;
            found.insert(pod.metadata.name.clone().unwrap_or_default(), host);
        }
        Ok(found)
    }

    fn host_of(&self, pod: &Pod, namespaces: &BTreeMap<IpAddr, Netns>) -> Result<Host> {
        let key = pod.key();
        let mut addresses = Addresses {
            v4: [0, 0, 0, 0].into(),
            v6: [0_u16; 8].into(),
        };
        for address in pod.addresses() {
            match address {
                IpAddr::V4(address) => addresses.v4 = address,
                IpAddr::V6(address) => addresses.v6 = address,
            }
        }
        let Some(netns) = namespaces.get(&addresses.v4.into()) else {
            bail!(
                "no network namespace on {} has the address {} of pod {key}",
                pod.node(),
                addresses.v4
            );
        };
        Ok(Host {
            name: key,
            netns: netns.clone(),
            addresses,
            interface: String::new(),
            desk: Arc::clone(&self.desk),
        })
    }
}

/// The network namespaces of a node's pods, by each of their addresses.
fn namespaces_of(node: &Machine) -> Result<BTreeMap<IpAddr, Netns>> {
    let directory = node.path(NETNS_DIR);
    let entries = std::fs::read_dir(&directory)
        .with_context(|| format!("read {} of {}", NETNS_DIR, node.name()))?;
    let mut found = BTreeMap::new();
    for entry in entries.flatten() {
        let netns = Netns::at(entry.path());
        // One that goes away in this moment is no pod's that runs.
        let addresses = netns.inside(addresses_here);
        found.extend(
            addresses
                .unwrap_or_default()
                .into_iter()
                .map(|it| (it, netns.clone())),
        );
    }
    Ok(found)
}

/// The addresses of this thread's network namespace.
fn addresses_here() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    let addresses = interfaces.filter_map(|it| {
        let address = it.address?;
        let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    });
    addresses.filter(|it| !it.is_loopback()).collect()
}
