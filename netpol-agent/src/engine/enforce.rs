//! Putting the state in force, and keeping it there.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use netpol_api::EndpointState;
use netpol_policy::{Delta, EndpointView};
use tokio::time::Instant;

use super::{Engine, RETRY, notices::LocalPod, report::unix_seconds};
use crate::{
    bpf::{error::TableError, hook::Done},
    discovery::decide::Claimant,
};

/// Every so many audits all maps are read, not the endpoints alone.
const WHOLE_AUDIT: u64 = 6;

impl Engine {
    /// Brings maps and hooks to where the state is. First the maps, then the programs that read
    /// them; what is no longer wanted goes last.
    pub(crate) async fn settle(&mut self) {
        self.retry_at = None;
        self.forget_removed_pods();
        self.tell_sandboxes();
        self.dirty = false;
        match tokio::task::block_in_place(|| self.write_maps()) {
            Ok(operations) => {
                self.failure = None;
                self.attach_programs().await;
                self.detach_programs().await;
                if operations > 0 {
                    self.generation += 1;
                    tracing::info!(operations, generation = self.generation, "in force");
                }
            }
            Err(error) => self.retry_later(&error),
        }
        let views = self.state.endpoints();
        if self.failure.is_none() {
            self.tell(&views);
            self.note_in_force(&views);
        }
        self.publish_pods();
        self.revise();
    }

    fn write_maps(&mut self) -> Result<usize, TableError> {
        if self.adrift {
            self.read_back()?;
        }
        let delta = self.state.commit();
        let result = self.apply(&delta);
        if result.is_err() {
            // What the maps hold now is neither the old state nor the new one.
            self.adrift = true;
            self.read_back()?;
        }
        result
    }

    /// Takes what the maps hold for the start of the next delta.
    fn read_back(&mut self) -> Result<(), TableError> {
        let programmed = self.tables.read()?;
        self.mirror.clone_from(&programmed);
        self.state.resync(programmed);
        self.adrift = false;
        Ok(())
    }

    /// Applies the operations one by one, in their order, up to the first that fails.
    fn apply(&mut self, delta: &Delta) -> Result<usize, TableError> {
        for operation in &delta.operations {
            self.tables.apply(operation)?;
            self.mirror.apply(operation);
            self.baseline.apply(operation);
        }
        Ok(delta.operations.len())
    }

    fn retry_later(&mut self, error: &TableError) {
        let pause = match &self.failure {
            Some((_, pause)) => (*pause * 2).min(RETRY.1),
            None => RETRY.0,
        };
        tracing::error!(%error, ?pause, "a map operation failed");
        self.failure = Some((error.to_string(), pause));
        self.retry_at = Some(Instant::now() + pause);
    }

    async fn attach_programs(&mut self) {
        self.hook_problems.clear();
        for ifindex in self.wanted_interfaces() {
            if self.attached.contains(&ifindex) {
                continue;
            }
            match self.hooks.take_over(ifindex).await {
                Ok(done) => {
                    tracing::info!(ifindex, ?done, "programs in place");
                    self.attached.insert(ifindex);
                }
                Err(error) => {
                    // An interface that is gone is the search's to report.
                    if error.is_gone() {
                        self.sandbox_interface_gone(ifindex);
                        if let Some(fresh) = &mut self.fresh {
                            fresh.remove(&ifindex);
                        }
                    } else {
                        tracing::error!(ifindex, %error, "cannot attach");
                    }
                    self.hook_problems.insert(ifindex, error.to_string());
                    self.retry_at
                        .get_or_insert(Instant::now() + Duration::from_secs(1));
                }
            }
        }
    }

    async fn detach_programs(&mut self) {
        let wanted = self.wanted_interfaces();
        let surplus: Vec<u32> = self.attached.difference(&wanted).copied().collect();
        for ifindex in surplus {
            match self.hooks.remove(ifindex).await {
                Ok(()) => tracing::info!(ifindex, "programs removed"),
                Err(error) if error.is_gone() => drop(self.hooks.forget(ifindex)),
                Err(error) => {
                    // Without an entry the programs drop everything: tried again with the audit.
                    tracing::warn!(ifindex, %error, "cannot remove programs");
                    continue;
                }
            }
            self.attached.remove(&ifindex);
        }
    }

    /// Removes what a former agent left on interfaces that are no endpoint's now.
    pub(crate) async fn remove_leftovers(&mut self) {
        match self.hooks.interfaces().await {
            Ok(there) => {
                if let Some(fresh) = &mut self.fresh {
                    // A former agent closed them, and nobody has said yet whose they are.
                    fresh.extend(&there);
                }
                self.attached.extend(there);
                self.detach_programs().await;
            }
            Err(error) => tracing::warn!(%error, "cannot list attached programs"),
        }
    }

