//! Telling an uninstall from a restart: when the agent is stopped because its DaemonSet is deleted,
//! it takes everything with it; in every other case it leaves everything in force.
//!
//! ```text
//! watch of the DaemonSet, while the agent runs -> sight --+
//! SIGTERM -> ask for the DaemonSet and its namespace -----+--> decide: remove | keep
//! ```
//! Pods are deleted after their DaemonSet (background), before it (foreground, a namespace), or
//! not at all (orphans). The rights to ask may be deleted in the same moment; what the watch saw
//! counts then. What remains doubtful is taken for a restart: nobody is opened by mistake.

use std::{pin::pin, time::Duration};

use anyhow::Context;
use futures_util::StreamExt;
use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Namespace};
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::cli::RunArgs;

mod decide;

use decide::{Answer, Decision, Sight, decide};

/// How long to wait for the API server at the start and at the end.
const ASKING: Duration = Duration::from_secs(5);
/// How long a refusal is borne at the start, and how often it is asked meanwhile.
const GRACE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_secs(1);
/// How long the watch may take to tell why the rights to ask are gone: well within the time a pod
/// has to end.
const TELLING: Duration = Duration::from_secs(20);

/// The DaemonSet that the agent's pod belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    namespace: String,
    name: String,
}

impl std::str::FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err("not of the form NAMESPACE/NAME".to_owned()),
        }
    }
}

/// Why an uninstall could not be told from a restart.
#[derive(Debug, thiserror::Error)]
#[error(
    "the API server does not let the agent {verb} {what}, by which it tells an uninstall from a \
     restart: apply the Role and RoleBinding of the manifests"
)]
pub(crate) struct Forbidden {
    verb: &'static str,
    what: String,
}

/// What watches the DaemonSet.
pub(crate) struct Guard {
    daemonsets: Api<DaemonSet>,
    namespaces: Api<Namespace>,
    owner: Owner,
    sight: watch::Receiver<Sight>,
    watching: JoinHandle<()>,
}

impl Guard {
    /// Looks at the DaemonSet from now on. An API server that does not answer yet is waited for;
    /// one that forbids to ask is an error.
    pub(crate) async fn start(client: Client, owner: Owner) -> Result<Self, Forbidden> {
        let daemonsets = Api::namespaced(client.clone(), &owner.namespace);
        let watched = Api::namespaced(client.clone(), &owner.namespace);
        let namespaces = Api::all(client);
        let what = format!("DaemonSet {}/{}", owner.namespace, owner.name);
        if is_refused(&daemonsets, &owner.name).await {
            return Err(Forbidden { verb: "get", what });
        }
        if is_refused(&namespaces, &owner.namespace).await {
            let what = format!("Namespace {}", owner.namespace);
            return Err(Forbidden { verb: "get", what });
        }
        let (publish, sight) = watch::channel(Sight::Unknown);
        let (refused, mut refusal) = watch::channel(None);
        let watching = tokio::spawn(follow(watched, owner.name.clone(), publish, refused));
        let guard = Self {
            daemonsets,
            namespaces,
            owner,
            sight,
            watching,
        };
        let mut seen = guard.sight.clone();
        // It lists first, and watches then.
        let first = async {
            tokio::select! {
                _ = refusal.changed() => {}
                _ = seen.changed() => drop(timeout(AGAIN, refusal.changed()).await),
            }
            *refusal.borrow()
        };
        match timeout(ASKING, first).await {
            Ok(Some(verb)) => Err(Forbidden { verb, what }),
            _ => Ok(guard),
        }
    }

