//! The objects of the cluster, indexed by what selectors ask.

mod claimants;
mod label_pool;
mod services;
mod stock;
mod told;

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, btree_map::Entry},
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use netpol_common::Direction;
use slab::Slab;

use crate::{
    compile::AppliedPolicy,
    labels::{Labels, NAMESPACE_NAME_LABEL},
    object::{Namespace, Node, ObjectKey, Pod},
    policy::{Namespaces, Policy},
    refusal::Refusal,
    selector::{Operator, Selector},
};
use claimants::Claimants;
use label_pool::LabelPool;
pub(crate) use services::Services;
use told::Told;

/// Place of a pod in the store.
pub(crate) type PodIndex = u32;

#[derive(Debug, Default)]
pub(crate) struct Cluster {
    namespaces: BTreeMap<String, Labels>,
    /// What the namespaces' annotations say, where they say something.
    refusals: BTreeMap<String, Refusal>,
    nodes: BTreeMap<String, Node>,
    /// Addresses of nodes, with how many have them.
    node_addresses: BTreeMap<IpAddr, usize>,
    pods: Slab<Arc<Pod>>,
    pod_places: HashMap<ByKey, PodIndex>,
    labels: LabelPool,
    /// What is known of local pods' addresses before the API shows it.
    told: HashMap<ObjectKey, Told>,
    /// Selectable pods by namespace.
    selectable: HashMap<String, PodsOfNamespace>,
    /// Selectable pods by address.
    owners: BTreeMap<IpAddr, Claimants>,
    /// Policies by namespace and name.
    policies: BTreeMap<String, BTreeMap<String, StoredPolicy>>,
    pub(crate) services: Services,
}

/// A pod as the key of a map: by its name, without another copy of it.
#[derive(Debug)]
struct ByKey(Arc<Pod>);

impl Borrow<ObjectKey> for ByKey {
    fn borrow(&self) -> &ObjectKey {
        &self.0.key
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

/// A policy, and what it says in each direction it isolates in.
#[derive(Debug)]
pub(crate) struct StoredPolicy {
    pub(crate) policy: Arc<Policy>,
    ingress: Option<AppliedPolicy>,
    egress: Option<AppliedPolicy>,
}

impl StoredPolicy {
    fn new(policy: Arc<Policy>) -> Self {
        Self {
            ingress: AppliedPolicy::new(&policy, Direction::Ingress),
            egress: AppliedPolicy::new(&policy, Direction::Egress),
            policy,
        }
    }

    pub(crate) fn applied(&self, direction: Direction) -> Option<&AppliedPolicy> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }
}

#[derive(Debug, Default)]
struct PodsOfNamespace {
    all: HashSet<PodIndex>,
    by_label: HashMap<(String, String), HashSet<PodIndex>>,
}

impl Cluster {
    pub(crate) fn pod(&self, key: &ObjectKey) -> Option<&Arc<Pod>> {
        self.pod_places.get(key).map(|place| self.at(*place))
    }

    fn at(&self, place: PodIndex) -> &Arc<Pod> {
        &self.pods[place as usize]
    }

    /// Every pod, in no order.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().map(|(_, pod)| pod)
    }

    /// Stores a pod as the API shows it, and gives what it replaces.
    pub(crate) fn set_pod(&mut self, mut pod: Pod) -> Option<Arc<Pod>> {
        self.correct(&mut pod);
        let before = self.take_pod(&pod.key);
        self.store(pod);
        before
    }

    fn store(&mut self, mut pod: Pod) {
        pod.labels = self.labels.share(&pod.labels);
        let pod = Arc::new(pod);
        // More pods than numbers would not fit any machine.
        let place = self.pods.insert(Arc::clone(&pod)) as PodIndex;
        self.pod_places.insert(ByKey(Arc::clone(&pod)), place);
        if pod.is_selectable() {
            let namespace = self.selectable.entry(pod.key.namespace.clone());
            let namespace = namespace.or_default();
            namespace.all.insert(place);
            for (key, value) in &pod.labels {
                let label = (key.to_owned(), value.to_owned());
                namespace.by_label.entry(label).or_default().insert(place);
            }
            for address in &pod.addresses {
                match self.owners.entry(*address) {
                    Entry::Vacant(free) => drop(free.insert(Claimants::One(place))),
                    Entry::Occupied(mut claimants) => claimants.get_mut().insert(place),
                }
            }
        }
    }

    pub(crate) fn remove_pod(&mut self, key: &ObjectKey) -> Option<Arc<Pod>> {
        self.told.remove(key);
        self.take_pod(key)
    }

    fn take_pod(&mut self, key: &ObjectKey) -> Option<Arc<Pod>> {
        let place = self.pod_places.remove(key)?;
        let pod = self.pods.remove(place as usize);
        if pod.is_selectable() {
            self.forget_selectable(place, &pod);
        }
        Some(pod)
    }

