//! The addresses and ports that clients of Services ask for, and the identity of each: whose it
//! is, and what its backends are, by class and port.
//!
//! ```text
//! Service, slices -> Content (classes and ports) -> identity     pods of a class come and go without another
//!         identity x egress set -> grant                         sets.rs
//! ```
//! kube-proxy chooses the backend after the packet has left the pod, and does not say which. So an
//! identity's verdict is about all backends a Service may have, ready or not: kube-proxy may be
//! behind, or ahead.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use netpol_common::{
    address::v6_words,
    identity::{NOWHERE, SERVICE},
    maps::{Digest, NumberKind},
    service::{NODE_PORT_V4, NODE_PORT_V6, ServiceKey},
};
use slab::Slab;

use super::{
    backends::{Backend, Backends, ClassDigest},
    sets::SetIndex,
    terms::Terms,
};
use crate::{
    cluster::Cluster,
    digest::digest_of,
    numbers::Numbers,
    object::ObjectKey,
    policy::Protocol,
    service::{Service, ServicePort},
    table::Table,
};

/// Place of a frontend's identity in the store.
pub(crate) type FrontendIndex = usize;

/// A class of backends, and the port they are asked for.
pub(crate) type ClassPort = (ClassDigest, Protocol, u16);

/// What a frontend leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content {
    /// Whose backends they are, and of which family. Another port or Service may lead to the same
    /// classes, but a pod is a backend of the one and not of the other.
    service: ObjectKey,
    port: String,
    is_v4: bool,
    /// The node may masquerade on the way, so that no backend knows who sends: every backend must
    /// be allowed.
    pub(crate) every: bool,
    /// Pods.
    pub(crate) pods: BTreeSet<ClassPort>,
    /// What is no pod, and so refuses nothing.
    pub(crate) others: BTreeSet<ClassPort>,
    /// There are pods among its backends that are gone, or not known yet.
    pub(crate) unknown: bool,
    /// The only backend, where every one must be allowed.
    pub(crate) only: Option<IpAddr>,
}

#[derive(Debug)]
pub(crate) struct Frontend {
    pub(crate) content: Content,
    /// The number the maps carry, with [`SERVICE`].
    pub(crate) id: u32,
    pub(crate) digest: Digest,
    uses: usize,
    /// The policy sets that have an entry for it.
    pub(crate) sets: HashSet<SetIndex>,
}

#[derive(Debug, Default)]
pub(crate) struct Frontends {
    pub(crate) backends: Backends,
    pub(crate) frontends: Slab<Frontend>,
    by_content: HashMap<Content, FrontendIndex>,
    ids: HashSet<u32>,
    services: BTreeMap<ObjectKey, Compiled>,
    /// Who claims an address and port: more than one Service may, and then nobody has it.
    claims: HashMap<ServiceKey, BTreeMap<ObjectKey, Option<FrontendIndex>>>,
    /// Node ports among the claims.
    node_ports: usize,
    /// Whether the map is wanted at all: an endpoint is there whose packets it is asked for.
    wanted: bool,
    /// Identities that came since the last commit.
    pub(crate) fresh: Vec<FrontendIndex>,
    idle: Vec<FrontendIndex>,
}

/// What a Service was compiled to.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    /// Its addresses and ports; none leads nowhere.
    pub(crate) frontends: BTreeMap<ServiceKey, Option<FrontendIndex>>,
    /// Its backends' addresses, and the identities that they are behind.
    pub(crate) backends: BTreeMap<IpAddr, BTreeSet<FrontendIndex>>,
}

/// What compiling a Service needs.
pub(crate) struct Context<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) terms: &'a mut Terms,
    pub(crate) numbers: &'a mut Numbers,
    pub(crate) table: &'a mut Table<ServiceKey, u32>,
    /// kube-proxy masquerades everything.
    pub(crate) masquerade_all: bool,
}

