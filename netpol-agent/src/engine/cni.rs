//! Sandboxes, as the CNI plugin tells of them: closed first, then judged, then answered.
//!
//! ```text
//! ADD --> on disk, programs on the interface (no entry: closed)
//!           '--> the pod is shown, under this uid, and nobody else is shown with its addresses
//!                  '--> state: addresses, interface --> settle --> enforced --> answered
//! ```
//! What the plugin says of an interface is the node's own word: findings of the search neither
//! change nor end it. An interface stays closed after DEL, for as long as it is there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use netpol_api::{Call, CniAttachment, CniKey, CniRefusal, EndpointState, Reply};
use netpol_policy::{Change, ObjectKey, Pod};
use tokio::{sync::oneshot, time::Instant};

use super::Engine;
use crate::{cni::sandboxes::Store, discovery::facts::Link};

/// The longest an ADD is let wait.
const LONGEST: Duration = Duration::from_secs(120);

/// The sandboxes of this node.
#[derive(Debug)]
pub(super) struct Sandboxes {
    store: Store,
    known: BTreeMap<CniKey, Sandbox>,
    /// Interfaces of sandboxes that are gone: closed until they are gone too.
    leaving: BTreeSet<u32>,
    waiting: Vec<Waiting>,
    /// Answers that are due once all that was taken is in force.
    due: Vec<(oneshot::Sender<Reply>, Reply)>,
}

#[derive(Debug)]
struct Sandbox {
    attachment: CniAttachment,
    pod: ObjectKey,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The state does not know of it yet. A former agent's need not look whose its addresses were.
    New { recalled: bool },
    /// The state knows of it.
    Told,
    /// Its ADD was refused: it stays closed.
    Refused,
}

#[derive(Debug)]
struct Waiting {
    key: CniKey,
    deadline: Instant,
    reply: oneshot::Sender<Reply>,
}

impl Sandboxes {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            known: BTreeMap::new(),
            leaving: BTreeSet::new(),
            waiting: Vec::new(),
            due: Vec::new(),
        }
    }

    /// The interfaces that are sandboxes', or were.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = u32> {
        let known = self
            .known
            .values()
            .map(|sandbox| sandbox.attachment.ifindex);
        known.chain(self.leaving.iter().copied())
    }

    /// Whether an interface is a sandbox's, or was.
    pub(super) fn has_interface(&self, ifindex: u32) -> bool {
        self.interfaces().any(|held| held == ifindex)
    }

    /// The sandbox that the state knows as a pod's.
    pub(super) fn of_pod(&self, pod: &ObjectKey) -> Option<&CniAttachment> {
        let told = |sandbox: &&Sandbox| sandbox.pod == *pod && sandbox.stage == Stage::Told;
        let of_pod = self.known.values().filter(told);
        let newest = of_pod.max_by_key(|sandbox| sandbox.attachment.ifindex)?;
        Some(&newest.attachment)
    }

    /// The pod's object is gone, and with it what the state was told.
    pub(super) fn untell(&mut self, pod: &ObjectKey) {
        for sandbox in self.known.values_mut() {
            if sandbox.pod == *pod && sandbox.stage == Stage::Told {
                sandbox.stage = Stage::New { recalled: true };
            }
        }
    }

    /// When the first ADD is to be refused.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.deadline).min()
    }
}

impl Engine {
    /// Takes over what a former agent was told, as far as it is there still.
    pub(crate) fn recall_sandboxes(&mut self, links: &HashMap<u32, Link>) -> std::io::Result<()> {
        for attachment in self.sandboxes.store.load()? {
            let link = links.get(&attachment.ifindex);
            if link.is_some_and(|link| link.name == attachment.host_interface) {
                let sandbox = Sandbox {
                    pod: pod_key(&attachment),
                    stage: Stage::New { recalled: true },
                    attachment,
                };
                let key = sandbox.attachment.key.clone();
                self.sandboxes.known.insert(key, sandbox);
            } else {
                self.sandboxes.store.remove(&attachment.key);
            }
        }
        self.tell_sandboxes();
        Ok(())
    }

