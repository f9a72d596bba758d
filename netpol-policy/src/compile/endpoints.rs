//! Local endpoints: which policies isolate a pod, and what its map entry says.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use netpol_common::{
    Direction,
    address::{v4_word, v6_words},
    counter::DropReason,
    endpoint::{ADDRESSES, Endpoint, EndpointDirection, flags},
};

use super::{
    Compiler,
    own::OwnSet,
    sets::{SetIndex, SetKey, Shared},
};
use crate::{
    cluster::Cluster,
    digest::digest_of,
    object::{ObjectKey, Pod},
    tables::Tables,
};

#[derive(Debug)]
pub(crate) struct LocalEndpoint {
    pub(crate) pod: Arc<Pod>,
    pub(crate) ifindex: Option<u32>,
    ingress: Option<SetIndex>,
    egress: Option<SetIndex>,
    /// The Services that lead back to it.
    own: Option<OwnSet>,
    /// Why it is closed rather than what its policies say.
    pub(crate) closed: Option<Closed>,
}

/// Why an endpoint is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Closed {
    /// Its policies do not fit the maps.
    PolicyTooLarge,
    /// It has more addresses of a family than an endpoint can have.
    TooManyAddresses,
    /// The endpoint map is full: it has no entry at all.
    NoRoom,
}

impl Closed {
    /// The reason in words, and what would help.
    #[must_use]
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::PolicyTooLarge => {
                "its policies do not fit the maps: start the agent with larger tables"
            }
            Self::TooManyAddresses => "it has more than two addresses of one family",
            Self::NoRoom => "the endpoint map is full: start the agent with a larger one",
        }
    }
}

impl Closed {
    /// What its packets are dropped for.
    fn drop_reason(self) -> DropReason {
        match self {
            Self::TooManyAddresses => DropReason::TooManyAddresses,
            Self::PolicyTooLarge | Self::NoRoom => DropReason::PolicyTooLarge,
        }
    }
}

impl LocalEndpoint {
    pub(crate) fn set(&self, direction: Direction) -> Option<SetIndex> {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }
}

/// What decides how an endpoint is programmed, beside the cluster.
pub(crate) struct Circumstances<'a> {
    pub(crate) interfaces: &'a BTreeMap<ObjectKey, u32>,
    pub(crate) closed: &'a BTreeMap<ObjectKey, Closed>,
}

