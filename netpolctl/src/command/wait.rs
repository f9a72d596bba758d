//! `netpolctl wait`

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use netpol_api::{Call, Reply, WaitOutcome};

use super::{Context, expect_reply};
use crate::agent::AgentError;
use crate::exit::Exit;
use crate::output::style::{BAD, GOOD, paint};
use crate::output::{self, time, units};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # after writing manifests: go on once they are in force
  netpolctl wait && ./run-my-tests

  # be content with nothing slower than five seconds
  netpolctl wait --timeout 5s

An agent that is not there yet is waited for as well. Exit code 0 when every local pod enforces what
is on disk now; 1 when the time is up, with one sentence for each thing that is missing.";

/// How much longer than it was asked to wait an agent may take to answer.
const GRACE: Duration = Duration::from_secs(5);
/// Pause between two looks for an agent that is not there.
const RETRY: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Give up after this long
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = time::parse_duration)]
    timeout: Duration,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let outcome = wait(context, arguments.timeout)?;
    output::print(context.format, &outcome, |_| text(&outcome))?;
    Ok(if outcome.enforced {
        Exit::Success
    } else {
        Exit::Failure
    })
}

fn wait(context: &Context, timeout: Duration) -> Result<WaitOutcome, AgentError> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let call = Call::Wait {
            timeout_ms: left.as_millis().try_into().unwrap_or(u64::MAX),
        };
        match context.agent.ask_for(call, left + GRACE) {
            Err(error) if error.is_absence() => {
                if left.is_zero() {
                    return Ok(absent(&error));
                }
                thread::sleep(RETRY.min(left));
            }
            reply => return expect_reply!(reply?, Reply::Wait),
        }
    }
}

/// The outcome of waiting for an agent that did not come.
fn absent(error: &AgentError) -> WaitOutcome {
    WaitOutcome {
        enforced: false,
        endpoints_enforced: 0,
        endpoints: 0,
        missing: vec![error.to_string()],
    }
}

fn text(outcome: &WaitOutcome) -> String {
    let WaitOutcome {
        endpoints_enforced,
        endpoints,
        ..
    } = outcome;
    if outcome.enforced {
        let pods = units::count(*endpoints, "local pod", "local pods");
        return format!("{}: {pods}\n", paint(GOOD, "Enforced"));
    }
    let mut text = format!(
        "{}: {endpoints_enforced} of {endpoints} local pods enforce what is on disk\n",
        paint(BAD, "Time is up"),
    );
    for sentence in &outcome.missing {
        text += &format!("  {sentence}\n");
    }
    text
}