    fn forget_selectable(&mut self, place: PodIndex, pod: &Pod) {
        if let Some(namespace) = self.selectable.get_mut(&pod.key.namespace) {
            namespace.all.remove(&place);
            for (key, value) in &pod.labels {
                let label = (key.to_owned(), value.to_owned());
                if let Some(pods) = namespace.by_label.get_mut(&label) {
                    pods.remove(&place);
                    if pods.is_empty() {
                        namespace.by_label.remove(&label);
                    }
                }
            }
            if namespace.all.is_empty() {
                self.selectable.remove(&pod.key.namespace);
            }
        }
        for address in &pod.addresses {
            let claimants = self.owners.get_mut(address);
            if claimants.is_some_and(|claimants| claimants.remove(place)) {
                self.owners.remove(address);
            }
        }
    }

    /// The selectable pod that has an address. While an address passes from one pod to the next
    /// both may claim it: the one whose sandbox the node knows to have it counts first, then one
    /// that is not terminating, then the younger.
    pub(crate) fn pod_at(&self, address: IpAddr) -> Option<&Arc<Pod>> {
        let claimants = self.owners.get(&address)?;
        claimants
            .iter()
            .map(|place| self.at(*place))
            .max_by(|a, b| {
                let rank = |pod: &Pod| {
                    let told = self.is_told(&pod.key, address);
                    (told, !pod.terminating, pod.created.clone())
                };
                rank(a).cmp(&rank(b)).then_with(|| b.key.cmp(&a.key))
            })
    }

    /// Every selectable pod that claims an address.
    pub(crate) fn claimants(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Pod>> {
        let claimants = self.owners.get(&address).into_iter();
        let claimants = claimants.flat_map(Claimants::iter);
        claimants.map(|place| self.at(*place))
    }

    /// Addresses of selectable pods inside a block.
    pub(crate) fn addresses_in(&self, net: IpNet) -> impl Iterator<Item = IpAddr> {
        let range = net.network()..=net.broadcast();
        self.owners.range(range).map(|(address, _)| *address)
    }

    /// Addresses of selectable pods with a named port.
    pub(crate) fn addresses_naming(&self, name: &str) -> Vec<IpAddr> {
        let naming = |pod: &&Arc<Pod>| pod.named_ports.iter().any(|p| p.name == name);
        let pods = self.pods().filter(|pod| pod.is_selectable());
        let pods = pods.filter(naming);
        pods.flat_map(|pod| pod.addresses.iter().copied()).collect()
    }

    /// Addresses of the selectable pods of a namespace.
    pub(crate) fn addresses_of_namespace(&self, namespace: &str) -> Vec<IpAddr> {
        let pods = self.selectable.get(namespace).into_iter();
        let pods = pods.flat_map(|pods| pods.all.iter());
        pods.flat_map(|place| self.at(*place).addresses.iter().copied())
            .collect()
    }

    /// Addresses of the pods that a peer selects.
    pub(crate) fn addresses_of_peer(
        &self,
        namespaces: &Namespaces,
        pods: &Selector,
    ) -> Vec<IpAddr> {
        let mut found = Vec::new();
        let mut of_namespace = |name: &str| {
            if let Some(namespace) = self.selectable.get(name) {
                for place in self.candidates(namespace, pods) {
                    let pod = self.at(*place);
                    if pods.matches(&pod.labels) {
                        found.extend(pod.addresses.iter().copied());
                    }
                }
            }
        };
        match namespaces {
            Namespaces::Named(name) => of_namespace(name),
            Namespaces::Selected(selector) => {
                for name in self.selectable.keys() {
                    if selector.matches(&self.namespace_labels(name)) {
                        of_namespace(name);
                    }
                }
            }
        }
        found
    }

    /// The pods of a namespace that may match: those with the rarest label the selector requires.
    fn candidates<'a>(
        &self,
        namespace: &'a PodsOfNamespace,
        selector: &Selector,
    ) -> Box<dyn Iterator<Item = &'a PodIndex> + 'a> {
        let empty = HashSet::new();
        let size = |values: &BTreeSet<String>, key: &String| -> usize {
            let pods = |v: &String| namespace.by_label.get(&(key.clone(), v.clone()));
            values.iter().map(|v| pods(v).unwrap_or(&empty).len()).sum()
        };
        let rarest = selector
            .requirements()
            .filter_map(|r| match &r.operator {
                Operator::In(values) => Some((size(values, &r.key), &r.key, values)),
                _ => None,
            })
            .min_by_key(|(size, _, _)| *size);
        match rarest {
            None => Box::new(namespace.all.iter()),
            Some((_, key, values)) => {
                let labels: Vec<_> = values.iter().map(|v| (key.clone(), v.clone())).collect();
                Box::new(
                    labels
                        .into_iter()
                        .filter_map(|label| namespace.by_label.get(&label))
                        .flatten(),
                )
            }
        }
    }

