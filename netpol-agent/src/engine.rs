//! The one owner of the cluster's state and of the maps.
//!
//! ```text
//! objects ----+                                 +--> maps     (Delta, one operation at a time)
//! findings ---+--> ClusterState --> commit -----+--> hooks    (then: attach, detach)
//! sandboxes --+                                 +--> local pods, revision (watch channels)
//! audit ------+
//! events -----> flows                           +--> notices (Events of the API server)
//! questions --> answered after what came before them is in force
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use netpol_api::{Call, CniInstallation};
use netpol_common::event::Event;
use netpol_policy::{Change, ClusterState, Kind, Object, ObjectKey, Pod, Programmed, Scope};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

mod announcer;
mod answer;
mod baseline;
mod cni;
mod enforce;
mod enforcement;
mod names;
mod notices;
mod report;
mod wait;

pub(crate) use announcer::{Announcer, Notices, queue};
pub(crate) use notices::Notice;
pub(crate) use report::unix_seconds;

use crate::{
    bpf::{
        clock::Clock,
        hook::Hooks,
        tables::{ConntrackTables, Tables},
    },
    cni::sandboxes::Store,
    conntrack::Reports,
    discovery::{Findings, Pods, decide::Claimant},
    flows::{FlowLog, Subscription},
    source::{Report, Update},
};
use baseline::Baseline;
use cni::Sandboxes;
use enforcement::Ledger;
use notices::Told;

/// How often the kernel is compared with what should be there.
const AUDIT: Duration = Duration::from_secs(10);
/// The pause after a failed operation: first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What the engine is asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// A call of the local API that the engine alone answers.
    Call(Box<Call>, oneshot::Sender<netpol_api::Reply>),
    /// The latest flows, and those to come.
    Subscribe(oneshot::Sender<Subscription>),
}

/// Where the engine gets its work from.
pub(crate) struct Inputs {
    pub(crate) objects: mpsc::Receiver<Update>,
    pub(crate) findings: mpsc::Receiver<Findings>,
    /// New interfaces, to be closed.
    pub(crate) fresh: mpsc::Receiver<u32>,
    pub(crate) events: mpsc::Receiver<Vec<Event>>,
    pub(crate) questions: mpsc::Receiver<Question>,
}

/// What the engine is made of.
pub(crate) struct Parts {
    pub(crate) node: String,
    /// kube-proxy masquerades whatever is sent to a ClusterIP.
    pub(crate) masquerade_all: bool,
    pub(crate) reject: bool,
    pub(crate) tables: Tables,
    pub(crate) conntrack: ConntrackTables,
    /// What the last sweeps of these came to.
    pub(crate) sweeps: watch::Receiver<Reports>,
    pub(crate) hooks: Hooks,
    pub(crate) clock: Arc<Clock>,
    /// What loading had to say.
    pub(crate) notes: Vec<String>,
    /// The first word of the source of objects.
    pub(crate) first: Update,
    /// What the CNI plugin told.
    pub(crate) sandboxes: Store,
    /// Whether new interfaces are closed before they are known to be a pod's.
    pub(crate) close_new: bool,
    /// How the CNI plugin's installation stands, when it is installed.
    pub(crate) installation: Option<watch::Receiver<CniInstallation>>,
    /// Takes notices to the API server, where there is one.
    pub(crate) announcer: Option<Announcer>,
}

/// What others watch of the engine.
pub(crate) struct Outlets {
    pub(crate) pods: watch::Receiver<Pods>,
    /// Changes with every change of what a question about enforcement would be answered.
    pub(crate) revision: watch::Receiver<u64>,
}

/// The engine.
pub(crate) struct Engine {
    node: String,
    state: ClusterState,
    tables: Tables,
    conntrack: ConntrackTables,
    sweeps: watch::Receiver<Reports>,
    hooks: Hooks,
    clock: Arc<Clock>,
    notes: Vec<String>,
    source: Report,
    /// What the maps hold, as far as the agent knows: the audit compares.
    mirror: Programmed,
    /// The pods with an interface, as the state knows them.
    interfaces: BTreeMap<ObjectKey, u32>,
    findings: Findings,
    sandboxes: Sandboxes,
    /// Interfaces that were closed before they were known to be a pod's; none where that is not
    /// asked for.
    fresh: Option<BTreeSet<u32>>,
    installation: Option<watch::Receiver<CniInstallation>>,
    /// Interfaces on which both programs are in place.
    attached: BTreeSet<u32>,
    hook_problems: BTreeMap<u32, String>,
    /// Why the last operation on the maps failed, and the pause until the next attempt.
    failure: Option<(String, Duration)>,
    retry_at: Option<Instant>,
    /// The state does not know what the maps hold: nothing is applied before they are read back.
    adrift: bool,
    dirty: bool,
    audits: u64,
    /// How often the audit found something to repair, and when it last did.
    repairs: (u64, Option<Instant>),
    /// What the owners of policies and pods were told.
    told: Told,
    /// Takes what they are to be told to the API server, where there is one.
    announcer: Option<Announcer>,
    generation: u64,
    started: u64,
    flows: FlowLog,
    baseline: Baseline,
    /// Since when what is in force.
    ledger: Ledger,
    pods: watch::Sender<Pods>,
    revision: watch::Sender<u64>,
}