    /// Takes a call that changes something; its answer comes once that is in force.
    pub(super) async fn take_call(&mut self, call: &Call, reply: oneshot::Sender<Reply>) {
        match call {
            Call::CniAdd {
                attachment,
                timeout_ms,
            } => {
                let limit = Duration::from_millis(*timeout_ms).min(LONGEST);
                match self.add_sandbox(attachment).await {
                    Ok(()) => self.sandboxes.waiting.push(Waiting {
                        key: attachment.key.clone(),
                        deadline: Instant::now() + limit,
                        reply,
                    }),
                    Err(refusal) => drop(reply.send(Reply::CniRefused(refusal))),
                }
            }
            Call::CniDel { key } => {
                self.remove_sandbox(key);
                self.sandboxes.due.push((reply, Reply::Done));
            }
            Call::CniGc { network, valid } => {
                let valid: BTreeSet<_> = valid.iter().collect();
                let known = self.sandboxes.known.values();
                let stale: Vec<CniKey> = known
                    .map(|sandbox| &sandbox.attachment)
                    .filter(|one| one.network == *network && !valid.contains(&one.key))
                    .map(|one| one.key.clone())
                    .collect();
                for key in &stale {
                    self.remove_sandbox(key);
                }
                self.sandboxes.due.push((reply, Reply::Done));
            }
            _ => {}
        }
    }

    async fn add_sandbox(&mut self, attachment: &CniAttachment) -> Result<(), CniRefusal> {
        let CniAttachment {
            key,
            pod,
            host_interface,
            ifindex,
            ..
        } = attachment;
        let mut others = self.sandboxes.known.keys();
        let other = others.find(|other| {
            other.container_id == key.container_id && other.interface != key.interface
        });
        if let Some(other) = other {
            return Err(never(format!(
                "{} is a second interface of {pod}, beside {}: NetworkPolicies are of the pod \
                 network alone. Take netpol-cni out of the configuration of network {:?}",
                key.interface, other.interface, attachment.network
            )));
        }
        // An index names an interface in one network namespace alone.
        if nix::net::if_::if_nametoindex(host_interface.as_str()) != Ok(*ifindex) {
            return Err(later(format!(
                "interface {host_interface} of {pod} is not in the agent's network namespace: the \
                 agent has to run on the node's network (hostNetwork)"
            )));
        }
        let saved = self.sandboxes.store.save(attachment);
        saved.map_err(|error| later(format!("cannot keep what the plugin told: {error}")))?;
        self.sandboxes.leaving.remove(ifindex);
        let sandbox = Sandbox {
            attachment: attachment.clone(),
            pod: pod_key(attachment),
            stage: Stage::New { recalled: false },
        };
        self.sandboxes.known.insert(key.clone(), sandbox);
        self.dirty = true;
        // Without an entry the programs let nothing pass. Who was taken to have it has it no more.
        let held = self.interfaces.iter().find(|(_, held)| *held == ifindex);
        if let Some(former) = held.map(|(former, _)| former.clone()) {
            self.detach(&former);
        }
        match self.hooks.ensure(*ifindex).await {
            Ok(done) => {
                tracing::info!(%pod, interface = host_interface, ifindex, ?done, "closed: a new pod");
                self.attached.insert(*ifindex);
                Ok(())
            }
            Err(error) => Err(later(format!("cannot attach to {host_interface}: {error}"))),
        }
    }

    fn remove_sandbox(&mut self, key: &CniKey) {
        let Some(sandbox) = self.forget_sandbox(key) else {
            return;
        };
        tracing::info!(pod = %sandbox.pod, interface = sandbox.attachment.host_interface, "gone");
        self.sandboxes.leaving.insert(sandbox.attachment.ifindex);
        self.release(&sandbox, Some(BTreeSet::new()));
    }

    /// The interface is gone, with or without a word of the plugin.
    pub(super) fn sandbox_interface_gone(&mut self, ifindex: u32) {
        self.sandboxes.leaving.remove(&ifindex);
        let known = self.sandboxes.known.values();
        let gone: Vec<CniKey> = known
            .filter(|sandbox| sandbox.attachment.ifindex == ifindex)
            .map(|sandbox| sandbox.attachment.key.clone())
            .collect();
        for key in gone {
            if let Some(sandbox) = self.forget_sandbox(&key) {
                self.release(&sandbox, None);
            }
        }
    }

