//! One agent: one line of JSON asks, lines of JSON answer.

use std::io;
use std::time::Duration;

use netpol_api::{Call, Reply, Request};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

pub(crate) use self::error::AgentError;
use crate::transport::{End, Transport};

mod error;

/// How long an answer that the agent has at hand may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An agent, not yet asked.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    transport: Transport,
}

impl Agent {
    /// The agent at the other end of `transport`.
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport }
    }

    /// One question, one answer, which may take as long as `patience`.
    pub(crate) async fn ask(&self, call: Call, patience: Duration) -> Result<Reply, AgentError> {
        let answer = async { self.open(call, None).await?.next().await };
        let answer = timeout(patience, answer).await;
        answer
            .map_err(|_| AgentError::Silent(patience))??
            .ok_or(AgentError::HungUp)
    }

    /// One question, answers until the agent is done. Each comes within `patience`, if there is a
    /// limit.
    pub(crate) async fn open(
        &self,
        call: Call,
        patience: Option<Duration>,
    ) -> Result<Replies, AgentError> {
        let connect = async {
            let mut connection = self.transport.open().await?;
            let mut line = serde_json::to_vec(&Request::new(call)).map_err(io::Error::from)?;
            line.push(b'\n');
            connection.asking.write_all(&line).await?;
            connection.asking.flush().await?;
            Ok::<_, AgentError>(connection)
        };
        let connection = match timeout(PATIENCE, connect).await {
            Ok(connected) => connected?,
            Err(_) => return Err(AgentError::Silent(PATIENCE)),
        };
        Ok(Replies {
            _asking: connection.asking,
            lines: BufReader::new(connection.answers),
            end: Some(connection.end),
            patience,
            answered: false,
        })
    }
}

/// The answers to one question.
pub(crate) struct Replies {
    /// Closed, it would tell the agent that nobody listens.
    _asking: Box<dyn AsyncWrite + Send + Unpin>,
    lines: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    end: Option<End>,
    patience: Option<Duration>,
    answered: bool,
}

impl Replies {
    /// The next answer; none at the end. An end without any answer is an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Reply>, AgentError> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line);
        let read = match self.patience {
            None => read.await,
            Some(patience) => timeout(patience, read)
                .await
                .map_err(|_| AgentError::Silent(patience))?,
        };
        if read? == 0 {
            return match (self.answered, self.end.take()) {
                (false, Some(end)) => Err(end.explain().await),
                _ => Ok(None),
            };
        }
        self.answered = true;
        match serde_json::from_str(&line).map_err(AgentError::OtherVersion)? {
            Reply::Error(sentence) => Err(AgentError::Said(sentence)),
            reply => Ok(Some(reply)),
        }
    }
}
