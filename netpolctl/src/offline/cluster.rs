//! A cluster in memory: objects in, compiled maps out, by the same incremental way as an agent's.

use std::cell::RefCell;
use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use netpol_api::RuleRef;
use netpol_datapath::memory::{Full, Memory};
use netpol_policy::{
    Change, ClusterState, Kind, Limits, Object, ObjectKey, ObjectRef, Pod, Scope, Service,
};
use serde_json::Value;
use thiserror::Error;

use super::addresses::Addresses;
use super::endpoints;
use super::identity::{Identity, IdentityError};
use super::invalid::Invalid;
use super::judge::{self, Outcome};
use super::maps;
use super::probe::Probe;
use super::service::{self, Through};
use super::world::World;

/// A cluster whose pods are all endpoints.
pub(crate) struct Cluster {
    state: ClusterState,
    maps: Memory,
    entries: BTreeMap<Identity, Entry>,
    world: World,
    interfaces: HashMap<ObjectKey, u32>,
    last_interface: u32,
    addresses: Addresses,
    attributions: RefCell<HashMap<u32, Rc<RuleRef>>>,
}

/// An object, as it was given and as it was taken.
#[derive(Debug)]
struct Entry {
    value: Value,
    taken: Taken,
}

/// What became of an object.
#[derive(Debug)]
enum Taken {
    /// It is in the state.
    Set(ObjectRef),
    /// Its kind means nothing to policies.
    Ignored,
    /// It cannot be understood.
    Invalid(Invalid),
}

/// Objects that make no cluster.
#[derive(Debug, Error)]
pub(crate) enum ClusterError {
    #[error("objects[{place}]: {source}")]
    NoIdentity { place: usize, source: IdentityError },
    #[error("objects[{place}]: {object} is there twice")]
    Twice { place: usize, object: Identity },
    #[error(transparent)]
    Full(#[from] Full),
}

impl Cluster {
    /// An empty cluster.
    pub(crate) fn new() -> Self {
        Self {
            state: ClusterState::new(Scope::All, Limits::UNLIMITED),
            maps: maps::empty(),
            entries: BTreeMap::new(),
            world: World::default(),
            interfaces: HashMap::new(),
            last_interface: 0,
            addresses: Addresses::default(),
            attributions: RefCell::default(),
        }
    }

    /// Brings the cluster to exactly these objects, by the changes between its last state and
    /// this one. On an error it stays as it was.
    pub(crate) fn bring_to(&mut self, objects: Vec<Value>) -> Result<(), ClusterError> {
        let mut objects = objects;
        objects.extend(endpoints::derived(&objects));
        let wanted = by_identity(objects)?;
        let mut changed = self.remove_all_but(&wanted);
        for (identity, value) in wanted {
            changed |= self.set(identity, value);
        }
        if changed {
            let delta = self.state.commit();
            maps::apply(&mut self.maps, &delta)?;
            self.attributions.borrow_mut().clear();
            self.addresses = Addresses::new(&self.state, &self.world, &self.interfaces);
            for (identity, entry) in &self.entries {
                if let Taken::Invalid(invalid) = &entry.taken {
                    self.addresses
                        .close(identity, &entry.value, invalid, &self.world);
                }
            }
        }
        Ok(())
    }

    /// What cannot be understood, by kind and name.
    pub(crate) fn invalid(&self) -> Vec<Invalid> {
        let objects = self.entries.values().filter_map(|e| match &e.taken {
            Taken::Invalid(invalid) => Some(invalid.clone()),
            Taken::Set(_) | Taken::Ignored => None,
        });
        let policies = self.world.policies().filter_map(|p| Invalid::of_policy(p));
        let mut all: Vec<Invalid> = objects.chain(policies).collect();
        all.sort_by(|a, b| a.object.cmp(&b.object));
        all
    }

    /// Policies of another API than the one netpol enforces, such as a CNI's own.
    pub(crate) fn passed_over(&self) -> impl Iterator<Item = &Identity> {
        let entries = self.entries.iter();
        let ignored = entries.filter(|(_, entry)| matches!(entry.taken, Taken::Ignored));
        let policies = ignored.filter(|(identity, _)| identity.kind == "NetworkPolicy");
        policies.map(|(identity, _)| identity)
    }