    /// The labels of a namespace. One whose object is not known still has its name.
    pub(crate) fn namespace_labels(&self, name: &str) -> Labels {
        self.namespaces
            .get(name)
            .cloned()
            .unwrap_or_else(|| Labels::from([(NAMESPACE_NAME_LABEL, name)]))
    }

    /// Stores a namespace; tells whether its labels changed.
    pub(crate) fn set_namespace(&mut self, namespace: Namespace) -> bool {
        let before = self.namespace_labels(&namespace.name);
        let changed = before != namespace.labels;
        self.namespaces.insert(namespace.name, namespace.labels);
        changed
    }

    pub(crate) fn remove_namespace(&mut self, name: &str) -> bool {
        let before = self.namespaces.remove(name);
        before.is_some_and(|labels| labels != self.namespace_labels(name))
    }

    /// How packets are refused that the policies of a namespace forbid.
    pub(crate) fn refusal(&self, namespace: &str) -> &Refusal {
        self.refusals.get(namespace).unwrap_or(&Refusal::Unsaid)
    }

    /// Notes what a namespace's annotation says; tells whether that changed.
    pub(crate) fn set_refusal(&mut self, namespace: &str, refusal: Refusal) -> bool {
        let changed = *self.refusal(namespace) != refusal;
        match refusal {
            Refusal::Unsaid => drop(self.refusals.remove(namespace)),
            said => drop(self.refusals.insert(namespace.to_owned(), said)),
        }
        changed
    }

    /// Namespaces whose annotation is not understood, and what it says.
    pub(crate) fn unknown_refusals(&self) -> impl Iterator<Item = (&str, &str)> {
        self.refusals
            .iter()
            .filter_map(|(name, refusal)| match refusal {
                Refusal::Unknown(value) => Some((name.as_str(), value.as_str())),
                _ => None,
            })
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// Whether an address is one of a Node object's.
    pub(crate) fn is_node(&self, address: IpAddr) -> bool {
        self.node_addresses.contains_key(&address)
    }

    /// The addresses of every node.
    pub(crate) fn node_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.node_addresses.keys().copied()
    }

    /// Stores a node and gives what it replaces.
    pub(crate) fn set_node(&mut self, node: Node) -> Option<Node> {
        let before = self.remove_node(&node.name);
        for address in &node.addresses {
            *self.node_addresses.entry(*address).or_default() += 1;
        }
        self.nodes.insert(node.name.clone(), node);
        before
    }

    pub(crate) fn remove_node(&mut self, name: &str) -> Option<Node> {
        let node = self.nodes.remove(name)?;
        for address in &node.addresses {
            if let Some(count) = self.node_addresses.get_mut(address) {
                *count -= 1;
                if *count == 0 {
                    self.node_addresses.remove(address);
                }
            }
        }
        Some(node)
    }

    /// Addresses of the pods that a policy selects.
    pub(crate) fn addresses_of_subjects(&self, policy: &Policy) -> Vec<IpAddr> {
        let namespaces = Namespaces::Named(policy.key.namespace.clone());
        self.addresses_of_peer(&namespaces, &policy.subjects)
    }

    /// Stores a policy and gives what it replaces.
    pub(crate) fn set_policy(&mut self, policy: Arc<Policy>) -> Option<Arc<Policy>> {
        let namespace = self.policies.entry(policy.key.namespace.clone());
        let name = policy.key.name.clone();
        let before = namespace
            .or_default()
            .insert(name, StoredPolicy::new(policy));
        before.map(|stored| stored.policy)
    }

    pub(crate) fn remove_policy(&mut self, key: &ObjectKey) -> Option<Arc<Policy>> {
        let namespace = self.policies.get_mut(&key.namespace)?;
        let before = namespace.remove(&key.name);
        if namespace.is_empty() {
            self.policies.remove(&key.namespace);
        }
        before.map(|stored| stored.policy)
    }

    pub(crate) fn policy(&self, key: &ObjectKey) -> Option<&Arc<Policy>> {
        let stored = self.policies.get(&key.namespace)?.get(&key.name)?;
        Some(&stored.policy)
    }

    /// The policies of a namespace, by name.
    pub(crate) fn policies_in(&self, namespace: &str) -> impl Iterator<Item = &StoredPolicy> {
        let policies = self.policies.get(namespace).into_iter();
        policies.flat_map(BTreeMap::values)
    }

    /// Every policy, by namespace and name.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        let stored = self.policies.values().flat_map(BTreeMap::values);
        stored.map(|stored| &stored.policy)
    }
}
