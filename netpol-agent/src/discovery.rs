//! Finding each local pod's host interface, and following it.
//!
//! ```text
//! local pods (from the engine) --+
//! netlink events, coalesced -----+--> facts -> decide -> Findings (to the engine)
//! a look again while pods lack --+              +------> questions (to the kernel)
//! ```
//! Whatever the cause, everything is asked anew and decided as a whole, so that a lost or
//! reordered event costs time at most.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use netpol_policy::ObjectKey;
use rtnetlink::Handle;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

pub(crate) mod decide;
pub(crate) mod facts;
pub(crate) mod fresh;
pub(crate) mod netlink;

use decide::{Claimant, Decision, Question};
use facts::{Facts, LinkKind};
use fresh::Fresh;
use netlink::Event;

/// How long events are gathered before they are acted upon.
const GATHER: Duration = Duration::from_millis(5);
/// The least time from one look to the next, so that a storm of events costs a bounded share.
const PACE: Duration = Duration::from_millis(20);
/// How often to look when nothing happens: events are a means to be fast, not to be right.
const SAFETY: Duration = Duration::from_secs(10);
/// How long to wait before the kernel is asked the same question again: first and at most.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The local pods, as the engine publishes them.
pub(crate) type Pods = Arc<Vec<Claimant>>;

/// An interface where a pod was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) ifindex: u32,
    pub(crate) name: String,
}

/// Where the local pods are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) found: BTreeMap<ObjectKey, Found>,
    /// Why a pod was not found.
    pub(crate) missing: BTreeMap<ObjectKey, String>,
    /// The addresses of the node's own interfaces.
    pub(crate) local_addresses: BTreeSet<IpAddr>,
    /// Interfaces that vanished since the last findings; their index may be in use again.
    pub(crate) vanished: BTreeSet<u32>,
}

/// A wish for a look now; answered once its findings are with the engine.
pub(crate) type LookNow = oneshot::Sender<()>;

