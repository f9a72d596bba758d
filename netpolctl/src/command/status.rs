//! `netpolctl status`

use anyhow::Result;
use netpol_api::{Call, EndpointState, Reply, Status};

use super::{Context, expect_reply};
use crate::exit::Exit;
use crate::output;

mod report;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # one sentence first: does this node enforce? then what is wrong, if anything is
  netpolctl status

  # with every endpoint and every table
  netpolctl status -o wide

  # in a script
  netpolctl status > /dev/null || echo 'this node does not enforce its policies'

Exit code 0 when every local pod enforces the policies, 1 when not.";

pub(crate) fn run(context: &Context) -> Result<Exit> {
    let reply = context.agent.ask(Call::Status)?;
    let mut status = expect_reply!(reply, Reply::Status)?;
    status.endpoints.sort_by(|a, b| a.pod.cmp(&b.pod));
    output::print(context.format, &status, |detail| {
        report::text(&status, detail)
    })?;
    Ok(if status.enforcing {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// How many endpoints are in which state.
#[derive(Debug, Default)]
struct Tally {
    enforced: u64,
    pending: u64,
    closed: u64,
}

impl Tally {
    fn of(status: &Status) -> Self {
        let mut tally = Self::default();
        for endpoint in &status.endpoints {
            match endpoint.state {
                EndpointState::Enforced => tally.enforced += 1,
                EndpointState::Pending { .. } => tally.pending += 1,
                EndpointState::Closed { .. } => tally.closed += 1,
            }
        }
        tally
    }
}
