//! Services in a commit: frontends at the source, refusals at the destination.

use std::collections::BTreeSet;

use netpol_common::policy::PolicyKey;

use super::{Compiler, Touched, denies, frontends, sets::SetIndex};
use crate::{cluster::Cluster, object::ObjectKey, tables::Tables};

impl Compiler {
    /// Compiles the Services that were touched; adds the local pods they may lead to.
    pub(super) fn place_frontends(
        &mut self,
        cluster: &Cluster,
        touched: &mut Touched,
        affected: &mut BTreeSet<ObjectKey>,
        tables: &mut Tables,
    ) {
        for address in &touched.backends {
            let backends = &mut self.frontends.backends;
            backends.refresh(*address, cluster, &mut self.terms);
        }
        let mut backends = std::mem::take(&mut touched.backends);
        let mut services = std::mem::take(&mut touched.services);
        for service in &services {
            // Those that its selector may match, before or after.
            let first = ObjectKey::new(&service.namespace, "");
            let endpoints = self.endpoints.range(first..).map(|(key, _)| key);
            let of_namespace = endpoints.take_while(|key| key.namespace == service.namespace);
            affected.extend(of_namespace.cloned());
            let slices = cluster.services.slices_of(service);
            backends.extend(slices.flat_map(|s| &s.endpoints).map(|e| e.address));
        }
        for address in self.frontends.backends.take_changed() {
            services.extend(cluster.services.services_at(address).cloned());
        }
        let had_node_ports = self.frontends.has_node_ports();
        let mut context = frontends::Context {
            cluster,
            terms: &mut self.terms,
            numbers: &mut self.numbers,
            table: &mut tables.services,
            masquerade_all: self.masquerade_all,
        };
        for service in &services {
            backends.extend(self.frontends.compile(service, &mut context));
        }
        for address in backends {
            affected.extend(cluster.claimants(address).map(|pod| pod.key.clone()));
        }
        if self.frontends.has_node_ports() != had_node_ports {
            affected.extend(self.endpoints.keys().cloned());
        }
        for (place, frontend) in self.frontends.collect(&mut self.numbers) {
            for set in &frontend.sets {
                let set = &mut self.sets.sets[*set];
                set.frontends.remove(&place);
                tables.policy.unset(&PolicyKey {
                    set: set.number,
                    identity: frontend.id,
                });
            }
        }
    }

    /// Gives every pair of an egress set and a frontend that is allowed its entry, where either is
    /// new.
    pub(super) fn add_frontend_entries(&mut self, fresh_sets: &[SetIndex], tables: &mut Tables) {
        let mut pairs = BTreeSet::new();
        for set in fresh_sets {
            let all = self.frontends.frontends.iter();
            pairs.extend(all.map(|(frontend, _)| (*set, frontend)));
        }
        for frontend in std::mem::take(&mut self.frontends.fresh) {
            let all = self.sets.sets.iter();
            pairs.extend(all.map(|(set, _)| (set, frontend)));
        }
        for (set_place, place) in pairs {
            let set = &mut self.sets.sets[set_place];
            if !set.asks_for_frontends() || set.frontends.contains(&place) {
                continue;
            }
            let frontend = &mut self.frontends.frontends[place];
            let backends = &self.frontends.backends;
            let grant = set.grant_to_frontend(&frontend.content, backends, &self.terms);
            if let Some(grant) = grant {
                set.frontends.insert(place);
                frontend.sets.insert(set_place);
                let key = PolicyKey {
                    set: set.number,
                    identity: frontend.id,
                };
                tables.policy.set(key, grant);
            }
        }
    }

    /// Brings up to date what local pods refuse to sources.
    pub(super) fn refuse(
        &mut self,
        cluster: &Cluster,
        touched: &mut Touched,
        affected: &mut BTreeSet<ObjectKey>,
        tables: &mut Tables,
    ) {
        for address in std::mem::take(&mut touched.sources) {
            self.sources.place(address, cluster, &mut tables.sources);
        }
        let mut shared = denies::Shared {
            sources: &mut self.sources,
            rules: &mut self.rules,
            ports: &mut self.ports,
            numbers: &mut self.numbers,
            policy: &mut tables.policy,
            table: &mut tables.sources,
        };
        // New ones before old ones go, so that what both use keeps its number.
        let fresh = std::mem::take(&mut shared.sources.fresh);
        let endpoints = &self.endpoints;
        let open = |key: &ObjectKey| {
            let endpoint = endpoints.get(key).filter(|e| e.closed.is_none());
            endpoint.map(|endpoint| &endpoint.pod)
        };
        self.denies.judge_all(&fresh, &mut shared);
        let pods = affected.iter().chain(&touched.pods);
        for key in pods {
            self.denies.refresh(key, open(key), cluster, &mut shared);
        }
        let gone = shared.sources.take_idle();
        self.denies.forget(&gone, &mut shared);
        affected.append(&mut self.denies.take_changed());
    }
}