impl Engine {
    /// Takes over what the maps hold. Nothing is changed yet.
    pub(crate) fn new(parts: Parts) -> anyhow::Result<(Self, Outlets)> {
        let programmed = parts.tables.read()?;
        let mut state = ClusterState::new(Scope::Node(parts.node.clone()), parts.tables.limits());
        if parts.masquerade_all {
            state = state.with_masquerade_all();
        }
        if parts.reject {
            state = state.with_reject();
        }
        let mirror = programmed.clone();
        state.resync(programmed);
        let (pods, watch_pods) = watch::channel(Pods::default());
        let (revision, watch_revision) = watch::channel(0);
        let mut engine = Self {
            node: parts.node,
            state,
            tables: parts.tables,
            conntrack: parts.conntrack,
            sweeps: parts.sweeps,
            hooks: parts.hooks,
            clock: parts.clock,
            notes: parts.notes,
            source: parts.first.report.clone(),
            mirror,
            interfaces: BTreeMap::new(),
            findings: Findings::default(),
            sandboxes: Sandboxes::new(parts.sandboxes),
            fresh: parts.close_new.then(BTreeSet::new),
            installation: parts.installation,
            attached: BTreeSet::new(),
            hook_problems: BTreeMap::new(),
            failure: None,
            retry_at: None,
            adrift: false,
            dirty: true,
            audits: 0,
            repairs: (0, None),
            told: Told::default(),
            announcer: parts.announcer,
            generation: 0,
            started: unix_seconds() as u64,
            flows: FlowLog::default(),
            baseline: Baseline::default(),
            ledger: Ledger::default(),
            pods,
            revision,
        };
        engine.take_objects(parts.first);
        let outlets = Outlets {
            pods: watch_pods,
            revision: watch_revision,
        };
        Ok((engine, outlets))
    }

    /// Assumes each pod where a former agent had it, if the programs are still there: the kernel
    /// may have forgotten since how it leads there.
    pub(crate) async fn recall_interfaces(&mut self) -> anyhow::Result<()> {
        let there = self.hooks.attached().await?;
        for pod in self.state.local_pods() {
            if self.sandboxes.of_pod(&pod.key).is_some() {
                continue;
            }
            let endpoint = self.mirror.endpoints.iter().find(|(ifindex, endpoint)| {
                there.contains(*ifindex)
                    && !self.sandboxes.has_interface(**ifindex)
                    && pod
                        .addresses
                        .iter()
                        .any(|a| names::has_address(endpoint, *a))
            });
            if let Some((ifindex, _)) = endpoint {
                self.attach(pod.key, *ifindex);
            }
        }
        Ok(())
    }

    /// The local pods, for the first search.
    pub(crate) fn local_pods(&self) -> Vec<Claimant> {
        let pods = self.state.local_pods().into_iter();
        pods.map(|pod| {
            let object = self.state.pod(&pod.key);
            Claimant {
                terminating: object.is_some_and(|object| object.terminating),
                created: object
                    .map(|object| object.created.clone())
                    .unwrap_or_default(),
                told: self.sandboxes.of_pod(&pod.key).is_some(),
                pod: pod.key,
                addresses: pod.addresses,
                held: pod.ifindex,
            }
        })
        .collect()
    }

