//! The one owner of the cluster's state: changes in, deltas out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use netpol_common::{Direction, address::v6_words, identity::Address6, maps};

use crate::{
    change::{Change, Limits, Scope},
    cluster::Cluster,
    compile::{
        Compiler, Touched,
        endpoints::{Circumstances, Closed},
        frontends::mapped,
    },
    delta,
    numbers::highest_generation,
    object::{Kind, Node, Object, ObjectKey, ObjectRef, Pod},
    operation::{Delta, Programmed},
    policy::Policy,
    refusal::Refusal,
    tables::Tables,
};

mod capacity;
mod services;
mod view;

pub use services::{BackendView, ServiceView};
pub use view::{
    EndpointDirectionView, EndpointView, LocalPod, PolicyView, RuleAttribution, RuleView, TableUse,
};

/// The state of a cluster as far as one node needs it, and what the node's maps hold of it.
///
/// ```text
/// apply(Change)*  ->  commit()  ->  Delta
/// ```
/// What the maps should hold depends on the current state only, never on the way it was reached.
/// [`ClusterState::apply`] only notes; [`ClusterState::commit`] recompiles what the changes
/// touched.
#[derive(Debug)]
pub struct ClusterState {
    scope: Scope,
    limits: Limits,
    cluster: Cluster,
    /// The pods that are endpoints, or should be.
    local: BTreeSet<ObjectKey>,
    interfaces: BTreeMap<ObjectKey, u32>,
    local_addresses: BTreeSet<IpAddr>,
    /// Addresses of nodes may have changed since the last commit.
    nodes_changed: bool,
    /// Whether the addresses of other nodes are programmed.
    all_nodes: bool,
    closed: BTreeMap<ObjectKey, Closed>,
    touched: Touched,
    compiler: Compiler,
    tables: Tables,
    generation: u32,
}

impl ClusterState {
    /// An empty cluster, and empty maps.
    #[must_use]
    pub fn new(scope: Scope, limits: Limits) -> Self {
        Self {
            scope,
            limits,
            cluster: Cluster::default(),
            local: BTreeSet::new(),
            interfaces: BTreeMap::new(),
            local_addresses: BTreeSet::new(),
            nodes_changed: true,
            all_nodes: false,
            closed: BTreeMap::new(),
            touched: Touched::default(),
            compiler: Compiler::default(),
            tables: Tables::default(),
            generation: 0,
        }
    }

    /// kube-proxy masquerades whatever is sent to a ClusterIP (its flag `--masquerade-all`), so
    /// that backends do not learn who sends: a pod must then be allowed to reach every backend of
    /// a Service.
    #[must_use]
    pub fn with_masquerade_all(mut self) -> Self {
        self.compiler.masquerade_all = true;
        self
    }

    /// Refused packets are answered, rather than dropped in silence, where the namespace of the
    /// policy says nothing else.
    #[must_use]
    pub fn with_reject(mut self) -> Self {
        self.compiler.reject = true;
        self
    }

    /// Takes over what the maps hold: at the start, or when an operation failed. The next delta
    /// leads from there.
    pub fn resync(&mut self, programmed: Programmed) {
        self.generation = self.generation.max(highest_generation(&programmed));
        self.compiler.numbers.adopt(&programmed);
        if self.generation > 0 {
            self.compiler.numbers.remember_generation(self.generation);
        }
        self.compiler.ports.table.resync(programmed.ports.clone());
        self.tables.resync(programmed);
    }