impl Frontends {
    /// Compiles a Service again; gives the addresses of backends, before and after.
    pub(crate) fn compile(
        &mut self,
        key: &ObjectKey,
        context: &mut Context<'_>,
    ) -> BTreeSet<IpAddr> {
        let service = context.cluster.services.get(key);
        let after = service.map(|service| self.compiled(service, context));
        let before = match after {
            Some(after) => {
                for (frontend, place) in &after.frontends {
                    self.claim(*frontend, key, Some(*place), context);
                }
                self.services.insert(key.clone(), after)
            }
            None => self.services.remove(key),
        };
        let before = before.unwrap_or_default();
        let after = self.services.get(key);
        let mut touched: BTreeSet<IpAddr> = before.backends.keys().copied().collect();
        touched.extend(after.iter().flat_map(|a| a.backends.keys()));
        let gone = before.frontends.keys();
        let gone: Vec<_> = gone
            .filter(|k| after.is_none_or(|after| !after.frontends.contains_key(k)))
            .copied()
            .collect();
        for frontend in gone {
            self.claim(frontend, key, None, context);
        }
        for place in before.frontends.values().flatten() {
            self.release(*place);
        }
        touched
    }

    fn compiled(&mut self, service: &Service, context: &mut Context<'_>) -> Compiled {
        let mut compiled = Compiled::default();
        for port in &service.ports {
            let cluster_ips = service.cluster_ips.iter().map(|ip| (*ip, false));
            let external = service.external_ips.iter().map(|ip| (*ip, true));
            for (address, masqueraded) in cluster_ips.chain(external) {
                let words = v6_words(mapped(address));
                let key = ServiceKey::new(words, port.protocol.number(), port.port.get());
                let every = masqueraded || context.masquerade_all;
                let of_family = (address.is_ipv4(), every);
                self.add(service, port, of_family, key, &mut compiled, context);
            }
            let Some(node_port) = port.node_port else {
                continue;
            };
            for (words, is_v4) in [(NODE_PORT_V4, true), (NODE_PORT_V6, false)] {
                let key = ServiceKey::new(words, port.protocol.number(), node_port.get());
                self.add(service, port, (is_v4, true), key, &mut compiled, context);
            }
        }
        compiled
    }

    fn add(
        &mut self,
        service: &Service,
        port: &ServicePort,
        (is_v4, every): (bool, bool),
        key: ServiceKey,
        compiled: &mut Compiled,
        context: &mut Context<'_>,
    ) {
        let mut content = Content {
            service: service.key.clone(),
            port: port.name.clone(),
            is_v4,
            every,
            pods: BTreeSet::new(),
            others: BTreeSet::new(),
            unknown: false,
            only: None,
        };
        let mut addresses = BTreeSet::new();
        let cluster = context.cluster;
        for slice in cluster.services.slices_of(&service.key) {
            let same =
                |p: &&crate::service::SlicePort| p.name == port.name && p.protocol == port.protocol;
            for slice_port in slice.ports.iter().filter(same) {
                let of_family = slice.endpoints.iter();
                for endpoint in of_family.filter(|e| e.address.is_ipv4() == is_v4) {
                    let address = endpoint.address;
                    let said = endpoint.is_pod;
                    let at = self.backends.at(address, said, cluster, context.terms);
                    let at_port = |class| (class, port.protocol, slice_port.number.get());
                    match at {
                        Backend::Pod(class) => drop(content.pods.insert(at_port(class))),
                        Backend::Other(class) => drop(content.others.insert(at_port(class))),
                        Backend::Unknown => content.unknown = true,
                    }
                    addresses.insert(address);
                }
            }
        }
        if every && addresses.len() == 1 {
            content.only = addresses.first().copied();
        }
        let place = content
            .leads_somewhere()
            .then(|| self.acquire(content, context.numbers));
        // The same address and port twice in one Service: the API allows no such thing.
        if let Some(before) = compiled.frontends.insert(key, place).flatten() {
            self.release(before);
        }
        for address in addresses {
            let behind = compiled.backends.entry(address).or_default();
            behind.extend(place);
        }
    }

