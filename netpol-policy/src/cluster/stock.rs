//! Which objects there are, whatever their kind.

use std::collections::HashSet;

use super::Cluster;
use crate::object::{Kind, Object, ObjectKey};

impl Cluster {
    /// Whether an object is there and the same: what policy does not look at may differ.
    pub(crate) fn has(&self, object: &Object) -> bool {
        match object {
            // What the node itself said of a pod stands beside what the API shows of it.
            Object::Pod(pod) if self.told.contains_key(&pod.key) => false,
            Object::Pod(pod) => self.pod(&pod.key).is_some_and(|known| **known == **pod),
            Object::Namespace(namespace) => {
                self.namespaces.get(&namespace.name) == Some(&namespace.labels)
                    && *self.refusal(&namespace.name) == namespace.refusal
            }
            Object::Node(node) => self.nodes.get(&node.name) == Some(node),
            Object::NetworkPolicy(policy) => self.policy(&policy.key) == Some(policy),
            Object::Service(service) => self.services.get(&service.key) == Some(service),
            Object::EndpointSlice(slice) => self.services.slice(&slice.key) == Some(slice),
        }
    }

    /// How many objects of each kind there are.
    pub(crate) fn counts(&self) -> [(Kind, usize); 6] {
        [
            (Kind::Namespace, self.namespaces.len()),
            (Kind::Node, self.nodes.len()),
            (Kind::Pod, self.pod_places.len()),
            (Kind::NetworkPolicy, self.policies().count()),
            (Kind::Service, self.services.keys().count()),
            (Kind::EndpointSlice, self.services.slice_keys().count()),
        ]
    }

    /// The objects of a kind that are not among these.
    pub(crate) fn others(&self, kind: Kind, keep: &HashSet<ObjectKey>) -> Vec<ObjectKey> {
        let named = |name: &String| ObjectKey::new("", name);
        let keys: Box<dyn Iterator<Item = ObjectKey> + '_> = match kind {
            Kind::Namespace => Box::new(self.namespaces.keys().map(named)),
            Kind::Node => Box::new(self.nodes.keys().map(named)),
            Kind::Pod => {
                let keys = self.pod_places.keys().map(|pod| &pod.0.key);
                return keys.filter(|key| !keep.contains(key)).cloned().collect();
            }
            Kind::NetworkPolicy => Box::new(self.policies().map(|policy| policy.key.clone())),
            Kind::Service => Box::new(self.services.keys().cloned()),
            Kind::EndpointSlice => Box::new(self.services.slice_keys().cloned()),
        };
        keys.filter(|key| !keep.contains(key)).collect()
    }
}
