//! One agent of those that are asked, and where to look for its successor.

use crate::agent::{Agent, AgentError};
use crate::cluster::Cluster;
use crate::cluster::agents::{self, Found};
use crate::transport::{Transport, exec};

/// A node, or the agent behind a socket.
#[derive(Clone)]
pub(crate) struct Member {
    /// None: the agent behind a socket.
    pub(crate) node: Option<String>,
    pub(super) agent: Result<Agent, String>,
    pub(super) cluster: Option<Cluster>,
}

impl Member {
    pub(super) fn local(agent: Agent) -> Self {
        Self {
            node: None,
            agent: Ok(agent),
            cluster: None,
        }
    }

    pub(super) fn of_cluster(node: String, found: Found, cluster: &Cluster) -> Self {
        Self {
            node: Some(node),
            agent: agent(cluster, found),
            cluster: Some(cluster.clone()),
        }
    }

    /// The agent, or why there is none.
    pub(crate) fn agent(&self) -> Result<&Agent, AgentError> {
        let no_pod = |reason: &String| AgentError::NoPod(reason.clone());
        self.agent.as_ref().map_err(no_pod)
    }

    /// Looks for the node's agent again: a pod that was replaced has another name.
    pub(crate) async fn find_again(&mut self) {
        let (Some(node), Some(cluster)) = (&self.node, &self.cluster) else {
            return;
        };
        match cluster.agents().await {
            Ok(pods) => {
                let mut found = agents::by_node(&pods, std::slice::from_ref(node));
                if let Some(found) = found.remove(node) {
                    self.agent = agent(cluster, found);
                }
            }
            Err(error) => self.agent = Err(error.to_string()),
        }
    }
}

fn agent(cluster: &Cluster, found: Found) -> Result<Agent, String> {
    match found {
        Found::Pod(pod) => {
            let pods = cluster.agent_pods();
            Ok(Agent::new(Transport::Exec(Box::new(exec::Target {
                pods,
                pod,
            }))))
        }
        Found::None(reason) => Err(reason),
    }
}
