//! The API server as a source of objects.
//!
//! ```text
//! one Reflector a kind: list, watch, try again --words--> Watches: changes, report --> engine
//!   decode, trim: JSON -> objects one by one
//! engine --notices--> events: what there is to tell the owners of objects
//! ```
//! Until every kind is in sync nothing is put in force. From then on a server that is away changes
//! nothing: what is in force stands, and a later list changes what differs.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use kube::Client;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

mod client;
mod decode;
mod events;
mod failure;
mod reflect;
mod resources;
mod trim;
mod watches;

use crate::{
    engine::{Announcer, queue, unix_seconds},
    source::{ReadNow, Update},
};
use failure::Failure;
use reflect::{Reflector, Word};
use resources::RESOURCES;
use watches::Watches;

/// How long a refusal is borne at the start: rights may be granted in the same breath.
const GRACE: Duration = Duration::from_secs(10);
/// How long a server that does not answer is waited for at the start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Words under way.
const WORDS: usize = 1024;
/// Words that are handed on at a time.
const BATCH: usize = 512;

/// Why the API server is no source to follow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiServerError {
    #[error("the kubeconfig {} does not do: {reason}", path.display())]
    Kubeconfig { path: PathBuf, reason: String },
    #[error(
        "not in a pod of a cluster: {reason}; outside of one, --kubeconfig or --manifests says \
         where the objects are"
    )]
    NotInCluster { reason: String },
    #[error("{reason}")]
    Refused { reason: String },
    #[error("no answer from the API server at {url} within {} s: {reason}", PATIENCE.as_secs())]
    Away { url: String, reason: String },
    #[error("{}", watches::no_such_node(node))]
    NoNode { node: String },
}

/// The watches of an API server.
pub(crate) struct ApiServer {
    client: Client,
    watches: Watches,
    words: mpsc::Receiver<Word>,
    reflectors: JoinSet<()>,
    stop: CancellationToken,
    url: String,
    node: String,
    began: Instant,
    refused_since: Option<Instant>,
    synced: bool,
}

impl ApiServer {
    /// Begins to watch.
    pub(crate) async fn open(
        kubeconfig: Option<&Path>,
        node: &str,
    ) -> Result<(Self, Update), ApiServerError> {
        let (client, url) = client::connect(kubeconfig).await?;
        tracing::info!(%url, "listing");
        let (heard, words) = mpsc::channel(WORDS);
        let stop = CancellationToken::new();
        let mut reflectors = JoinSet::new();
        for resource in RESOURCES {
            let reflector = Reflector::new(client.clone(), resource, heard.clone());
            reflectors.spawn(reflector.run(stop.clone()));
        }
        let watches = Watches::new(url.clone(), node.to_owned(), unix_seconds() as u64);
        let first = Update {
            changes: Vec::new(),
            report: watches.report(),
        };
        let server = Self {
            client,
            watches,
            words,
            reflectors,
            stop,
            url,
            node: node.to_owned(),
            began: Instant::now(),
            refused_since: None,
            synced: false,
        };
        Ok((server, first))
    }

    /// A task that writes what it is told as Events of objects, and the way to tell it.
    pub(crate) fn announcer(&self) -> (Announcer, impl Future<Output = ()> + Send + 'static) {
        let (announcer, notices) = queue();
        let writing = events::write(self.client.clone(), self.node.clone(), notices);
        (announcer, writing)
    }

    /// The next objects of the first lists; none once every kind is in sync.
    pub(crate) async fn complete(&mut self) -> Result<Option<Update>, ApiServerError> {
        if self.synced {
            return Ok(None);
        }
        self.bear()?;
        if self.watches.in_sync() && self.watches.has_node() {
            self.synced = true;
            let seconds = self.began.elapsed().as_secs_f32();
            tracing::info!(url = self.url, seconds, "in sync");
            return Ok(None);
        }
        let deadline = self
            .refused_since
            .map_or(self.began + PATIENCE, |since| since + GRACE);
        let first = timeout_at(deadline, self.words.recv()).await;
        let first = first.ok().flatten();
        Ok(Some(self.update(first)))
    }

    /// Fails once an obstacle has lasted too long.
    fn bear(&mut self) -> Result<(), ApiServerError> {
        let refused = match self.watches.obstacle() {
            Some(Failure::Refused(reason)) => Some(ApiServerError::Refused {
                reason: reason.clone(),
            }),
            _ if self.watches.in_sync() && !self.watches.has_node() => {
                let node = self.node.clone();
                Some(ApiServerError::NoNode { node })
            }
            _ => None,
        };
        let now = Instant::now();
        if let Some(refused) = refused {
            let since = *self.refused_since.get_or_insert_with(|| {
                tracing::warn!(reason = %refused, "cannot list yet");
                now
            });
            return if now < since + GRACE {
                Ok(())
            } else {
                Err(refused)
            };
        }
        self.refused_since = None;
        match self.watches.obstacle() {
            Some(failure) if now >= self.began + PATIENCE => Err(ApiServerError::Away {
                url: self.url.clone(),
                reason: failure.words().to_owned(),
            }),
            // Slow is not away: it goes on as long as objects come.
            _ if now >= self.began + PATIENCE => {
                self.began = now;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Follows the server until shutdown.
    pub(crate) async fn run(
        mut self,
        mut wishes: mpsc::Receiver<ReadNow>,
        updates: mpsc::Sender<Update>,
        shutdown: CancellationToken,
    ) {
        loop {
            let (first, wish) = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(wish) = wishes.recv() => (None, Some(wish)),
                Some(word) = self.words.recv() => (Some(word), None),
            };
            let update = self.update(first);
            if updates.send(update).await.is_err() {
                break;
            }
            if let Some(wish) = wish {
                // Whoever wished may have given up.
                let _ = wish.send(());
            }
        }
        self.stop.cancel();
        while self.reflectors.join_next().await.is_some() {}
    }

    /// What a word says, and those behind it that are here already.
    fn update(&mut self, first: Option<Word>) -> Update {
        let now = unix_seconds() as u64;
        let mut changes = Vec::new();
        let mut next = first.or_else(|| self.words.try_recv().ok());
        while let Some(word) = next {
            changes.extend(self.watches.hear(word, now));
            if changes.len() >= BATCH {
                break;
            }
            next = self.words.try_recv().ok();
        }
        Update {
            changes,
            report: self.watches.report(),
        }
    }
}
