//! What local pods refuse to sources that may not send to them.
//!
//! For each local pod that a Service may lead to, and each group of sources: the ports of the pod
//! among the Service's target ports that the group's egress policies forbid. Whether a slice names
//! the pod already, and whether the source's node thinks that the Service is allowed, is not asked:
//! a refusal is right at any time, and must be in force before kube-proxy sends anything here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use netpol_common::{
    Direction,
    identity::Address6,
    maps::{Digest, NumberKind},
    policy::{Grant, PolicyKey},
};

use super::{
    ports::{Content, PortTables, add_range},
    rules::Rules,
    sets::AppliedPolicy,
    sources::{BySource, SourceIndex, Sources},
};
use crate::{
    cluster::Cluster,
    digest::digest_of,
    labels::Labels,
    numbers::Numbers,
    object::{ObjectKey, Pod},
    policy::{Namespaces, Peer, Peers, PortSpec, Ports, Protocol, Rule},
    service::TargetPort,
    table::Table,
};

/// A port of a pod.
type PodPort = (Protocol, u16);

#[derive(Debug, Default)]
pub(crate) struct Denies {
    pods: BTreeMap<ObjectKey, Refusals>,
    /// Pods that may refuse something now and did not, or the other way round.
    changed: BTreeSet<ObjectKey>,
}

/// What a local pod refuses.
#[derive(Debug)]
struct Refusals {
    /// Of its ports those that Services lead to.
    ports: BTreeSet<PodPort>,
    /// The pod, and the labels of its namespace, as they were judged.
    pod: Arc<Pod>,
    namespace_labels: Labels,
    /// The number of its set.
    set: u32,
    digest: Digest,
    entries: BySource<(PolicyKey, Grant)>,
}

/// What refusals refer to and share.
pub(crate) struct Shared<'a> {
    pub(crate) sources: &'a mut Sources,
    pub(crate) rules: &'a mut Rules,
    pub(crate) ports: &'a mut PortTables,
    pub(crate) numbers: &'a mut Numbers,
    pub(crate) policy: &'a mut Table<PolicyKey, Grant>,
    pub(crate) table: &'a mut Table<Address6, u32>,
}

impl Denies {
    /// The set of a pod's refusals, if it refuses anything.
    pub(crate) fn set_of(&self, pod: &ObjectKey) -> Option<u32> {
        let refusals = self.pods.get(pod)?;
        (!refusals.entries.is_empty()).then_some(refusals.set)
    }

    /// The pods that refuse something.
    pub(crate) fn refusing(&self) -> impl Iterator<Item = &ObjectKey> {
        let pods = self.pods.iter();
        pods.filter(|(_, refusals)| !refusals.entries.is_empty())
            .map(|(key, _)| key)
    }

    /// How much a pod's refusals hold in the maps.
    pub(crate) fn weight(&self, pod: &ObjectKey) -> usize {
        self.pods.get(pod).map_or(0, |r| r.entries.len())
    }

    /// The pods that may refuse something now and did not, or the other way round.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.changed)
    }

    /// A local pod came, went, or may be asked for other ports.
    pub(crate) fn refresh(
        &mut self,
        key: &ObjectKey,
        pod: Option<&Arc<Pod>>,
        cluster: &Cluster,
        shared: &mut Shared<'_>,
    ) {
        let ports = pod.map(|pod| ports_of(pod, cluster)).unwrap_or_default();
        let Some(pod) = pod.filter(|_| !ports.is_empty()) else {
            if let Some(refusals) = self.pods.remove(key) {
                for (source, entry) in refusals.entries {
                    take_back(source, &entry, shared);
                }
                shared.numbers.release(&refusals.digest);
            }
            return;
        };
        let labels = cluster.namespace_labels(&pod.key.namespace);
        let same = |known: &Refusals| {
            Arc::ptr_eq(&known.pod, pod) && known.ports == ports && known.namespace_labels == labels
        };
        if self.pods.get(key).is_some_and(same) {
            return;
        }
        let refusals = self.pods.entry(key.clone()).or_insert_with(|| {
            let digest = digest_of(&(NumberKind::PolicySet as u32, "denies", key));
            Refusals {
                ports: BTreeSet::new(),
                pod: Arc::clone(pod),
                namespace_labels: Labels::default(),
                set: shared.numbers.acquire(NumberKind::PolicySet, digest),
                digest,
                entries: BTreeMap::new(),
            }
        });
        refusals.ports = ports;
        refusals.pod = Arc::clone(pod);
        refusals.namespace_labels = labels;
        let all: Vec<SourceIndex> = shared.sources.sources.iter().map(|(p, _)| p).collect();
        for source in all {
            refusals.judge(source, shared);
        }
    }

    /// Groups came: each local pod judges them.
    pub(crate) fn judge_all(&mut self, fresh: &BTreeSet<SourceIndex>, shared: &mut Shared<'_>) {
        for (key, refusals) in &mut self.pods {
            let before = refusals.entries.is_empty();
            for source in fresh {
                refusals.judge(*source, shared);
            }
            if refusals.entries.is_empty() != before {
                self.changed.insert(key.clone());
            }
        }
    }

    /// Groups went.
    pub(crate) fn forget(&mut self, gone: &[SourceIndex], shared: &mut Shared<'_>) {
        for (key, refusals) in &mut self.pods {
            let before = refusals.entries.is_empty();
            for source in gone {
                if let Some(entry) = refusals.entries.remove(source) {
                    take_back(*source, &entry, shared);
                }
            }
            if refusals.entries.is_empty() != before {
                self.changed.insert(key.clone());
            }
        }
        for source in gone {
            shared.sources.forget(*source);
        }
    }
}

