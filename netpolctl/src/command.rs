//! The subcommands, one file each: its arguments, its examples, what it shows.

use anyhow::Result;
use netpol_api::{Call, Reply};

use crate::agent::AgentError;
use crate::fleet::{Answers, Fleet};
use crate::output::Format;
use crate::way::Way;

pub(crate) mod conntrack;
pub(crate) mod endpoints;
pub(crate) mod evaluate;
pub(crate) mod flows;
pub(crate) mod policies;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod wait;

/// What every subcommand that asks agents is given.
pub(crate) struct Context {
    /// The agents, not yet asked.
    pub(crate) fleet: Fleet,
    /// How they were found, to find them again.
    pub(crate) way: Way,
    /// How to print.
    pub(crate) format: Format,
}

impl Context {
    /// The answers of all agents to one question.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        call: Call,
        pick: fn(Reply) -> Option<T>,
    ) -> Result<Answers<T>, AgentError> {
        self.fleet.ask(call, pick).await
    }
}

/// Picks what the expected variant of a reply carries.
macro_rules! variant {
    ($variant:path) => {
        |reply| match reply {
            $variant(data) => Some(data),
            _ => None,
        }
    };
}
pub(crate) use variant;

/// A reply that carries nothing.
#[expect(clippy::needless_pass_by_value, reason = "one of those that pick")]
fn done(reply: Reply) -> Option<()> {
    matches!(reply, Reply::Done).then_some(())
}
