//! Why there is no answer, and what would help.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use netpol_api::API_VERSION;
use thiserror::Error;

use crate::cluster::error::ClusterError;

/// Why there is no answer, and what would help.
#[derive(Debug, Error)]
pub(crate) enum AgentError {
    #[error(
        "no agent at {}: there is no such socket. Start `netpol-agent run` on this node, or name \
         the agent's socket with --socket or NETPOL_SOCKET, or a cluster with --kubeconfig",
        .0.display()
    )]
    NoSocket(PathBuf),
    #[error(
        "no agent at {}: the socket is there, but nobody listens. The agent has ended (what it \
         programmed stays in force); start `netpol-agent run` again", .0.display()
    )]
    NobodyListens(PathBuf),
    #[error(
        "the agent's socket {} is root's: run this as root (sudo), or ask through the API server \
         with --kubeconfig", .0.display()
    )]
    NotAllowed(PathBuf),
    #[error("{0}")]
    NoPod(String),
    #[error("cannot talk to the agent")]
    Connection(#[source] io::Error),
    #[error(transparent)]
    Cluster(ClusterError),
    #[error("the relay in pod {pod} ended: {said}")]
    Relay { pod: String, said: String },
    #[error(
        "the agent did not answer within {} s. See its log for what it is doing; `netpolctl wait` \
         waits for as long as you say", .0.as_secs()
    )]
    Silent(Duration),
    #[error("the agent closed the connection before it had answered. See its log for why")]
    HungUp,
    #[error("the agent has ended. What it programmed stays in force")]
    Ended,
    #[error(
        "the agent's answer is not one of API version {API_VERSION}, which this netpolctl {} \
         speaks: use the netpolctl of the agent's release (`netpol-agent --version`)",
        env!("CARGO_PKG_VERSION")
    )]
    OtherVersion(#[source] serde_json::Error),
    #[error("the agent answered something else than was asked. Please report this as a bug")]
    OtherAnswer,
    #[error("the agent says: {0}")]
    Said(String),
}

impl AgentError {
    /// Nobody is there, or nobody any more: a start of the agent would change that.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoSocket(_)
                | Self::NobodyListens(_)
                | Self::NoPod(_)
                | Self::HungUp
                | Self::Ended
                | Self::Relay { .. }
                | Self::Cluster(ClusterError::NotFound { .. })
        )
    }

    /// The error and what is behind it, in one line.
    pub(crate) fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text += &format!(": {error}");
            source = error.source();
        }
        text
    }
}

impl From<io::Error> for AgentError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => Self::HungUp,
            _ => Self::Connection(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_hangs_up_is_no_reader_that_has_seen_enough() {
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset] {
            let error = AgentError::from(io::Error::from(kind));
            assert!(matches!(error, AgentError::HungUp), "{error:?}");
        }
    }
}