/// Why discovery cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryError {
    #[error("cannot open a netlink socket: {0}")]
    Socket(#[from] std::io::Error),
    #[error("cannot read the node's interfaces and routes: {0}")]
    Netlink(#[from] rtnetlink::Error),
}

type Messages = futures_util::stream::BoxStream<'static, Event>;

/// The search for interfaces.
pub(crate) struct Discovery {
    netlink: Handle,
    events: Messages,
    connection: JoinHandle<()>,
    facts: Facts,
    vanished: BTreeSet<u32>,
    asked: HashMap<Question, (Instant, Duration)>,
    fresh: Option<Fresh>,
    /// Something may have changed since the last look.
    outdated: bool,
}

impl Discovery {
    /// Subscribes to what may change; from here on nothing is missed.
    pub(crate) fn connect() -> Result<Self, DiscoveryError> {
        let (connection, netlink, messages) =
            rtnetlink::new_multicast_connection(&netlink::GROUPS)?;
        let events = messages.filter_map(async |(message, _)| netlink::event(&message));
        Ok(Self {
            netlink,
            events: events.boxed(),
            connection: tokio::spawn(connection),
            facts: Facts::default(),
            vanished: BTreeSet::new(),
            asked: HashMap::new(),
            fresh: None,
            outdated: false,
        })
    }

    /// Reports new interfaces from here on.
    pub(crate) fn report_new(&mut self, fresh: Fresh) {
        self.fresh = Some(fresh);
    }

    /// Looks for the pods.
    pub(crate) async fn look(&mut self, pods: &[Claimant]) -> Result<Findings, DiscoveryError> {
        let addresses: BTreeSet<_> = pods
            .iter()
            .flat_map(|pod| &pod.addresses)
            .copied()
            .collect();
        let addresses: Vec<_> = addresses.into_iter().collect();
        self.facts = netlink::facts(&self.netlink, &addresses).await?;
        if let Some(fresh) = &mut self.fresh {
            fresh.look(&self.facts.links).await;
        }
        let local_addresses = netlink::local_addresses(&self.netlink, &self.facts.links).await?;
        // One socket brings both, in the order in which things happened: every event that is older
        // than the answers is here by now.
        self.take_events().await;
        let vanished = std::mem::take(&mut self.vanished);
        // A link that was gone in between is another one, whatever its index.
        let claimants: Vec<_> = pods
            .iter()
            .map(|pod| Claimant {
                held: pod.held.filter(|held| !vanished.contains(held)),
                ..pod.clone()
            })
            .collect();
        let decision = decide::decide(&claimants, &self.facts);
        self.ask(&decision).await;
        Ok(Findings {
            found: self.named(&decision),
            missing: decision.missing,
            local_addresses,
            vanished,
        })
    }

    /// Follows the pods and their interfaces until shutdown.
    pub(crate) async fn run(
        mut self,
        mut pods: watch::Receiver<Pods>,
        mut wishes: mpsc::Receiver<LookNow>,
        findings: mpsc::Sender<Findings>,
        shutdown: CancellationToken,
    ) {
        let mut schedule = Schedule::new();
        let mut sent = Findings::default();
        let mut sent_for = Pods::default();
        let mut answer_to = Vec::new();
        while self
            .wait(&schedule, &mut pods, &mut wishes, &mut answer_to, &shutdown)
            .await
        {
            let current = Arc::clone(&pods.borrow_and_update());
            let now = match self.look(&current).await {
                Ok(now) => now,
                Err(error) => {
                    tracing::warn!(%error, "cannot look for interfaces");
                    schedule.looked(Duration::from_secs(1));
                    self.reconnect();
                    continue;
                }
            };
            schedule.looked(if self.outdated {
                PACE
            } else if now.missing.is_empty() {
                SAFETY
            } else if now.missing == sent.missing {
                (schedule.pause * 2).min(SAFETY)
            } else {
                ASK_AGAIN.0
            });
            // The same findings mean something else to other pods: one may have gone and come back.
            if sent != now || !Arc::ptr_eq(&sent_for, &current) {
                sent = now.clone();
                sent_for = Arc::clone(&current);
                if findings.send(now).await.is_err() {
                    break;
                }
            }
            for wish in answer_to.drain(..) {
                // Whoever wished may have given up.
                let _ = wish.send(());
            }
        }
        self.connection.abort();
    }

    /// Waits for a reason to look; false at the end.
    async fn wait(
        &mut self,
        schedule: &Schedule,
        pods: &mut watch::Receiver<Pods>,
        wishes: &mut mpsc::Receiver<LookNow>,
        answer_to: &mut Vec<LookNow>,
        shutdown: &CancellationToken,
    ) -> bool {
        let mut at = schedule.next();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return false,
                changed = pods.changed() => return changed.is_ok(),
                Some(wish) = wishes.recv() => {
                    answer_to.push(wish);
                    while let Ok(wish) = wishes.try_recv() {
                        answer_to.push(wish);
                    }
                    return true;
                }
                event = self.events.next() => match event {
                    Some(event) => {
                        if self.take(&event).await {
                            at = at.min(schedule.soon());
                        }
                    }
                    // The connection ended: looking fails and makes a new one.
                    None => {
                        at = schedule.soon();
                        self.events = futures_util::stream::pending().boxed();
                    }
                },
                () = sleep_until(at) => return true,
            }
        }
    }

    fn reconnect(&mut self) {
        match Self::connect() {
            Ok(fresh) => {
                self.connection.abort();
                let reporting = self.fresh.take();
                *self = fresh;
                self.fresh = reporting;
            }
            Err(error) => tracing::warn!(%error, "cannot connect to netlink again"),
        }
    }

    /// Reads the events that have arrived. Some may be younger than the answers.
    async fn take_events(&mut self) {
        self.outdated = false;
        while let Some(Some(event)) = self.events.next().now_or_never() {
            self.outdated |= self.take(&event).await;
        }
    }

    /// Reports what is new, and remembers what an event says; tells whether it may change where
    /// pods are.
    async fn take(&mut self, event: &Event) -> bool {
        if let (Event::Link { ifindex, link }, Some(fresh)) = (event, &mut self.fresh) {
            // Not after the next look: until then it is open.
            fresh.take(*ifindex, link).await;
        }
        self.note(event)
    }

    /// Remembers what an event says; tells whether it may change where pods are.
    fn note(&mut self, event: &Event) -> bool {
        match event {
            Event::LinkGone(ifindex) => {
                self.vanished.insert(*ifindex);
                true
            }
            Event::Link { .. } | Event::Changed | Event::Overrun => {
                // A pod that was not there to answer may be there now.
                for (_, pause) in self.asked.values_mut() {
                    *pause = ASK_AGAIN.0;
                }
                true
            }
            Event::Neighbour {
                ifindex,
                address,
                neighbour,
            } => {
                let link = self.facts.links.get(ifindex);
                link.is_none_or(|link| link.kind == LinkKind::Bridge)
                    && self.facts.routes.contains_key(address)
                    && self.facts.neighbours.get(&(*ifindex, *address)) != neighbour.as_ref()
            }
            Event::Forwarding { entry, learned } => {
                let mut neighbours = self.facts.neighbours.values();
                let of_pod = neighbours.any(|neighbour| neighbour.mac == entry.mac);
                of_pod && self.facts.forwarding.contains(entry) != *learned
            }
        }
    }

    /// Asks what would help; each question again after a while, less and less often.
    async fn ask(&mut self, decision: &Decision) {
        self.asked
            .retain(|question, _| decision.questions.contains(question));
        for question in &decision.questions {
            let now = Instant::now();
            let pause = match self.asked.get(question) {
                Some((next, _)) if *next > now => continue,
                Some((_, pause)) => (*pause * 2).min(ASK_AGAIN.1),
                None => ASK_AGAIN.0,
            };
            self.asked.insert(*question, (now + pause, pause));
            if let Err(error) = netlink::ask(&self.netlink, *question).await {
                tracing::debug!(?question, %error, "the kernel cannot be asked");
            }
        }
    }

    fn named(&self, decision: &Decision) -> BTreeMap<ObjectKey, Found> {
        let found = decision.found.iter();
        found
            .map(|(pod, ifindex)| {
                let link = self.facts.links.get(ifindex);
                let name = link.map(|link| link.name.clone()).unwrap_or_default();
                let ifindex = *ifindex;
                (pod.clone(), Found { ifindex, name })
            })
            .collect()
    }
}

/// When to look next.
struct Schedule {
    last: Instant,
    pause: Duration,
}

impl Schedule {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            pause: ASK_AGAIN.0,
        }
    }

    fn looked(&mut self, pause: Duration) {
        self.last = Instant::now();
        self.pause = pause;
    }

    /// Without an event.
    fn next(&self) -> Instant {
        self.last + self.pause
    }

    /// After an event.
    fn soon(&self) -> Instant {
        (Instant::now() + GATHER).max(self.last + PACE)
    }
}