    /// Closes an interface that nobody has said yet whose it is: without an entry nothing passes.
    pub(super) async fn close_new_interface(&mut self, ifindex: u32) {
        let Some(fresh) = &mut self.fresh else {
            return;
        };
        fresh.insert(ifindex);
        if self.attached.contains(&ifindex) {
            return;
        }
        match self.hooks.ensure(ifindex).await {
            Ok(_) => {
                tracing::info!(ifindex, "closed: a new interface");
                self.attached.insert(ifindex);
            }
            Err(error) => {
                tracing::error!(ifindex, %error, "cannot close a new interface");
                self.dirty = true;
            }
        }
    }

    fn wanted_interfaces(&self) -> BTreeSet<u32> {
        let endpoints = self.mirror.endpoints.keys().copied();
        let fresh = self.fresh.iter().flatten().copied();
        endpoints
            .chain(self.sandboxes.interfaces())
            .chain(fresh)
            .collect()
    }

    /// Compares the kernel with what should be there, and repairs.
    pub(crate) async fn audit(&mut self) {
        self.audits += 1;
        self.detach_programs().await;
        let wanted = self.wanted_interfaces();
        self.check_hooks(&wanted).await;
        match self.drifted() {
            Ok(false) => {}
            Ok(true) => {
                self.repaired("maps");
                self.adrift = true;
                self.dirty = true;
            }
            Err(error) => tracing::error!(%error, "cannot audit the maps"),
        }
    }

    /// Both programs are on each interface and run first, or it is not counted as attached, and is
    /// tried again.
    pub(super) async fn check_hooks(&mut self, interfaces: &BTreeSet<u32>) {
        let there: Vec<u32> = interfaces.intersection(&self.attached).copied().collect();
        for ifindex in there {
            match self.hooks.ensure(ifindex).await {
                Ok(Done::Nothing) => {}
                Ok(done) => self.repaired(&format!("interface {ifindex}: {done:?}")),
                Err(error) => {
                    tracing::warn!(ifindex, %error, "cannot check programs");
                    self.attached.remove(&ifindex);
                    self.dirty = true;
                    self.retry_at.get_or_insert(Instant::now());
                }
            }
        }
    }

    fn drifted(&self) -> Result<bool, TableError> {
        if self.audits.is_multiple_of(WHOLE_AUDIT) {
            let holds = tokio::task::block_in_place(|| self.tables.hold(&self.mirror))?;
            return Ok(!holds);
        }
        Ok(self.tables.read_endpoints()? != self.mirror.endpoints)
    }

    pub(super) fn repaired(&mut self, what: &str) {
        self.repairs = (self.repairs.0 + 1, Some(Instant::now()));
        tracing::warn!(
            what,
            repairs = self.repairs.0,
            "repaired what others changed"
        );
    }

    /// Tells which policies are invalid, which pods were closed, and which are judged by their
    /// policies again.
    fn tell(&mut self, views: &[EndpointView]) {
        let directions = views.iter().flat_map(|view| [&view.ingress, &view.egress]);
        let selecting = directions.flat_map(|direction| direction.policies.iter());
        let mut notices = self.told.of_policies(selecting);
        let pods = views.iter().map(|view| LocalPod {
            key: &view.pod,
            uid: self.state.pod(&view.pod).map_or("", |pod| &pod.uid),
            closed: view.closed.as_deref(),
        });
        notices.extend(self.told.of_pods(pods));
        for notice in notices {
            notice.log();
            if let Some(announcer) = &self.announcer {
                announcer.tell(notice);
            }
        }
    }

    fn note_in_force(&mut self, views: &[EndpointView]) {
        let states = views.iter().map(|view| (view, self.endpoint_state(view)));
        let enforced = states.filter(|(_, state)| *state == EndpointState::Enforced);
        let enforced: Vec<&EndpointView> = enforced.map(|(view, _)| view).collect();
        let now = unix_seconds();
        self.ledger.in_force(enforced.into_iter(), now);
    }

    /// The state keeps an interface for a pod that is gone, should it come again; the search
    /// decides that anew.
    pub(super) fn forget_removed_pods(&mut self) {
        let gone: Vec<_> = self
            .interfaces
            .keys()
            .filter(|pod| !self.state.is_local(pod))
            .cloned()
            .collect();
        for pod in gone {
            self.sandboxes.untell(&pod);
            self.detach(&pod);
        }
    }

    fn publish_pods(&self) {
        let pods: Vec<Claimant> = self.local_pods();
        self.pods.send_if_modified(|published| {
            let changed = **published != pods;
            if changed {
                *published = Arc::new(pods);
            }
            changed
        });
    }
}
