//! The agents that are asked, one or many: all at once, a limited number at a time, each with a
//! time limit, and with a list of those that did not answer.

use std::sync::Arc;

use anyhow::Result;
use netpol_api::{Call, Reply};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::progress::Progress;
use crate::agent::{Agent, AgentError, PATIENCE};
use crate::cluster::error::ClusterError;
use crate::cluster::{AGENT_LABEL, Cluster, agents};
use crate::output;
use crate::transport::Transport;
use crate::way::Way;

mod answers;
mod member;
mod progress;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use answers::{Answers, OnNode, Unanswered};
pub(crate) use member::Member;
pub(crate) use stream::{Coming, Heard, Keep};

/// Agents asked at a time.
const AT_A_TIME: usize = 32;

/// The agents: the one behind a socket, or those of a cluster.
pub(crate) struct Fleet {
    members: Vec<Member>,
    cluster: Option<Cluster>,
}

/// There is nobody to ask.
#[derive(Debug, Error)]
#[error(
    "no agents: no pod labelled {AGENT_LABEL} in namespace {namespace}. Install netpol \
     (`kubectl apply -k deploy`), or name the agents' namespace with --agent-namespace"
)]
struct NoAgents {
    namespace: String,
}

impl Fleet {
    /// Finds the agents; none is asked yet.
    pub(crate) async fn open(way: &Way) -> Result<Self> {
        match way {
            Way::Socket(path) => Ok(Self {
                members: vec![Member::local(Agent::new(Transport::Socket(path.clone())))],
                cluster: None,
            }),
            Way::Cluster(access, nodes) => Self::find(Cluster::open(access).await?, nodes).await,
        }
    }

    /// The agents of these nodes, or of all when none is named.
    async fn find(cluster: Cluster, wanted: &[String]) -> Result<Self> {
        let pods = cluster.agents().await?;
        let nodes = match wanted {
            [] => nodes(&cluster).await?,
            wanted => wanted.to_vec(),
        };
        if pods.is_empty() {
            let namespace = cluster.agent_namespace().to_owned();
            return Err(NoAgents { namespace }.into());
        }
        let mut found = agents::by_node(&pods, &nodes);
        if !wanted.is_empty() {
            found.retain(|node, _| wanted.contains(node));
        }
        let members = found.into_iter();
        let members = members.map(|(node, found)| Member::of_cluster(node, found, &cluster));
        Ok(Self {
            members: members.collect(),
            cluster: Some(cluster),
        })
    }

    /// The cluster, unless it is one agent by its socket.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Asks all agents the same. That of a socket answers or it is an error; of a cluster's, those
    /// that do not answer are listed.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        call: Call,
        pick: fn(Reply) -> Option<T>,
    ) -> Result<Answers<T>, AgentError> {
        let ask = move |member: Member| {
            let call = call.clone();
            async move {
                let reply = member.agent()?.ask(call, PATIENCE).await?;
                pick(reply).ok_or(AgentError::OtherAnswer)
            }
        };
        self.each(AT_A_TIME, ask).await
    }

    /// Does the same with every agent, so many at a time.
    pub(crate) async fn each<T, F, Asking>(
        &self,
        at_a_time: usize,
        ask: F,
    ) -> Result<Answers<T>, AgentError>
    where
        T: Send + 'static,
        F: Fn(Member) -> Asking,
        Asking: Future<Output = Result<T, AgentError>> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(at_a_time));
        let mut asked = JoinSet::new();
        for member in &self.members {
            let (places, node) = (Arc::clone(&places), member.node.clone());
            let asking = ask(member.clone());
            asked.spawn(async move {
                let _place = places.acquire_owned().await;
                (node, asking.await)
            });
        }
        let mut answers = Answers::new(self.cluster.is_some());
        let mut progress = Progress::new(asked.len());
        while let Some(ended) = progress.until(asked.join_next()).await {
            // A task is never aborted, and does not panic.
            let Ok((node, answer)) = ended else { continue };
            match (node, answer) {
                (None, Err(error)) => return Err(error),
                (node, answer) => answers.add(node, answer.map_err(|error| error.sentence())),
            }
            progress.one_more();
        }
        answers.sort();
        Ok(answers)
    }
}

/// Without the right to list nodes, those that have an agent's pod are all there is to ask.
async fn nodes(cluster: &Cluster) -> Result<Vec<String>, ClusterError> {
    match cluster.nodes().await {
        Err(error) if error.is_forbidden() => {
            output::note(
                "This user may not list nodes (verb \"list\" on \"nodes\"): nodes without an \
                 agent's pod go unnoticed.",
            );
            Ok(Vec::new())
        }
        listed => listed,
    }
}