impl Refusals {
    fn judge(&mut self, place: SourceIndex, shared: &mut Shared<'_>) {
        let source = &shared.sources.sources[place];
        let same_family = |address: &&IpAddr| address.is_ipv4() == source.is_v4();
        let addresses = self.pod.addresses.iter().filter(same_family);
        let addresses: Vec<IpAddr> = addresses.copied().collect();
        let may_send = |(protocol, port): &PodPort| {
            // With several addresses of a family: what is forbidden to one is forbidden.
            addresses.iter().all(|address| {
                let target = Target {
                    pod: &self.pod,
                    namespace_labels: &self.namespace_labels,
                    address: *address,
                    protocol: *protocol,
                    port: *port,
                };
                source
                    .policies()
                    .iter()
                    .any(|applied| target.is_allowed(applied))
            })
        };
        let mut content = Content::new();
        for (protocol, port) in self.ports.iter().filter(|port| !may_send(port)) {
            add_range(&mut content, *protocol, *port, *port, 0);
        }
        let before = self.entries.remove(&place);
        if !content.is_empty() {
            let table = shared.ports.acquire(content, shared.numbers);
            let (identity, rule) =
                shared
                    .sources
                    .deny(place, shared.rules, shared.numbers, shared.table);
            let grant = Grant { rule, ..table };
            let key = PolicyKey {
                set: self.set,
                identity,
            };
            shared.policy.set(key, grant);
            self.entries.insert(place, (key, grant));
        }
        if let Some(before) = before {
            let replaced = self
                .entries
                .get(&place)
                .is_some_and(|(key, _)| *key == before.0);
            if !replaced {
                shared.policy.unset(&before.0);
            }
            give_up(place, &before, shared);
        }
    }
}

fn take_back(source: SourceIndex, entry: &(PolicyKey, Grant), shared: &mut Shared<'_>) {
    shared.policy.unset(&entry.0);
    give_up(source, entry, shared);
}

fn give_up(source: SourceIndex, (_, grant): &(PolicyKey, Grant), shared: &mut Shared<'_>) {
    shared.ports.release(grant, shared.numbers);
    shared
        .sources
        .undeny(source, shared.rules, shared.numbers, shared.table);
}

/// The ports of a pod that Services with an address of their own lead to, or will.
fn ports_of(pod: &Pod, cluster: &Cluster) -> BTreeSet<PodPort> {
    let mut ports = BTreeSet::new();
    let services = &cluster.services;
    for service in services.may_lead_to(&pod.key.namespace, &pod.labels) {
        if service.cluster_ips.is_empty() {
            continue;
        }
        for port in &service.ports {
            match &port.target {
                TargetPort::Number(number) => {
                    ports.insert((port.protocol, number.get()));
                }
                TargetPort::Named(name) => {
                    let named = pod.named_ports.iter();
                    let named = named.filter(|p| p.name == *name && p.protocol == port.protocol);
                    ports.extend(named.map(|p| (p.protocol, p.number)));
                }
            }
        }
    }
    for address in &pod.addresses {
        for key in cluster.services.services_at(*address) {
            // One that is not known yet may have an address.
            let service = cluster.services.get(key);
            if service.is_some_and(|service| service.cluster_ips.is_empty()) {
                continue;
            }
            for slice in cluster.services.slices_of(key) {
                if slice.endpoints.iter().any(|e| e.address == *address) {
                    ports.extend(slice.ports.iter().map(|p| (p.protocol, p.number.get())));
                }
            }
        }
    }
    ports
}

/// A port of a pod, as policies see it from where a packet comes.
struct Target<'a> {
    pod: &'a Pod,
    namespace_labels: &'a Labels,
    address: IpAddr,
    protocol: Protocol,
    port: u16,
}

impl Target<'_> {
    fn is_allowed(&self, applied: &AppliedPolicy) -> bool {
        let rules = applied.policy.rules(Direction::Egress).unwrap_or_default();
        let mut rules = rules.iter();
        rules.any(|rule| self.is_peer(rule) && self.is_port(rule))
    }

    fn is_peer(&self, rule: &Rule) -> bool {
        match &rule.peers {
            Peers::Anyone => true,
            Peers::Of(peers) => peers.iter().any(|peer| match peer {
                Peer::Pods { namespaces, pods } => {
                    let there = match namespaces {
                        Namespaces::Named(name) => *name == self.pod.key.namespace,
                        Namespaces::Selected(selector) => selector.matches(self.namespace_labels),
                    };
                    there && pods.matches(&self.pod.labels)
                }
                Peer::Block(block) => {
                    let hole = |net: &ipnet::IpNet| net.contains(&self.address);
                    block.net.contains(&self.address) && !block.except.iter().any(hole)
                }
            }),
        }
    }

    fn is_port(&self, rule: &Rule) -> bool {
        let Ports::Of(ports) = &rule.ports else {
            return true;
        };
        let mut ports = ports.iter().filter(|port| port.protocol == self.protocol);
        ports.any(|port| match &port.port {
            PortSpec::Any => true,
            PortSpec::Range { first, last } => (first.get()..=last.get()).contains(&self.port),
            PortSpec::Named(name) => self.pod.named_ports.iter().any(|named| {
                named.name == *name && named.protocol == self.protocol && named.number == self.port
            }),
        })
    }
}
