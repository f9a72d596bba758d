//! The objects of the manifests, and what there is to say about them beside the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use netpol_policy::ObjectKey;

use super::question::Party;
use crate::offline::cluster::Cluster;
use crate::offline::identity::{Identity, IdentityError};
use crate::offline::manifests::{self, Document};
use crate::offline::synthetic;
use crate::output::note;

/// The objects of the manifests.
#[derive(Debug)]
pub(super) struct Objects {
    documents: BTreeMap<Identity, Document>,
    synthetic: BTreeSet<IpAddr>,
}

impl Objects {
    /// Reads them. Of an object that is there twice the last one counts, as with `kubectl apply`.
    pub(super) fn read(paths: &[PathBuf], recursive: bool) -> Result<Self> {
        let mut documents = BTreeMap::new();
        for document in manifests::read(paths, recursive)? {
            let file = document.file.clone();
            let identity = match Identity::of(&document.value) {
                Ok(identity) => identity,
                Err(error @ (IdentityError::NoKind | IdentityError::Kustomize { .. })) => {
                    note(&format!("{file}: {error}: left out"));
                    continue;
                }
                Err(error @ IdentityError::NoName { .. }) => bail!(
                    "{file}: {error}. What it would change cannot be told, so nothing is evaluated"
                ),
            };
            let object = identity.to_string();
            if let Some(before) = documents.insert(identity, document) {
                note(&format!(
                    "{file}: {object} replaces the one in {}",
                    before.file
                ));
            }
        }
        Ok(Self {
            documents,
            synthetic: BTreeSet::new(),
        })
    }

    /// Gives addresses to the pods without one, if one of `parties` is such a pod.
    pub(super) fn address_pods(&mut self, parties: &[&Party]) {
        let named = |identity: &Identity| {
            parties.iter().any(|party| match party {
                Party::Pod(pod) => is_pod(identity, pod),
                Party::Service(_) => true,
                Party::Address(_) => false,
            })
        };
        self.address_services(parties);
        let mut pods = self.pods_without_address();
        if !pods.any(|(identity, _)| named(identity)) {
            return;
        }
        drop(pods);
        let pods = self
            .documents
            .iter_mut()
            .filter(|(identity, _)| identity.kind == "Pod");
        let without = pods.filter(|(_, pod)| synthetic::lacks_address(&pod.value));
        for (number, (_, pod)) in (1..).zip(without) {
            let addresses = synthetic::addresses(number);
            synthetic::give(&mut pod.value, &addresses);
            self.synthetic.extend(addresses);
        }
    }

    /// Gives a ClusterIP to the Services asked for that have none yet.
    fn address_services(&mut self, parties: &[&Party]) {
        let services = self.documents.iter_mut();
        let services = services.filter(|(identity, _)| {
            let is =
                |key: &ObjectKey| identity.namespace == key.namespace && identity.name == key.name;
            let asked = |party: &&Party| matches!(party, Party::Service(key) if is(key));
            identity.kind == "Service" && parties.iter().any(asked)
        });
        for (number, (_, service)) in (1..).zip(services) {
            self.synthetic
                .extend(synthetic::give_cluster_ip(&mut service.value, number));
        }
    }

    fn pods_without_address(&self) -> impl Iterator<Item = (&Identity, &Document)> {
        let pods = self
            .documents
            .iter()
            .filter(|(identity, _)| identity.kind == "Pod");
        pods.filter(|(_, pod)| synthetic::lacks_address(&pod.value))
    }

    /// Whether an address stands in for one that a manifest does not have.
    pub(super) fn is_synthetic(&self, address: IpAddr) -> bool {
        self.synthetic.contains(&address)
    }

    /// Whether there is a pod of this name, valid or not.
    pub(super) fn has_pod(&self, pod: &ObjectKey) -> bool {
        self.documents.keys().any(|identity| is_pod(identity, pod))
    }

    /// Compiles them. What is invalid goes to stderr.
    pub(super) fn cluster(&self) -> Result<Cluster> {
        let mut cluster = Cluster::new();
        let values = self.documents.values().map(|d| d.value.clone()).collect();
        cluster.bring_to(values)?;
        for identity in cluster.passed_over() {
            note(&format!(
                "{identity} is of {}, which is not what netpol enforces: left out",
                identity.group_version
            ));
        }
        for invalid in cluster.invalid() {
            let documents = self.documents.iter();
            let mut of_object = documents.filter(|(i, _)| i.to_string() == invalid.object);
            let file = of_object.next().map_or("", |(_, d)| d.file.as_str());
            let sentence = invalid.sentence();
            anstream::eprintln!("{file}: {sentence}; {}", invalid.effect);
        }
        Ok(cluster)
    }
}

fn is_pod(identity: &Identity, pod: &ObjectKey) -> bool {
    identity.kind == "Pod" && identity.namespace == pod.namespace && identity.name == pod.name
}
