//! The backends of Services by class: two addresses are of one class when every policy says the
//! same of both.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use netpol_common::maps::Digest;

use super::{
    identities::signature_digest,
    terms::{Signature, Terms},
};
use crate::cluster::Cluster;

/// A class, by the digest of its signature.
pub(crate) type ClassDigest = Digest;

#[derive(Debug, Default)]
pub(crate) struct Backends {
    classes: HashMap<ClassDigest, Class>,
    addresses: HashMap<IpAddr, Known>,
    /// Addresses that are another backend than before, since they were last taken.
    changed: BTreeSet<IpAddr>,
    /// Classes without an address, if that is still so at the commit's end.
    idle: Vec<ClassDigest>,
}

#[derive(Debug)]
struct Class {
    signature: Signature,
    uses: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    class: ClassDigest,
    is_pod: bool,
    is_node: bool,
}

/// What a slice's endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// A pod, whose node refuses what may not be sent to it.
    Pod(ClassDigest),
    /// No pod: nobody refuses there.
    Other(ClassDigest),
    /// A pod that is gone, or not known yet.
    Unknown,
}

impl Backends {
    /// What an endpoint of a slice is.
    pub(crate) fn at(
        &mut self,
        address: IpAddr,
        said_to_be_pod: bool,
        cluster: &Cluster,
        terms: &mut Terms,
    ) -> Backend {
        let known = match self.addresses.get(&address) {
            Some(known) => *known,
            None => self.learn(address, cluster, terms),
        };
        if known.is_pod {
            Backend::Pod(known.class)
        } else if said_to_be_pod && !known.is_node {
            Backend::Unknown
        } else {
            Backend::Other(known.class)
        }
    }

    /// What has an address, or what policies ask of it, may be another now.
    pub(crate) fn refresh(&mut self, address: IpAddr, cluster: &Cluster, terms: &mut Terms) {
        let Some(before) = self.addresses.get(&address).copied() else {
            return;
        };
        let used = cluster.services.services_at(address).next().is_some();
        if used {
            let after = self.learn(address, cluster, terms);
            if after != before {
                self.changed.insert(address);
            }
        } else {
            self.addresses.remove(&address);
        }
        // Given up last, so that a class that stays keeps its place.
        self.release(before.class);
    }

    /// The addresses that are other backends than before.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.changed)
    }

    fn learn(&mut self, address: IpAddr, cluster: &Cluster, terms: &mut Terms) -> Known {
        let pod = cluster.pod_at(address);
        let own = pod.and_then(|pod| terms.of_pod(pod, address, cluster));
        let signature = own.unwrap_or_else(|| terms.of_prefix(IpNet::from(address)));
        let known = Known {
            class: self.acquire(signature, terms),
            is_pod: pod.is_some(),
            is_node: cluster.is_node(address),
        };
        self.addresses.insert(address, known);
        known
    }

    /// What the addresses of a class satisfy.
    pub(crate) fn signature(&self, class: ClassDigest) -> Option<&Signature> {
        self.classes.get(&class).map(|class| &class.signature)
    }

    /// Forgets the classes that no address has.
    pub(crate) fn settle(&mut self) {
        for class in std::mem::take(&mut self.idle) {
            if self.classes.get(&class).is_some_and(|c| c.uses == 0) {
                self.classes.remove(&class);
            }
        }
    }

    fn acquire(&mut self, signature: Signature, terms: &Terms) -> ClassDigest {
        let digest = signature_digest(&signature, terms);
        let class = self.classes.entry(digest).or_insert_with(|| Class {
            signature: Signature::default(),
            uses: 0,
        });
        class.signature = signature;
        class.uses += 1;
        digest
    }

    fn release(&mut self, digest: ClassDigest) {
        if let Some(class) = self.classes.get_mut(&digest) {
            class.uses -= 1;
            if class.uses == 0 {
                self.idle.push(digest);
            }
        }
    }
}