    /// Works until shutdown. What is in force then stays.
    pub(crate) async fn run(mut self, mut inputs: Inputs, shutdown: CancellationToken) {
        let mut audit = interval(AUDIT);
        audit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        audit.reset();
        let mut questions = Vec::new();
        loop {
            let retry_at = self.retry_at.unwrap_or_else(|| Instant::now() + AUDIT);
            let refuse_at = self.sandboxes.next_deadline();
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(update) = inputs.objects.recv() => self.take_objects(update),
                Some(ifindex) = inputs.fresh.recv() => self.close_new_interface(ifindex).await,
                Some(findings) = inputs.findings.recv() => self.take_findings(findings).await,
                Some(events) = inputs.events.recv() => self.take_events(&events),
                Some(question) = inputs.questions.recv() => {
                    questions.extend(self.take_question(question).await);
                }
                _ = audit.tick() => self.audit().await,
                () = sleep_until(retry_at), if self.retry_at.is_some() => self.dirty = true,
                () = sleep_until(refuse_at.unwrap_or(retry_at)), if refuse_at.is_some() => {}
            }
            // Whatever was sent before a question is in force before it is answered.
            while let Ok(update) = inputs.objects.try_recv() {
                self.take_objects(update);
            }
            while let Ok(findings) = inputs.findings.try_recv() {
                self.take_findings(findings).await;
            }
            // Pods that start together come into force together.
            while let Ok(question) = inputs.questions.try_recv() {
                questions.extend(self.take_question(question).await);
            }
            if self.dirty {
                self.settle().await;
            }
            self.answer_plugins();
            for question in questions.drain(..) {
                self.answer(question).await;
            }
        }
    }

    /// Takes what changes something; the others are answered later.
    async fn take_question(&mut self, question: Question) -> Option<Question> {
        match question {
            Question::Call(call, reply)
                if matches!(
                    *call,
                    Call::CniAdd { .. } | Call::CniDel { .. } | Call::CniGc { .. }
                ) =>
            {
                self.take_call(&call, reply).await;
                None
            }
            question => Some(question),
        }
    }

    /// Takes what the source says: noted, not yet in force.
    pub(crate) fn take_objects(&mut self, update: Update) {
        for change in update.changes {
            if let Change::Set(Object::Pod(pod)) = &change
                && self
                    .state
                    .pod(&pod.key)
                    .is_some_and(|before| is_another(before, pod))
            {
                // Its interface went with the former pod of this name.
                self.sandboxes.untell(&pod.key);
                self.detach(&pod.key);
            }
            self.note_version(&change);
            let removes = matches!(change, Change::Remove(_) | Change::Only { .. });
            self.dirty |= self.state.apply(change);
            if removes {
                // Before another pod of that name comes.
                self.forget_removed_pods();
            }
        }
        self.source = update.report;
        self.revise();
    }

    fn note_version(&mut self, change: &Change) {
        match change {
            Change::Set(Object::NetworkPolicy(policy)) => {
                self.ledger.read(&policy.key, &policy.version);
                self.told.read(policy);
            }
            Change::Remove(object) if object.kind == Kind::NetworkPolicy => {
                self.ledger.forget(&object.key);
                self.told.retain_policies(|policy| *policy != object.key);
            }
            Change::Only { kind, keys } if *kind == Kind::NetworkPolicy => {
                self.ledger.forget_others(keys);
                self.told.retain_policies(|policy| keys.contains(policy));
            }
            _ => {}
        }
    }

    /// Takes where pods are now. Pods that came since that search began are left as they are.
    pub(crate) async fn take_findings(&mut self, findings: Findings) {
        for ifindex in &findings.vanished {
            self.attached.remove(ifindex);
            self.sandbox_interface_gone(*ifindex);
            if let Some(fresh) = &mut self.fresh {
                fresh.remove(ifindex);
            }
            if let Err(error) = self.hooks.forget(*ifindex) {
                tracing::warn!(ifindex, %error, "cannot forget a vanished interface");
            }
            self.dirty = true;
        }
        for (pod, found) in &findings.found {
            if self.interfaces.get(pod) != Some(&found.ifindex)
                && self.sandboxes.of_pod(pod).is_none()
                && !self.sandboxes.has_interface(found.ifindex)
                && self.state.is_local(pod)
            {
                tracing::info!(%pod, interface = found.name, ifindex = found.ifindex, "found");
                self.attach(pod.clone(), found.ifindex);
            }
        }
        for (pod, reason) in &findings.missing {
            if self.interfaces.contains_key(pod) && self.sandboxes.of_pod(pod).is_none() {
                tracing::info!(%pod, reason, "lost its interface");
                self.detach(pod);
            }
        }
        if findings.local_addresses != self.findings.local_addresses {
            let addresses = findings.local_addresses.clone();
            self.state.apply(Change::LocalAddresses(addresses));
            self.dirty = true;
        }
        self.findings = findings;
        self.revise();
    }

    fn take_events(&mut self, events: &[Event]) {
        for event in events {
            let flow = names::flow(event, &self.state, &self.mirror);
            self.flows.push(flow);
        }
    }

    fn attach(&mut self, pod: ObjectKey, ifindex: u32) {
        // The state takes the interface from the pod that had it.
        self.interfaces.retain(|_, held| *held != ifindex);
        self.interfaces.insert(pod.clone(), ifindex);
        self.state.apply(Change::Attach { pod, ifindex });
        self.dirty = true;
    }

    fn detach(&mut self, pod: &ObjectKey) {
        self.interfaces.remove(pod);
        self.state.apply(Change::Detach { pod: pod.clone() });
        self.dirty = true;
    }

    fn revise(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }
}

/// Whether two objects of one name are two pods. Without UIDs, which manifests need not have, two
/// that share no address are.
fn is_another(before: &Pod, after: &Pod) -> bool {
    if before.uid.is_empty() && after.uid.is_empty() {
        let (before, after) = (&before.addresses, &after.addresses);
        !before.is_empty() && !after.is_empty() && !before.iter().any(|a| after.contains(a))
    } else {
        before.uid != after.uid
    }
}
