//! The objects by name and address, for what is asked beside the verdict: which pod has an
//! address, what its labels are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use netpol_policy::{
    Kind, Labels, NAMESPACE_NAME_LABEL, Object, ObjectKey, ObjectRef, Pod, Policy,
};

/// The objects that can be understood.
#[derive(Debug, Default)]
pub(crate) struct World {
    pods: HashMap<ObjectKey, Pod>,
    namespaces: HashMap<String, Labels>,
    policies: BTreeMap<ObjectKey, Arc<Policy>>,
}

impl World {
    /// The object is there, and is this.
    pub(crate) fn set(&mut self, object: &Object) {
        match object {
            Object::Namespace(namespace) => {
                let labels = namespace.labels.clone();
                self.namespaces.insert(namespace.name.clone(), labels);
            }
            Object::Node(_) | Object::Service(_) | Object::EndpointSlice(_) => {}
            Object::Pod(pod) => {
                self.pods.insert(pod.key.clone(), (**pod).clone());
            }
            Object::NetworkPolicy(policy) => {
                self.policies.insert(policy.key.clone(), Arc::clone(policy));
            }
        }
    }

    /// The object is gone.
    pub(crate) fn remove(&mut self, ObjectRef { kind, key }: &ObjectRef) {
        match kind {
            Kind::Namespace => drop(self.namespaces.remove(&key.name)),
            Kind::Node | Kind::Service | Kind::EndpointSlice => {}
            Kind::Pod => drop(self.pods.remove(key)),
            Kind::NetworkPolicy => drop(self.policies.remove(key)),
        }
    }

    /// A pod.
    pub(crate) fn pod(&self, key: &ObjectKey) -> Option<&Pod> {
        self.pods.get(key)
    }

    /// Every pod, in no order.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// Every policy, by namespace and name.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// The labels of a namespace. One without an object still has its name.
    pub(crate) fn namespace_labels(&self, name: &str) -> Labels {
        self.namespaces
            .get(name)
            .cloned()
            .unwrap_or_else(|| Labels::from([(NAMESPACE_NAME_LABEL, name)]))
    }
}
