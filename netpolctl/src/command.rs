//! The subcommands, one file each: its arguments, its examples, what it shows.

use netpol_api::Reply;

use crate::agent::{Agent, AgentError};
use crate::cli::Global;
use crate::output::Format;

pub(crate) mod conntrack;
pub(crate) mod endpoints;
pub(crate) mod evaluate;
pub(crate) mod flows;
pub(crate) mod policies;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod wait;

/// What every subcommand is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// The agent, not yet asked.
    pub(crate) agent: Agent,
    /// How to print.
    pub(crate) format: Format,
}

impl Context {
    /// From the options that every subcommand has.
    pub(crate) fn new(global: Global) -> Self {
        Self {
            agent: Agent::new(global.socket),
            format: global.output,
        }
    }
}

/// The expected variant of a reply.
macro_rules! expect_reply {
    ($reply:expr, $variant:path) => {
        match $reply {
            $variant(data) => Ok(data),
            _ => Err($crate::agent::AgentError::OtherAnswer),
        }
    };
}
pub(crate) use expect_reply;

/// A reply that carries nothing.
fn expect_done(reply: &Reply) -> Result<(), AgentError> {
    match reply {
        Reply::Done => Ok(()),
        _ => Err(AgentError::OtherAnswer),
    }
}
