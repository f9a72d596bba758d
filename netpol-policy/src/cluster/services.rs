//! Services and their EndpointSlices, by name and by address.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use crate::{
    labels::Labels,
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
    /// What changed since it was last taken.
    changed: Changed,
}

/// What of Services changed.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Services whose object or slices changed.
    pub(crate) services: BTreeSet<ObjectKey>,
    /// Addresses that came to a slice or left one.
    pub(crate) addresses: BTreeSet<IpAddr>,
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
        self.changed.services.insert(service.key.clone());
        self.services.insert(service.key.clone(), service);
    }

    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        if self.services.remove(key).is_some() {
            self.changed.services.insert(key.clone());
        }
    }

    pub(crate) fn set_slice(&mut self, slice: Arc<EndpointSlice>) {
        self.remove_slice(&slice.key);
        if let Some(service) = service_of(&slice) {
            let slices = self.by_service.entry(service.clone()).or_default();
            slices.insert(slice.key.clone());
            for endpoint in &slice.endpoints {
                let services = self.by_address.entry(endpoint.address).or_default();
                *services.entry(service.clone()).or_default() += 1;
                self.changed.addresses.insert(endpoint.address);
            }
            self.changed.services.insert(service);
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
        for endpoint in &slice.endpoints {
            self.changed.addresses.insert(endpoint.address);
            let Some(services) = self.by_address.get_mut(&endpoint.address) else {
                continue;
            };
            if let Some(count) = services.get_mut(&service) {
                *count -= 1;
                if *count == 0 {
                    services.remove(&service);
                }
            }
            if services.is_empty() {
                self.by_address.remove(&endpoint.address);
            }
        }
        self.changed.services.insert(service);
    }

    pub(crate) fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// The slices of a Service.
    pub(crate) fn slices_of(&self, service: &ObjectKey) -> impl Iterator<Item = &EndpointSlice> {
        let slices = self.by_service.get(service).into_iter().flatten();
        slices.filter_map(|key| self.slices.get(key).map(AsRef::as_ref))
    }

    /// The Services with an address among their endpoints.
    pub(crate) fn services_at(&self, address: IpAddr) -> impl Iterator<Item = &ObjectKey> {
        let services = self.by_address.get(&address).into_iter();
        services.flat_map(BTreeMap::keys)
    }

    /// The addresses inside a block that are endpoints of Services.
    pub(crate) fn addresses_in(&self, net: IpNet) -> impl Iterator<Item = IpAddr> {
        let range = net.network()..=net.broadcast();
        self.by_address.range(range).map(|(address, _)| *address)
    }

    /// The Services of a namespace that may lead to a pod of it, whether a slice says so yet or not:
    /// their selector matches it, or they have none and slices may be written for any pod.
    pub(crate) fn may_lead_to(
        &self,
        namespace: &str,
        labels: &Labels,
    ) -> impl Iterator<Item = &Arc<Service>> {
        let first = ObjectKey::new(namespace, "");
        let services = self.services.range(first..);
        let services = services.take_while(move |(key, _)| key.namespace == namespace);
        services
            .filter(|(_, service)| service.selector.is_empty() || service.selects(labels))
            .map(|(_, service)| service)
    }
}

/// The Service a slice belongs to: of its own namespace, by its label.
fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.service.as_ref()?;
    Some(ObjectKey::new(&slice.key.namespace, name))
}