    /// Notes a change, and tells whether it is one. An object that is there already and says the
    /// same, as far as policy looks at it, is none.
    pub fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Set(object) if self.cluster.has(&object) => return false,
            Change::Set(Object::Pod(pod)) => self.set_pod(*pod),
            Change::Set(Object::Namespace(namespace)) => {
                let name = namespace.name.clone();
                self.set_refusal(&name, namespace.refusal.clone());
                if self.cluster.set_namespace(namespace) {
                    self.touch_namespace(&name);
                }
            }
            Change::Set(Object::Node(node)) => {
                self.touch_node(&node);
                if let Some(before) = self.cluster.set_node(node) {
                    self.touch_node(&before);
                }
            }
            Change::Set(Object::NetworkPolicy(policy)) => self.set_policy(policy),
            Change::Set(Object::Service(service)) => self.cluster.services.set(service),
            Change::Set(Object::EndpointSlice(slice)) => self.cluster.services.set_slice(slice),
            Change::Remove(ObjectRef { kind, key }) => self.remove(kind, &key),
            Change::Only { kind, keys } => {
                let gone = self.cluster.others(kind, &keys);
                gone.iter().for_each(|key| self.remove(kind, key));
                return !gone.is_empty();
            }
            Change::Attach { pod, ifindex } => self.attach(pod, ifindex),
            Change::Detach { pod } => {
                self.interfaces.remove(&pod);
                self.touched.pods.insert(pod);
            }
            Change::Addresses {
                pod,
                uid,
                addresses,
            } => {
                if let Some(before) = self.cluster.tell(&pod, &uid, addresses) {
                    self.touch_replaced(&pod, Some(before));
                }
            }
            Change::LocalAddresses(addresses) => {
                self.local_addresses = addresses;
                self.nodes_changed = true;
            }
        }
        true
    }

    /// Recompiles what the changes touched, and gives the way there.
    pub fn commit(&mut self) -> Delta {
        let services = self.cluster.services.take_changed();
        self.touched.services.extend(services.services);
        self.touched.backends.extend(services.addresses);
        // What did not fit may fit now; what fits depends on the current state only.
        self.touched
            .pods
            .extend(std::mem::take(&mut self.closed).into_keys());
        self.compile();
        while let Some((pod, reason)) = self.does_not_fit() {
            self.closed.insert(pod.clone(), reason);
            self.touched.pods.insert(pod);
            self.compile();
        }
        self.set_node_addresses();
        delta::plan(&mut self.tables, &mut self.compiler, &mut self.generation)
    }

    fn compile(&mut self) {
        let touched = self.touched.pods.clone();
        let (cluster, scope) = (&self.cluster, &self.scope);
        let pods = touched.iter().map(|key| {
            let pod = cluster.pod(key).filter(|pod| is_local(scope, pod));
            (key, pod)
        });
        let circumstances = Circumstances {
            interfaces: &self.interfaces,
            closed: &self.closed,
        };
        self.compiler
            .refresh_endpoints(pods, cluster, &circumstances, &mut self.tables);
        self.compiler
            .compile(cluster, &mut self.touched, &mut self.tables);
    }

    fn set_pod(&mut self, pod: Pod) {
        let key = pod.key.clone();
        if is_local(&self.scope, &pod) {
            self.local.insert(key.clone());
        } else {
            self.local.remove(&key);
        }
        let before = self.cluster.set_pod(pod);
        self.touch_replaced(&key, before);
    }

    /// Touches a pod that was stored, and what it replaced.
    fn touch_replaced(&mut self, key: &ObjectKey, before: Option<Arc<Pod>>) {
        let after = self.cluster.pod(key).cloned();
        for pod in after.into_iter().chain(before) {
            self.touch_pod(&pod);
        }
    }

    fn touch_node(&mut self, node: &Node) {
        self.nodes_changed = true;
        // A backend that is a node is no pod.
        self.touched.addresses.extend(&node.addresses);
    }

    fn set_policy(&mut self, policy: Arc<Policy>) {
        self.touch_subjects(&policy);
        if let Some(before) = self.cluster.set_policy(policy) {
            self.touch_subjects(&before);
        }
    }

    fn remove(&mut self, kind: Kind, key: &ObjectKey) {
        match kind {
            Kind::Pod => {
                self.local.remove(key);
                if let Some(before) = self.cluster.remove_pod(key) {
                    self.touch_pod(&before);
                }
            }
            Kind::Namespace => {
                self.set_refusal(&key.name, Refusal::Unsaid);
                if self.cluster.remove_namespace(&key.name) {
                    self.touch_namespace(&key.name);
                }
            }
            Kind::Node => {
                if let Some(before) = self.cluster.remove_node(&key.name) {
                    self.touch_node(&before);
                }
            }
            Kind::Service => self.cluster.services.remove(key),
            Kind::EndpointSlice => self.cluster.services.remove_slice(key),
            Kind::NetworkPolicy => {
                if let Some(before) = self.cluster.remove_policy(key) {
                    self.touch_subjects(&before);
                }
            }
        }
    }

    /// An interface belongs to the pod that had it attached last.
    fn attach(&mut self, pod: ObjectKey, ifindex: u32) {
        let before: Vec<ObjectKey> = self
            .interfaces
            .iter()
            .filter(|(key, index)| **index == ifindex && **key != pod)
            .map(|(key, _)| key.clone())
            .collect();
        for key in before {
            self.interfaces.remove(&key);
            self.touched.pods.insert(key);
        }
        self.interfaces.insert(pod.clone(), ifindex);
        self.touched.pods.insert(pod);
    }

    fn touch_pod(&mut self, pod: &Pod) {
        self.touched.pods.insert(pod.key.clone());
        self.touched.addresses.extend(pod.addresses.iter());
        self.touched.sources.extend(pod.addresses.iter());
        // An address is the endpoint's that counts, and which one that is may change.
        for address in &pod.addresses {
            let claimants = self.cluster.claimants(*address);
            self.touched
                .pods
                .extend(claimants.map(|pod| pod.key.clone()));
        }
    }

    fn touch_namespace(&mut self, namespace: &str) {
        self.compiler.terms.namespace_changed(namespace);
        let addresses = self.cluster.addresses_of_namespace(namespace);
        self.touched.addresses.extend(addresses);
    }

    fn set_refusal(&mut self, namespace: &str, refusal: Refusal) {
        if self.cluster.set_refusal(namespace, refusal) {
            let first = ObjectKey::new(namespace, "");
            let endpoints = self.compiler.endpoints.range(first..);
            let of_namespace = endpoints
                .map(|(key, _)| key)
                .take_while(|key| key.namespace == namespace);
            self.touched.pods.extend(of_namespace.cloned());
        }
    }

    /// The endpoints of a policy's namespace that it selects.
    fn touch_subjects(&mut self, policy: &Policy) {
        let first = ObjectKey::new(&policy.key.namespace, "");
        let endpoints = self.compiler.endpoints.range(first..);
        let subjects = endpoints
            .take_while(|(key, _)| key.namespace == policy.key.namespace)
            .filter(|(_, endpoint)| policy.subjects.matches(&endpoint.pod.labels))
            .map(|(key, _)| key.clone());
        self.touched.pods.extend(subjects);
        if policy.egress.is_some() {
            let sources = self.cluster.addresses_of_subjects(policy);
            self.touched.sources.extend(sources);
        }
    }

    /// The addresses that the node's own sockets send from; and where Services have ports on every
    /// node, the addresses of all nodes.
    fn set_node_addresses(&mut self) {
        let node_ports = self.compiler.frontends.has_node_ports();
        if !self.nodes_changed && node_ports == self.all_nodes {
            return;
        }
        self.nodes_changed = false;
        self.all_nodes = node_ports;
        let key = |address: IpAddr| Address6 {
            words: v6_words(mapped(address)),
        };
        let mut wanted: BTreeMap<Address6, u32> = BTreeMap::new();
        if node_ports {
            let others = self.cluster.node_addresses();
            wanted.extend(others.map(|address| (key(address), maps::OTHER_NODE)));
        }
        let own = match &self.scope {
            Scope::Node(name) => self.node_addresses(name),
            Scope::All => &[],
        };
        let own = own.iter().chain(&self.local_addresses);
        wanted.extend(own.map(|address| (key(*address), maps::OWN_NODE)));
        let present: Vec<Address6> = self.tables.node.desired().keys().copied().collect();
        for key in present {
            if !wanted.contains_key(&key) {
                self.tables.node.unset(&key);
            }
        }
        for (key, whose) in wanted {
            self.tables.node.set(key, whose);
        }
    }
}

fn is_local(scope: &Scope, pod: &Pod) -> bool {
    let here = match scope {
        Scope::Node(name) => pod.node.as_ref() == Some(name),
        Scope::All => true,
    };
    here && pod.is_selectable()
}

/// Both directions.
const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];