impl Compiler {
    /// Brings the endpoints of some pods up to date; `pods` gives each its pod while it is local
    /// and selectable.
    pub(crate) fn refresh_endpoints<'a>(
        &mut self,
        pods: impl Iterator<Item = (&'a ObjectKey, Option<&'a Arc<Pod>>)>,
        cluster: &Cluster,
        circumstances: &Circumstances<'_>,
        tables: &mut Tables,
    ) {
        let mut renewed = Vec::new();
        let mut replaced = Vec::new();
        let mut owned = Vec::new();
        for (key, pod) in pods {
            if let Some(before) = self.endpoints.remove(key) {
                if let Some(ifindex) = before.ifindex {
                    tables.endpoints.unset(&ifindex);
                }
                replaced.extend([before.ingress, before.egress].into_iter().flatten());
                owned.extend(before.own);
            }
            if let Some(pod) = pod {
                renewed.push(pod);
            }
        }
        for pod in renewed {
            let endpoint = self.endpoint(pod, cluster, circumstances);
            self.endpoints.insert(pod.key.clone(), endpoint);
        }
        for set in replaced {
            self.sets.release(set);
        }
        // Held until the endpoints have theirs again, so that what stays keeps its number.
        self.left_over.extend(owned);
    }

    /// Finds out which Services lead back to an endpoint, and writes its entry.
    pub(super) fn settle_endpoint(
        &mut self,
        key: &ObjectKey,
        cluster: &Cluster,
        tables: &mut Tables,
    ) {
        let Some(endpoint) = self.endpoints.get(key) else {
            return;
        };
        let isolated = endpoint.ingress.is_some() || endpoint.egress.is_some();
        let own = isolated.then(|| {
            self.own.acquire(
                &endpoint.pod,
                cluster,
                &self.frontends,
                &mut self.numbers,
                &mut tables.policy,
            )
        });
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        let before = std::mem::replace(&mut endpoint.own, own.flatten());
        self.left_over.extend(before);
        let endpoint = &self.endpoints[key];
        if let (Some(ifindex), false) = (endpoint.ifindex, endpoint.closed == Some(Closed::NoRoom))
        {
            let entry = self.entry(endpoint, cluster);
            tables.endpoints.set(ifindex, entry);
        }
    }

    /// Whether packets of some endpoint are judged by the Services they are addressed to.
    pub(super) fn asks_for_services(&self) -> bool {
        let mut endpoints = self.endpoints.values();
        endpoints.any(|endpoint| endpoint.egress.is_some() || endpoint.own.is_some())
    }

    fn endpoint(
        &mut self,
        pod: &Arc<Pod>,
        cluster: &Cluster,
        circumstances: &Circumstances<'_>,
    ) -> LocalEndpoint {
        let closed = circumstances.closed.get(&pod.key).copied();
        let closed = closed.or_else(|| {
            let v4 = pod.addresses.iter().filter(|a| a.is_ipv4()).count();
            let too_many = v4 > ADDRESSES || pod.addresses.len() - v4 > ADDRESSES;
            too_many.then_some(Closed::TooManyAddresses)
        });
        let mut set = |direction| {
            let matching = cluster
                .policies_in(&pod.key.namespace)
                .filter(|stored| stored.policy.subjects.matches(&pod.labels))
                .filter_map(|stored| stored.applied(direction).cloned())
                .collect();
            let key = SetKey::new(direction, matching, &pod.named_ports)?;
            Some(self.sets.acquire(
                key,
                &mut Shared {
                    terms: &mut self.terms,
                    rules: &mut self.rules,
                    ports: &mut self.ports,
                    numbers: &mut self.numbers,
                },
            ))
        };
        let (ingress, egress) = match closed {
            Some(_) => (None, None),
            None => (set(Direction::Ingress), set(Direction::Egress)),
        };
        LocalEndpoint {
            ifindex: circumstances.interfaces.get(&pod.key).copied(),
            ingress,
            egress,
            own: None,
            closed,
            pod: Arc::clone(pod),
        }
    }

    fn entry(&self, endpoint: &LocalEndpoint, cluster: &Cluster) -> Endpoint {
        let pod = &endpoint.pod;
        // While another pod claims an address with more right, it is not this one's.
        let is_own = |address: &&IpAddr| {
            cluster
                .pod_at(**address)
                .is_some_and(|owner| owner.key == pod.key)
        };
        let digest = digest_of(&(&pod.key, &pod.uid));
        let mut entry = Endpoint {
            pod: [digest.words[0], digest.words[1]],
            ..Endpoint::default()
        };
        let own = || pod.addresses.iter().filter(is_own);
        let v4 = own().filter_map(|address| match address {
            IpAddr::V4(v4) => Some(v4_word(*v4)),
            IpAddr::V6(_) => None,
        });
        for (place, word) in entry.v4.iter_mut().zip(v4) {
            *place = word;
        }
        let v6 = own().filter_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6_words(*v6)),
        });
        for (place, words) in entry.v6.iter_mut().zip(v6) {
            *place = words;
        }
        let direction = |set: Option<SetIndex>| match (endpoint.closed, set) {
            (Some(closed), _) => EndpointDirection {
                flags: flags::ISOLATED,
                set: 0,
                deny_rule: closed.drop_reason().counter(),
                second_set: 0,
            },
            (None, None) => EndpointDirection::default(),
            (None, Some(set)) => self.sets.sets[set].of_endpoint(),
        };
        entry.ingress = direction(endpoint.ingress);
        entry.egress = direction(endpoint.egress);
        if endpoint.closed.is_some() {
            return entry;
        }
        if let Some(set) = self.denies.set_of(&pod.key) {
            entry.ingress.flags |= flags::DENIES;
            entry.ingress.second_set = set;
        }
        if let Some(own) = endpoint.own {
            entry.egress.flags |= flags::OWN_SERVICES;
            entry.egress.second_set = own;
        }
        let asks = endpoint.egress.is_some() || endpoint.own.is_some();
        // Nodes that do not know whose the address is cannot refuse what it may not send.
        if endpoint.egress.is_some() && !cluster.is_shown(&pod.key) {
            entry.egress.flags |= flags::EVERY_BACKEND;
        }
        if asks && self.frontends.has_node_ports() {
            entry.egress.flags |= flags::NODE_PORTS;
        }
        if self.rejects(endpoint, cluster) {
            for direction in [&mut entry.ingress, &mut entry.egress] {
                if direction.flags & (flags::ISOLATED | flags::DENIES) != 0 {
                    direction.flags |= flags::REJECT;
                }
            }
        }
        entry
    }

    /// Whether what the policies of an endpoint's namespace refuse is answered.
    pub(crate) fn rejects(&self, endpoint: &LocalEndpoint, cluster: &Cluster) -> bool {
        let refusal = cluster.refusal(&endpoint.pod.key.namespace);
        endpoint.closed.is_none() && refusal.rejects(self.reject)
    }
}
