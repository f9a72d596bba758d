//! The ways to an agent: its socket on this machine, and exec into its pod through the API server.
//!
//! ```text
//! netpolctl ─────────────────────────────────────────────── socket ── agent
//! netpolctl ── API server ── kubelet ── exec ── relay ───── socket ── agent
//! ```
//! Either way one line of JSON asks, and lines of JSON answer.

use std::fmt;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::agent::AgentError;

pub(crate) mod exec;
pub(crate) mod relay;
mod socket;

/// A way to one agent; nothing is opened yet.
#[derive(Clone)]
pub(crate) enum Transport {
    /// The agent's socket on this machine.
    Socket(PathBuf),
    /// The agent's pod.
    Exec(Box<exec::Target>),
    /// A stand-in for an agent.
    #[cfg(test)]
    Memory(std::sync::Arc<dyn Fn() -> Result<Connection, AgentError> + Send + Sync>),
}

/// An open way: what is written is asked, what is read is answered.
pub(crate) struct Connection {
    pub(crate) asking: Box<dyn AsyncWrite + Send + Unpin>,
    pub(crate) answers: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) end: End,
}

/// What there is to say of a connection that has ended.
pub(crate) enum End {
    /// A socket says nothing.
    Silent,
    /// The process at the other end says why.
    Process(Box<exec::Process>),
}

impl Transport {
    /// Opens it.
    pub(crate) async fn open(&self) -> Result<Connection, AgentError> {
        match self {
            Self::Socket(path) => socket::open(path).await,
            Self::Exec(target) => target.open().await,
            #[cfg(test)]
            Self::Memory(open) => open(),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Exec(target) => write!(f, "{target:?}"),
            #[cfg(test)]
            Self::Memory(_) => f.write_str("memory"),
        }
    }
}

impl End {
    /// Why the connection ended before it had answered.
    pub(crate) async fn explain(self) -> AgentError {
        match self {
            Self::Silent => AgentError::HungUp,
            Self::Process(process) => process.explain().await,
        }
    }
}
