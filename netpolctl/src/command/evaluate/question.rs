//! From names to addresses: the probes that a question comes down to.

use std::fmt;
use std::net::IpAddr;

use anyhow::{Result, bail};
use netpol_policy::ObjectKey;

use super::objects::Objects;
use crate::offline::cluster::Cluster;
use crate::offline::probe::Probe;
use crate::offline::traffic::Traffic;
use crate::output::note;

/// One side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Party {
    /// An address.
    Address(IpAddr),
    /// A pod.
    Pod(ObjectKey),
    /// A Service.
    Service(ObjectKey),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Pod(pod) => write!(f, "{pod}"),
            Self::Service(service) => write!(f, "service/{service}"),
        }
    }
}

/// Over which families is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Families {
    V4,
    V6,
    Both,
}

impl Families {
    fn contain(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Both => true,
        }
    }
}

/// One probe for each family in which both sides have an address, IPv4 first. Where an address
/// stands in for one that the manifest does not have, only the first such family: nobody knows
/// that the cluster has both.
pub(super) fn probes(
    cluster: &Cluster,
    objects: &Objects,
    [from, to]: [&Party; 2],
    traffic: Traffic,
    families: Families,
) -> Result<Vec<Probe>> {
    let from_addresses = addresses(cluster, objects, from)?;
    let to_addresses = addresses(cluster, objects, to)?;
    let mut probes = Vec::new();
    for is_v6 in [false, true] {
        let of_family = |addresses: &[IpAddr]| {
            let wanted = |a: &IpAddr| a.is_ipv6() == is_v6 && families.contain(*a);
            addresses.iter().copied().find(wanted)
        };
        let possible = is_v6 || traffic != Traffic::Ping6;
        if let (Some(from), Some(to), true) = (
            of_family(&from_addresses),
            of_family(&to_addresses),
            possible,
        ) {
            probes.push(Probe::new(from, to, traffic)?);
        }
    }
    let stands_in = |p: &Probe| objects.is_synthetic(p.from()) || objects.is_synthetic(p.to());
    if probes.iter().any(stands_in) {
        probes.truncate(1);
    }
    if probes.is_empty() {
        bail!(
            "{from} and {to} have no addresses of one family for {traffic}, so nothing goes \
             between them"
        );
    }
    Ok(probes)
}

fn addresses(cluster: &Cluster, objects: &Objects, party: &Party) -> Result<Vec<IpAddr>> {
    let key = match party {
        Party::Address(address) => return Ok(vec![*address]),
        Party::Service(key) => return service_addresses(cluster, key),
        Party::Pod(key) => key,
    };
    let Some(pod) = cluster.world().pod(key) else {
        if objects.has_pod(key) {
            bail!("Pod {key} is invalid: correct it first");
        }
        bail!("{}", missing(cluster, key));
    };
    if pod.finished {
        note(&format!(
            "{key} has finished: its containers are gone, and no policy applies to its address."
        ));
    }
    if pod.host_network {
        note(&format!(
            "{key} uses its node's network: it counts as its node, and no policy selects it."
        ));
    }
    Ok(pod.addresses.clone())
}

fn service_addresses(cluster: &Cluster, key: &ObjectKey) -> Result<Vec<IpAddr>> {
    let Some(service) = cluster.service(key) else {
        bail!("there is no valid Service {key} in the manifests");
    };
    if service.cluster_ips.is_empty() {
        bail!(
            "Service {key} has no ClusterIP, so packets are addressed to its pods: ask for those"
        );
    }
    Ok(service.cluster_ips.clone())
}

/// That there is no such pod, with those that may have been meant.
fn missing(cluster: &Cluster, key: &ObjectKey) -> String {
    let pods = cluster.world().pods();
    let mut similar: Vec<String> = pods
        .filter(|p| p.key.name == key.name || p.key.namespace == key.namespace)
        .map(|p| p.key.to_string())
        .collect();
    similar.sort();
    similar.truncate(8);
    let hint = match similar.as_slice() {
        [] => "Deployments and the like make pods only in a cluster: add pods to the manifests, \
               or name addresses"
            .to_owned(),
        similar => format!("There are {}", similar.join(", ")),
    };
    format!("there is no pod {key} in the manifests. {hint}")
}
