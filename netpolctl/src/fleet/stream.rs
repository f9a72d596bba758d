//! Answers that go on coming, of all agents at once.

use std::time::Duration;

use netpol_api::{Call, Reply};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Fleet;
use super::member::Member;
use crate::agent::{AgentError, PATIENCE};

/// Answers under way: an agent that has more to say waits.
const QUEUE: usize = 256;
/// The pause before an agent that has ended is looked for: first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What to do about an agent that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Its answers are over.
    No,
    /// Look for the next one of its node, again and again. Its answers may take any time.
    Asking,
}

/// What one node's agent is heard to say.
#[derive(Debug)]
pub(crate) struct Heard {
    /// None: the agent of a socket.
    pub(crate) node: Option<String>,
    pub(crate) what: Result<Coming, AgentError>,
}

/// What comes.
#[derive(Debug)]
pub(crate) enum Coming {
    /// An answer.
    Reply(Box<Reply>),
    /// The agent is done.
    End,
}

impl Fleet {
    /// Asks all agents the same, and hears them as they answer.
    pub(crate) fn listen(&self, call: &Call, follow: bool, keep: Keep) -> mpsc::Receiver<Heard> {
        let (sender, heard) = mpsc::channel(QUEUE);
        for member in &self.members {
            let listener = Listener {
                member: member.clone(),
                call: call.clone(),
                patience: (!follow).then_some(PATIENCE),
                keep,
                sender: sender.clone(),
            };
            tokio::spawn(listener.run());
        }
        heard
    }
}

struct Listener {
    member: Member,
    call: Call,
    patience: Option<Duration>,
    keep: Keep,
    sender: mpsc::Sender<Heard>,
}

impl Listener {
    /// Until nobody listens any more, or the agent is done.
    async fn run(mut self) {
        let mut pause = AGAIN.0;
        loop {
            let last = self.hear(&mut pause).await;
            if !self.tell(last).await || self.keep == Keep::No {
                return;
            }
            tokio::select! {
                () = self.sender.closed() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(AGAIN.1);
            self.member.find_again().await;
        }
    }

    /// Hands on what the agent says, up to its end.
    async fn hear(&self, pause: &mut Duration) -> Result<Coming, AgentError> {
        let agent = self.member.agent()?;
        let mut replies = agent.open(self.call.clone(), self.patience).await?;
        loop {
            let reply = tokio::select! {
                () = self.sender.closed() => return Ok(Coming::End),
                reply = replies.next() => reply?,
            };
            match reply {
                None => return Err(AgentError::Ended),
                Some(Reply::Done) => return Ok(Coming::End),
                Some(reply) => {
                    *pause = AGAIN.0;
                    if !self.tell(Ok(Coming::Reply(Box::new(reply)))).await {
                        return Ok(Coming::End);
                    }
                }
            }
        }
    }

    async fn tell(&self, what: Result<Coming, AgentError>) -> bool {
        let node = self.member.node.clone();
        self.sender.send(Heard { node, what }).await.is_ok()
    }
}