    /// A Service claims an address and port, or gives it up.
    fn claim(
        &mut self,
        frontend: ServiceKey,
        service: &ObjectKey,
        place: Option<Option<FrontendIndex>>,
        context: &mut Context<'_>,
    ) {
        let claims = self.claims.entry(frontend).or_default();
        let node_port = usize::from(frontend.is_node_port());
        match place {
            Some(place) => {
                if claims.insert(service.clone(), place).is_none() {
                    self.node_ports += node_port;
                }
            }
            None => {
                if claims.remove(service).is_some() {
                    self.node_ports -= node_port;
                }
            }
        }
        if claims.is_empty() {
            self.claims.remove(&frontend);
        }
        let id = self.id_of(&frontend).filter(|_| self.wanted);
        context.table.assign(frontend, id);
    }

    /// The identity of an address and port. Where Services contradict each other nobody can say
    /// which one kube-proxy follows.
    fn id_of(&self, frontend: &ServiceKey) -> Option<u32> {
        let claims = self.claims.get(frontend)?;
        let mut places = claims.values();
        match (places.next(), places.next()) {
            (Some(Some(place)), None) => Some(self.frontends[*place].id),
            _ => Some(NOWHERE),
        }
    }

    /// The map is asked by some endpoint, or by none.
    pub(crate) fn want(&mut self, wanted: bool, table: &mut Table<ServiceKey, u32>) {
        if self.wanted == wanted {
            return;
        }
        self.wanted = wanted;
        for frontend in self.claims.keys() {
            table.assign(*frontend, self.id_of(frontend).filter(|_| wanted));
        }
    }

    /// Whether a Service has a port on every node.
    pub(crate) fn has_node_ports(&self) -> bool {
        self.node_ports > 0
    }

    /// What a Service was compiled to.
    pub(crate) fn of_service(&self, key: &ObjectKey) -> Option<&Compiled> {
        self.services.get(key)
    }

    /// Whether a number belongs to a frontend's identity.
    pub(crate) fn is_current(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }

    fn acquire(&mut self, content: Content, numbers: &mut Numbers) -> FrontendIndex {
        if let Some(place) = self.by_content.get(&content) {
            self.frontends[*place].uses += 1;
            return *place;
        }
        let digest = digest_of(&(NumberKind::Identity as u32, "frontend", &content));
        let id = numbers.acquire(NumberKind::Identity, digest) | SERVICE;
        let place = self.frontends.insert(Frontend {
            content: content.clone(),
            id,
            digest,
            uses: 1,
            sets: HashSet::new(),
        });
        self.by_content.insert(content, place);
        self.ids.insert(id);
        self.fresh.push(place);
        place
    }

    fn release(&mut self, place: FrontendIndex) {
        self.frontends[place].uses -= 1;
        if self.frontends[place].uses == 0 {
            self.idle.push(place);
        }
    }

    /// Takes out the identities that no frontend has, and gives them.
    pub(crate) fn collect(&mut self, numbers: &mut Numbers) -> Vec<(FrontendIndex, Frontend)> {
        let mut gone = Vec::new();
        for place in std::mem::take(&mut self.idle) {
            if self.frontends.get(place).is_none_or(|f| f.uses > 0) {
                continue;
            }
            let frontend = self.frontends.remove(place);
            self.by_content.remove(&frontend.content);
            self.ids.remove(&frontend.id);
            numbers.release(&frontend.digest);
            gone.push((place, frontend));
        }
        self.fresh.retain(|place| self.frontends.contains(*place));
        gone
    }
}

impl Content {
    /// Whether there is any backend that could be allowed.
    fn leads_somewhere(&self) -> bool {
        !self.pods.is_empty() || !self.others.is_empty()
    }
}

/// An address as the maps that hold both families have it.
pub(crate) fn mapped(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}
