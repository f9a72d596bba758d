//! Services and their EndpointSlices, by name and by address.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use crate::{
    object::ObjectKey,
    service::{EndpointSlice, Service},
};

/// The Services of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Services {
    services: BTreeMap<ObjectKey, Arc<Service>>,
    slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    /// The slices of a Service, whether its object is known or not.
    by_service: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// The Services that have an address among their endpoints, with how many of their slices do.
    by_address: BTreeMap<IpAddr, BTreeMap<ObjectKey, usize>>,
    /// Services whose object or slices changed since they were last taken.
    touched: BTreeSet<ObjectKey>,
}

impl Services {
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    pub(crate) fn slice(&self, key: &ObjectKey) -> Option<&Arc<EndpointSlice>> {
        self.slices.get(key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.services.keys()
    }

    pub(crate) fn slice_keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.slices.keys()
    }

    pub(crate) fn set(&mut self, service: Arc<Service>) {
        self.touched.insert(service.key.clone());
        self.services.insert(service.key.clone(), service);
    }

    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        if self.services.remove(key).is_some() {
            self.touched.insert(key.clone());
        }
    }

    pub(crate) fn set_slice(&mut self, slice: Arc<EndpointSlice>) {
        self.remove_slice(&slice.key);
        if let Some(service) = service_of(&slice) {
            let slices = self.by_service.entry(service.clone()).or_default();
            slices.insert(slice.key.clone());
            for address in &slice.addresses {
                let services = self.by_address.entry(*address).or_default();
                *services.entry(service.clone()).or_default() += 1;
            }
            self.touched.insert(service);
        }
        self.slices.insert(slice.key.clone(), slice);
    }

    pub(crate) fn remove_slice(&mut self, key: &ObjectKey) {
        let Some(slice) = self.slices.remove(key) else {
            return;
        };
        let Some(service) = service_of(&slice) else {
            return;
        };
        if let Some(slices) = self.by_service.get_mut(&service) {
            slices.remove(key);
            if slices.is_empty() {
                self.by_service.remove(&service);
            }
        }
        for address in &slice.addresses {
            let Some(services) = self.by_address.get_mut(address) else {
                continue;
            };
            if let Some(count) = services.get_mut(&service) {
                *count -= 1;
                if *count == 0 {
                    services.remove(&service);
                }
            }
            if services.is_empty() {
                self.by_address.remove(address);
            }
        }
        self.touched.insert(service);
    }
}

/// The Service a slice belongs to: of its own namespace, by its label.
fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.service.as_ref()?;
    Some(ObjectKey::new(&slice.key.namespace, name))
}
