//! The agent's socket on this machine.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;

use super::{Connection, End};
use crate::agent::AgentError;

/// Connects to the agent at `path`.
pub(super) async fn open(path: &Path) -> Result<Connection, AgentError> {
    let stream = UnixStream::connect(path).await;
    let (answers, asking) = stream.map_err(|e| failure(path, e))?.into_split();
    Ok(Connection {
        asking: Box::new(asking),
        answers: Box::new(answers),
        end: End::Silent,
    })
}

fn failure(path: &Path, error: io::Error) -> AgentError {
    let socket = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => AgentError::NoSocket(socket),
        io::ErrorKind::ConnectionRefused => AgentError::NobodyListens(socket),
        io::ErrorKind::PermissionDenied => AgentError::NotAllowed(socket),
        _ => AgentError::Connection(error),
    }
}
