//! What the node knows of its own pods' addresses before, and better than, the API.
//!
//! The API shows a pod's addresses once its sandbox stands. Until then, and after a reboot, it shows
//! none, or those of a former sandbox, which may be another pod's by now.
//!
//! ```text
//! the API shows what it showed when the node's word came   -> the node's word
//! it shows something else since                            -> both; after a release the API's alone
//! ```

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::Cluster;
use crate::object::{ObjectKey, Pod};

/// The node's word on one pod.
#[derive(Debug)]
pub(super) struct Told {
    uid: String,
    addresses: BTreeSet<IpAddr>,
    /// What the API showed when the word came, and what it shows now.
    before: Vec<IpAddr>,
    shown: Vec<IpAddr>,
}

impl Told {
    fn effective(&self) -> Vec<IpAddr> {
        if self.shown == self.before {
            self.addresses.iter().copied().collect()
        } else if self.addresses.is_empty() {
            self.shown.clone()
        } else {
            let both: BTreeSet<_> = self.addresses.iter().chain(&self.shown).copied().collect();
            both.into_iter().collect()
        }
    }
}

impl Cluster {
    /// Takes the node's word on a pod; gives what the pod was before. None when no such pod is
    /// known.
    pub(crate) fn tell(
        &mut self,
        key: &ObjectKey,
        uid: &str,
        addresses: Option<BTreeSet<IpAddr>>,
    ) -> Option<Arc<Pod>> {
        let known = self.pod(key).filter(|pod| pod.uid == uid)?;
        let mut pod = Pod::clone(known);
        if let Some(told) = self.told.remove(key).filter(|told| told.uid == uid) {
            pod.addresses = told.shown;
        }
        if let Some(addresses) = addresses {
            let told = Told {
                uid: uid.to_owned(),
                addresses,
                before: pod.addresses.clone(),
                shown: Vec::new(),
            };
            self.told.insert(key.clone(), told);
        }
        self.set_pod(pod)
    }

    /// Gives a pod that the API shows the addresses it has as far as the node knows.
    pub(super) fn correct(&mut self, pod: &mut Pod) {
        let Some(told) = self.told.get_mut(&pod.key) else {
            return;
        };
        if told.uid == pod.uid {
            told.shown = std::mem::take(&mut pod.addresses);
            pod.addresses = told.effective();
        } else {
            self.told.remove(&pod.key);
        }
    }

    /// Whether the API shows every address that the node knows a pod to have: other nodes do not
    /// know the others.
    pub(crate) fn is_shown(&self, key: &ObjectKey) -> bool {
        let told = self.told.get(key);
        told.is_none_or(|told| told.addresses.iter().all(|a| told.shown.contains(a)))
    }

    /// Whether the node knows that a pod has an address.
    pub(super) fn is_told(&self, key: &ObjectKey, address: IpAddr) -> bool {
        let told = self.told.get(key);
        told.is_some_and(|told| told.addresses.contains(&address))
    }

    /// The other selectable pods of which the API shows one of these addresses.
    pub(crate) fn shown_with<'a>(
        &'a self,
        key: &'a ObjectKey,
        addresses: &'a BTreeSet<IpAddr>,
    ) -> impl Iterator<Item = &'a Arc<Pod>> {
        let owners = addresses.iter().flat_map(|a| self.claimants(*a));
        let owners = owners.filter(|pod| !self.told.contains_key(&pod.key));
        let told = self.told.iter();
        let told = told.filter(|(_, told)| told.shown.iter().any(|a| addresses.contains(a)));
        let told = told.filter_map(|(key, _)| self.pod(key));
        let all = owners.chain(told.filter(|pod| pod.is_selectable()));
        all.filter(move |pod| pod.key != *key)
    }
}