    /// The objects.
    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// The pod that has an address.
    pub(crate) fn pod_at(&self, address: IpAddr) -> Option<&Pod> {
        self.world.pod(&self.addresses.endpoint(address)?.pod)
    }

    /// Judges a probe as a fresh connection; what it goes through, if it is to a Service.
    pub(crate) fn judge(&mut self, probe: &Probe) -> Result<(Outcome, Option<Through>), Full> {
        let mut outcome = judge::judge(&mut self.maps, &self.addresses, probe)?;
        let port = service::port_of(probe.traffic());
        let mut services = port.map_or_else(Vec::new, |(protocol, port)| {
            self.state.services_at(probe.to(), protocol, port.get())
        });
        // Where several contradict each other, it is not known which backends there are.
        let (Some(view), true) = (services.pop(), services.is_empty()) else {
            return Ok((outcome, None));
        };
        let (maps, addresses) = (&mut self.maps, &self.addresses);
        let through = service::judge(maps, addresses, probe, view, &mut outcome)?;
        Ok((outcome, Some(through)))
    }

    /// A Service.
    pub(crate) fn service(&self, key: &ObjectKey) -> Option<&Service> {
        self.state.service(key)
    }

    /// What a counter number stands for.
    pub(crate) fn attribution(&self, counter: u32) -> Rc<RuleRef> {
        let mut known = self.attributions.borrow_mut();
        let rule = known.entry(counter);
        let rule = rule.or_insert_with(|| Rc::new(super::attribution::of(&self.state, counter)));
        Rc::clone(rule)
    }

    fn remove_all_but(&mut self, wanted: &BTreeMap<Identity, Value>) -> bool {
        let gone = self
            .entries
            .extract_if(.., |identity, _| !wanted.contains_key(identity));
        let gone: Vec<Entry> = gone.map(|(_, entry)| entry).collect();
        for entry in &gone {
            self.withdraw(&entry.taken);
        }
        !gone.is_empty()
    }

    /// Takes an object, if it is another than before.
    fn set(&mut self, identity: Identity, value: Value) -> bool {
        let before = self.entries.get(&identity);
        if before.is_some_and(|before| before.value == value) {
            return false;
        }
        let taken = match Object::from_value(&value) {
            Ok(Some(object)) => Taken::Set(self.put(object)),
            Ok(None) => Taken::Ignored,
            Err(error) => Taken::Invalid(Invalid::of_object(&identity, error)),
        };
        let replaces = matches!(taken, Taken::Set(_));
        let before = self.entries.insert(identity, Entry { value, taken });
        if let Some(before) = before
            && !replaces
        {
            self.withdraw(&before.taken);
        }
        true
    }

    fn put(&mut self, object: Object) -> ObjectRef {
        let reference = object.reference();
        self.world.set(&object);
        self.state.apply(Change::Set(object));
        if reference.kind == Kind::Pod && !self.interfaces.contains_key(&reference.key) {
            self.last_interface += 1;
            let (pod, ifindex) = (reference.key.clone(), self.last_interface);
            self.interfaces.insert(pod.clone(), ifindex);
            self.state.apply(Change::Attach { pod, ifindex });
        }
        reference
    }

    fn withdraw(&mut self, taken: &Taken) {
        let Taken::Set(reference) = taken else { return };
        self.world.remove(reference);
        self.state.apply(Change::Remove(reference.clone()));
        if reference.kind == Kind::Pod && self.interfaces.remove(&reference.key).is_some() {
            let pod = reference.key.clone();
            self.state.apply(Change::Detach { pod });
        }
    }
}

fn by_identity(objects: Vec<Value>) -> Result<BTreeMap<Identity, Value>, ClusterError> {
    let mut found = BTreeMap::new();
    for (place, value) in objects.into_iter().enumerate() {
        let identity =
            Identity::of(&value).map_err(|source| ClusterError::NoIdentity { place, source })?;
        match found.entry(identity) {
            Slot::Vacant(slot) => drop(slot.insert(value)),
            Slot::Occupied(slot) => {
                let object = slot.key().clone();
                return Err(ClusterError::Twice { place, object });
            }
        }
    }
    Ok(found)
}
