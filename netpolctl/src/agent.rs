//! The agent's socket: one line of JSON asks, lines of JSON answer.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netpol_api::{API_VERSION, Call, Reply, Request};
use thiserror::Error;

/// How long an answer that the agent has at hand may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The agent behind a socket.
#[derive(Debug)]
pub(crate) struct Agent {
    socket: PathBuf,
}

/// Why there is no answer, and what would help.
#[derive(Debug, Error)]
pub(crate) enum AgentError {
    #[error(
        "no agent at {}: there is no such socket. Start `netpol-agent run` on this node, or name \
         the agent's socket with --socket or NETPOL_SOCKET", .0.display()
    )]
    NoSocket(PathBuf),
    #[error(
        "no agent at {}: the socket is there, but nobody listens. The agent has ended (what it \
         programmed stays in force); start `netpol-agent run` again", .0.display()
    )]
    NobodyListens(PathBuf),
    #[error("the agent's socket {} is root's: run this as root (sudo)", .0.display())]
    NotAllowed(PathBuf),
    #[error("cannot talk to the agent at {}", socket.display())]
    Connection { socket: PathBuf, source: io::Error },
    #[error(
        "the agent did not answer within {} s. See its log for what it is doing; `netpolctl wait` \
         waits for as long as you say", .0.as_secs()
    )]
    Silent(Duration),
    #[error("the agent closed the connection before it had answered. See its log for why")]
    HungUp,
    #[error("the agent has ended, and the flows with it. What it programmed stays in force")]
    FlowsEnded,
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
            Self::NoSocket(_) | Self::NobodyListens(_) | Self::HungUp
        )
    }
}

impl Agent {
    /// The agent behind `socket`; nothing is opened yet.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// One question, one answer.
    pub(crate) fn ask(&self, call: Call) -> Result<Reply, AgentError> {
        self.ask_for(call, PATIENCE)
    }

    /// One question, one answer, which may take as long as `patience`.
    pub(crate) fn ask_for(&self, call: Call, patience: Duration) -> Result<Reply, AgentError> {
        let mut replies = self.open(call, Some(patience))?;
        replies.next().unwrap_or(Err(AgentError::HungUp))
    }

    /// One question, answers until the agent is done or, with `follow`, for ever.
    pub(crate) fn stream(&self, follow: bool) -> Result<Replies, AgentError> {
        self.open(Call::Flows { follow }, (!follow).then_some(PATIENCE))
    }

    fn open(&self, call: Call, patience: Option<Duration>) -> Result<Replies, AgentError> {
        let connection = |e| failure(&self.socket, e);
        let mut stream = UnixStream::connect(&self.socket).map_err(connection)?;
        stream.set_read_timeout(patience).map_err(connection)?;
        let mut line = serde_json::to_vec(&Request::new(call)).map_err(|e| connection(e.into()))?;
        line.push(b'\n');
        stream.write_all(&line).map_err(connection)?;
        Ok(Replies {
            socket: self.socket.clone(),
            lines: BufReader::new(stream),
            patience: patience.unwrap_or_default(),
        })
    }
}

fn failure(socket: &Path, error: io::Error) -> AgentError {
    let socket = socket.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => AgentError::NoSocket(socket),
        io::ErrorKind::ConnectionRefused => AgentError::NobodyListens(socket),
        io::ErrorKind::PermissionDenied => AgentError::NotAllowed(socket),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => AgentError::HungUp,
        _ => AgentError::Connection {
            socket,
            source: error,
        },
    }
}

/// The answers to one question.
#[derive(Debug)]
pub(crate) struct Replies {
    socket: PathBuf,
    lines: BufReader<UnixStream>,
    patience: Duration,
}

impl Replies {
    fn read(&mut self) -> Result<Option<Reply>, AgentError> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return Err(AgentError::Silent(self.patience));
            }
            Err(error) => return Err(failure(&self.socket, error)),
        }
        match serde_json::from_str(&line).map_err(AgentError::OtherVersion)? {
            Reply::Error(sentence) => Err(AgentError::Said(sentence)),
            reply => Ok(Some(reply)),
        }
    }
}

impl Iterator for Replies {
    type Item = Result<Reply, AgentError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_hangs_up_is_no_reader_that_has_seen_enough() {
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset] {
            let error = failure(Path::new("agent.sock"), kind.into());
            assert!(matches!(error, AgentError::HungUp), "{error:?}");
        }
    }
}