    fn forget_sandbox(&mut self, key: &CniKey) -> Option<Sandbox> {
        self.sandboxes.store.remove(key);
        self.sandboxes.known.remove(key)
    }

    /// The pod no longer has the sandbox's interface and addresses, unless it has another sandbox.
    fn release(&mut self, sandbox: &Sandbox, addresses: Option<BTreeSet<std::net::IpAddr>>) {
        self.dirty = true;
        if sandbox.stage != Stage::Told
            || self.interfaces.get(&sandbox.pod) != Some(&sandbox.attachment.ifindex)
        {
            return;
        }
        if let Some(uid) = self.state.pod(&sandbox.pod).map(|pod| pod.uid.clone()) {
            self.state.apply(Change::Addresses {
                pod: sandbox.pod.clone(),
                uid,
                addresses,
            });
        }
        self.detach(&sandbox.pod);
    }

    /// Tells the state of sandboxes whose pods are shown by now.
    pub(super) fn tell_sandboxes(&mut self) {
        let mut newest: BTreeMap<&ObjectKey, &Sandbox> = BTreeMap::new();
        for sandbox in self.sandboxes.known.values() {
            if self.not_shown(sandbox).is_some() {
                continue;
            }
            let place = newest.entry(&sandbox.pod).or_insert(sandbox);
            if place.attachment.ifindex < sandbox.attachment.ifindex {
                *place = sandbox;
            }
        }
        let ready = newest.into_values().filter(|sandbox| match sandbox.stage {
            Stage::New { recalled: true } => true,
            Stage::New { recalled: false } => self.contested(sandbox).is_none(),
            // A pod that had finished, and has not after all.
            Stage::Told => self.interfaces.get(&sandbox.pod) != Some(&sandbox.attachment.ifindex),
            Stage::Refused => false,
        });
        let ready: Vec<CniAttachment> = ready.map(|s| s.attachment.clone()).collect();
        for attachment in ready {
            let pod = pod_key(&attachment);
            let uid = self.state.pod(&pod).map(|pod| pod.uid.clone());
            self.state.apply(Change::Addresses {
                pod: pod.clone(),
                uid: uid.unwrap_or_default(),
                addresses: Some(attachment.addresses.iter().copied().collect()),
            });
            self.attach(pod, attachment.ifindex);
            if let Some(sandbox) = self.sandboxes.known.get_mut(&attachment.key) {
                sandbox.stage = Stage::Told;
            }
        }
    }

    /// Answers the calls that can be answered now.
    pub(super) fn answer_plugins(&mut self) {
        for (reply, answer) in std::mem::take(&mut self.sandboxes.due) {
            // Whoever asked may have given up.
            let _ = reply.send(answer);
        }
        if self.sandboxes.waiting.is_empty() {
            return;
        }
        let states: BTreeMap<_, _> = self
            .state
            .endpoints()
            .into_iter()
            .map(|view| (view.pod.clone(), (view.ifindex, self.endpoint_state(&view))))
            .collect();
        let now = Instant::now();
        for waiting in std::mem::take(&mut self.sandboxes.waiting) {
            if waiting.reply.is_closed() {
                continue;
            }
            match self.outcome(&waiting.key, &states) {
                Ok(()) => drop(waiting.reply.send(Reply::Done)),
                Err((reason, settled)) if settled || waiting.deadline <= now => {
                    tracing::warn!(container = waiting.key.container_id, reason, "ADD refused");
                    if let Some(sandbox) = self.sandboxes.known.get_mut(&waiting.key)
                        && sandbox.stage != Stage::Told
                    {
                        sandbox.stage = Stage::Refused;
                    }
                    drop(waiting.reply.send(Reply::CniRefused(later(reason))));
                }
                Err(_) => self.sandboxes.waiting.push(waiting),
            }
        }
    }