    /// Whether the agent is stopped for good.
    pub(crate) async fn says_uninstall(mut self) -> bool {
        let until = Instant::now() + TELLING;
        let decision = loop {
            let (daemonset, namespace) = tokio::join!(
                ask(&self.daemonsets, &self.owner.name),
                ask(&self.namespaces, &self.owner.namespace),
            );
            let sight = *self.sight.borrow_and_update();
            let decision = decide(sight, daemonset, namespace);
            tracing::debug!(?sight, ?daemonset, ?namespace, ?decision, "stopped");
            if decision != Decision::Doubtful {
                break decision;
            }
            tokio::select! {
                _ = self.sight.changed() => {}
                () = sleep_until(until) => break decision,
            }
        };
        decision == Decision::Remove
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Publishes what is seen of the object, until it is aborted.
async fn follow(
    daemonsets: Api<PartialObjectMeta<DaemonSet>>,
    name: String,
    sight: watch::Sender<Sight>,
    refused: watch::Sender<Option<&'static str>>,
) {
    let mut seen = pin!(watcher::watch_object(daemonsets, &name).default_backoff());
    while let Some(event) = seen.next().await {
        match event {
            Ok(object) => {
                let metadata = object.as_ref().map(Resource::meta);
                sight.send_modify(|sight| *sight = sight.next(metadata));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot watch the agent's DaemonSet; tried again");
                if let Some(verb) = forbidden(&error) {
                    refused.send_replace(Some(verb));
                }
            }
        }
    }
}

/// The verb that the API server refused.
fn forbidden(error: &watcher::Error) -> Option<&'static str> {
    let is_forbidden =
        |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.is_forbidden());
    match error {
        watcher::Error::InitialListFailed(error) if is_forbidden(error) => Some("list"),
        watcher::Error::WatchStartFailed(error) if is_forbidden(error) => Some("watch"),
        _ => None,
    }
}

/// The API server of the cluster that this process is a pod of.
pub(crate) fn client() -> anyhow::Result<Client> {
    let config = kube::Config::incluster()
        .context("find the API server: this is for agents that run in a pod of the cluster")?;
    Client::try_from(config).context("prepare to speak to the API server")
}

/// The guard of an agent that has an owner; one that has none is never uninstalled.
pub(crate) struct Guarded {
    starting: Option<JoinHandle<Result<Guard, Forbidden>>>,
    guard: Option<Guard>,
}

impl Guarded {
    /// Begins to look, beside what else the agent begins.
    pub(crate) fn start(args: &RunArgs) -> anyhow::Result<Self> {
        let starting = match &args.installed_by {
            Some(owner) => Some(tokio::spawn(Guard::start(client()?, owner.clone()))),
            None => None,
        };
        Ok(Self {
            starting,
            guard: None,
        })
    }

    /// Ends only if the API server forbids to look.
    pub(crate) async fn refused(&mut self) -> Forbidden {
        if let Some(starting) = &mut self.starting {
            let started = starting.await;
            self.starting = None;
            match started {
                Ok(Ok(guard)) => self.guard = Some(guard),
                Ok(Err(forbidden)) => return forbidden,
                Err(error) => tracing::error!(%error, "cannot watch the agent's DaemonSet"),
            }
        }
        std::future::pending().await
    }

    /// Whether the agent is stopped for good.
    pub(crate) async fn says_uninstall(mut self) -> bool {
        if let Some(starting) = self.starting.take()
            && let Ok(Ok(guard)) = starting.await
        {
            self.guard = Some(guard);
        }
        match self.guard {
            Some(guard) => guard.says_uninstall().await,
            None => false,
        }
    }
}

/// Whether the API server keeps refusing: rights may be granted in the same breath.
async fn is_refused<K>(api: &Api<K>, name: &str) -> bool
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let until = Instant::now() + GRACE;
    while ask(api, name).await == Answer::Refused {
        if Instant::now() > until {
            return true;
        }
        sleep(AGAIN).await;
    }
    false
}

/// One question, one answer.
async fn ask<K>(api: &Api<K>, name: &str) -> Answer
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    match timeout(ASKING, api.get_metadata_opt(name)).await {
        Ok(Ok(Some(object))) => Answer::There(Sight::of(&object.metadata)),
        Ok(Ok(None)) => Answer::Absent,
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => Answer::Refused,
        Ok(Err(_)) | Err(_) => Answer::Silent,
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use super::*;

    #[test]
    fn a_missing_right_ends_the_agent_as_those_of_the_watches_do() {
        let what = "DaemonSet netpol-system/netpol".to_owned();
        let ours = anyhow::Error::from(Forbidden { verb: "get", what });
        let reason = "the agent may not list pods".to_owned();
        let watch = crate::kube::ApiServerError::Refused { reason };
        let watch = anyhow::Error::from(crate::source::SourceError::from(watch));
        assert_eq!(crate::exit_code(&ours), ExitCode::from(5));
        assert_eq!(crate::exit_code(&watch), crate::exit_code(&ours));
    }
}
