//! The Services that an endpoint is a backend of: through them it may reach itself.
//!
//! "A Pod cannot block access to itself." Which backend kube-proxy chooses is not known, so a
//! Service that leads to the endpoint is allowed to it; what else the Service leads to is a pod,
//! whose node refuses what the endpoint may not send.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use netpol_common::{
    counter::SELF,
    maps::{Digest, NumberKind},
    policy::{Grant, PolicyKey},
};

use super::frontends::{Content, Frontends};
use crate::{cluster::Cluster, digest::digest_of, numbers::Numbers, object::Pod, table::Table};

/// The number of a set of Services.
pub(crate) type OwnSet = u32;

/// The identities of Services that lead back, and whether that allows them.
type Services = BTreeMap<(Digest, u32), bool>;

#[derive(Debug, Default)]
pub(crate) struct OwnServices {
    sets: HashMap<Services, Set>,
    by_number: HashMap<OwnSet, Services>,
}

#[derive(Debug)]
struct Set {
    number: OwnSet,
    digest: Digest,
    uses: usize,
}

impl OwnServices {
    /// The set of what leads back to a pod, in use once more; `None` when nothing does.
    pub(crate) fn acquire(
        &mut self,
        pod: &Pod,
        cluster: &Cluster,
        frontends: &Frontends,
        numbers: &mut Numbers,
        policy: &mut Table<PolicyKey, Grant>,
    ) -> Option<OwnSet> {
        let services = leading_to(pod, cluster, frontends);
        if services.is_empty() {
            return None;
        }
        if let Some(set) = self.sets.get_mut(&services) {
            set.uses += 1;
            return Some(set.number);
        }
        let content: Vec<_> = services
            .iter()
            .map(|((d, _), allows)| (d, allows))
            .collect();
        let digest = digest_of(&(NumberKind::PolicySet as u32, "own", content));
        let number = numbers.acquire(NumberKind::PolicySet, digest);
        for ((_, identity), allows) in &services {
            let key = PolicyKey {
                set: number,
                identity: *identity,
            };
            let grant = Grant {
                rule: if *allows { SELF } else { 0 },
                ..Grant::default()
            };
            policy.set(key, grant);
        }
        let set = Set {
            number,
            digest,
            uses: 1,
        };
        self.by_number.insert(number, services.clone());
        self.sets.insert(services, set);
        Some(number)
    }

    /// The set is no longer in use.
    pub(crate) fn release(
        &mut self,
        number: OwnSet,
        numbers: &mut Numbers,
        policy: &mut Table<PolicyKey, Grant>,
    ) {
        let Some(services) = self.by_number.get(&number) else {
            return;
        };
        let Some(set) = self.sets.get_mut(services) else {
            return;
        };
        set.uses -= 1;
        if set.uses > 0 {
            return;
        }
        numbers.release(&set.digest);
        for (_, identity) in services.keys() {
            policy.unset(&PolicyKey {
                set: number,
                identity: *identity,
            });
        }
        if let Some(services) = self.by_number.remove(&number) {
            self.sets.remove(&services);
        }
    }
}

fn leading_to(pod: &Pod, cluster: &Cluster, frontends: &Frontends) -> Services {
    let mut found = Services::new();
    let is_own = |address: &&IpAddr| {
        let owner = cluster.pod_at(**address);
        owner.is_some_and(|owner| owner.key == pod.key)
    };
    for address in pod.addresses.iter().filter(is_own) {
        for service in cluster.services.services_at(*address) {
            let compiled = frontends.of_service(service);
            let behind = compiled.and_then(|compiled| compiled.backends.get(address));
            for place in behind.into_iter().flatten() {
                let frontend = &frontends.frontends[*place];
                let allows = allows_itself(&frontend.content, *address);
                let known = found.entry((frontend.digest, frontend.id)).or_default();
                *known |= allows;
            }
        }
    }
    found
}

/// Whether being among the backends is enough: each other one refuses for itself, or there is no
/// other.
fn allows_itself(content: &Content, address: IpAddr) -> bool {
    let refusing = !content.every && content.others.is_empty();
    refusing || content.only == Some(address)
}