    /// Whether a sandbox's pod is judged by its policies; else why not, and whether waiting is of
    /// no use.
    fn outcome(
        &self,
        key: &CniKey,
        states: &BTreeMap<ObjectKey, (Option<u32>, EndpointState)>,
    ) -> Result<(), (String, bool)> {
        let Some(sandbox) = self.sandboxes.known.get(key) else {
            return Err(("the sandbox was removed meanwhile".to_owned(), true));
        };
        if let Some(reason) = self.not_shown(sandbox) {
            return Err((reason, false));
        }
        if sandbox.stage != Stage::Told {
            let reason = self.contested(sandbox);
            let reason = reason.unwrap_or_else(|| "another sandbox of the pod is newer".to_owned());
            return Err((reason, false));
        }
        match states.get(&sandbox.pod) {
            Some((Some(ifindex), state)) if *ifindex == sandbox.attachment.ifindex => match state {
                EndpointState::Enforced => Ok(()),
                EndpointState::Pending { reason } => {
                    Err((format!("{}: {reason}", sandbox.pod), false))
                }
                EndpointState::Closed { reason } => {
                    Err((format!("{}: {reason}", sandbox.pod), true))
                }
            },
            _ => Err((format!("{} is not in force yet", sandbox.pod), false)),
        }
    }

    /// Why the objects do not show a sandbox's pod on this node.
    fn not_shown(&self, sandbox: &Sandbox) -> Option<String> {
        let (name, uid) = (&sandbox.pod, &sandbox.attachment.uid);
        let Some(pod) = self.state.pod(name) else {
            return Some(format!(
                "the API server has not shown pod {name} to this node's agent yet"
            ));
        };
        if !pod.is_known_as(uid) {
            return Some(format!(
                "the API server still shows another pod of the name {name} (uid {}, not {uid})",
                pod.uid
            ));
        }
        if pod.is_selectable() && self.is_here(pod) {
            return None;
        }
        Some(if pod.finished {
            format!("pod {name} has finished")
        } else if pod.host_network {
            format!("pod {name} is on its node's own network")
        } else {
            let node = pod.node.as_deref().unwrap_or("no node yet");
            format!(
                "pod {name} is on {node}, and this agent is for {}: is its --node right?",
                self.node
            )
        })
    }

    fn is_here(&self, pod: &Pod) -> bool {
        pod.node.as_ref() == Some(&self.node)
    }

    /// While the API shows another pod with an address, other nodes take this pod for that one.
    fn contested(&self, sandbox: &Sandbox) -> Option<String> {
        let addresses = sandbox.attachment.addresses.iter().copied().collect();
        let former = self.state.former_owner(&sandbox.pod, &addresses)?;
        Some(format!(
            "the API server still shows {former} with an address that {} was given, and other \
             nodes would judge the one by the other's labels",
            sandbox.pod
        ))
    }

    /// Whether an ADD would be served.
    pub(super) fn plugin_status(&self) -> Reply {
        match &self.failure {
            None => Reply::Done,
            Some((error, _)) => {
                Reply::CniRefused(later(format!("the maps could not be written: {error}")))
            }
        }
    }

    /// Whether a sandbox's pod is judged by its policies.
    pub(super) fn check_sandbox(&self, attachment: &CniAttachment) -> Reply {
        let pod = pod_key(attachment);
        let mut views = self.state.endpoints().into_iter();
        let view = views.find(|view| view.pod == pod && view.ifindex == Some(attachment.ifindex));
        let reason = match view.map(|view| self.endpoint_state(&view)) {
            Some(EndpointState::Enforced) => return Reply::Done,
            Some(EndpointState::Pending { reason } | EndpointState::Closed { reason }) => reason,
            None => format!(
                "{} is not known as its interface",
                attachment.host_interface
            ),
        };
        Reply::CniRefused(later(format!("{pod}: {reason}")))
    }
}

fn pod_key(attachment: &CniAttachment) -> ObjectKey {
    ObjectKey::new(&attachment.pod.namespace, &attachment.pod.name)
}

fn later(reason: String) -> CniRefusal {
    CniRefusal {
        reason,
        again: true,
    }
}

fn never(reason: String) -> CniRefusal {
    CniRefusal {
        reason,
        again: false,
    }
}
