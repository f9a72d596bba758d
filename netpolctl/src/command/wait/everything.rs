//! Waiting until every pod enforces its policies.

use std::time::Duration;

use anyhow::Result;
use netpol_api::{Call, Reply, WaitOutcome};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::super::Context;
use crate::agent::AgentError;
use crate::exit::Exit;
use crate::fleet::{Answers, Member, OnNode};
use crate::output::style::{BAD, GOOD, paint};
use crate::output::{self, units};

/// How much longer than it was asked to wait an agent may take to answer.
const GRACE: Duration = Duration::from_secs(5);
/// Pause between two looks for an agent that is not there: by its socket, and in a cluster.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(super) async fn run(context: &Context, deadline: Instant) -> Result<Exit> {
    // Who waits is no burden, and the last one waited for may be the first to be done.
    let everyone = Semaphore::MAX_PERMITS;
    let waiting = |member| wait(member, deadline);
    let answers = context.fleet.each(everyone, waiting).await?;
    let outcome = merge(&answers);
    output::print(context.format, &outcome, |_| text(&outcome))?;
    Ok(if outcome.sum.enforced {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// Waits for the agent, and for what it waits for.
async fn wait(mut member: Member, deadline: Instant) -> Result<WaitOutcome, AgentError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let call = Call::Wait {
            timeout_ms: left.as_millis().try_into().unwrap_or(u64::MAX),
        };
        let reply = match member.agent() {
            Ok(agent) => agent.ask(call, left + GRACE).await,
            Err(error) => Err(error),
        };
        match reply {
            Err(error) if error.is_absence() => {
                if left.is_zero() {
                    return Ok(absent(&error));
                }
                let pause = member.node.as_ref().map_or(RETRY.0, |_| RETRY.1);
                sleep(pause.min(left)).await;
                member.find_again().await;
            }
            Err(error) => return Err(error),
            Ok(Reply::Wait(outcome)) => return Ok(outcome),
            Ok(_) => return Err(AgentError::OtherAnswer),
        }
    }
}

/// The outcome of waiting for an agent that did not come.
fn absent(error: &AgentError) -> WaitOutcome {
    WaitOutcome {
        enforced: false,
        endpoints_enforced: 0,
        endpoints: 0,
        missing: vec![error.sentence()],
    }
}

/// What all nodes together say.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    sum: WaitOutcome,
    /// Of a cluster: each node's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<OnNode<WaitOutcome>>,
}

fn merge(answers: &Answers<WaitOutcome>) -> Outcome {
    let mut sum = WaitOutcome {
        enforced: answers.unanswered().is_empty(),
        endpoints_enforced: 0,
        endpoints: 0,
        missing: Vec::new(),
    };
    for OnNode { node, data } in &answers.answered {
        sum.enforced &= data.enforced;
        sum.endpoints_enforced += data.endpoints_enforced;
        sum.endpoints += data.endpoints;
        let on_node = |sentence: &String| match node {
            Some(node) => format!("{node}: {sentence}"),
            None => sentence.clone(),
        };
        sum.missing.extend(data.missing.iter().map(on_node));
    }
    let unanswered = answers.unanswered().iter();
    let sentences = unanswered.map(|gone| format!("{}: {}", gone.node, gone.reason));
    sum.missing.extend(sentences);
    let nodes = match answers.is_cluster() {
        true => answers.answered.clone(),
        false => Vec::new(),
    };
    Outcome { sum, nodes }
}

fn text(outcome: &Outcome) -> String {
    let WaitOutcome {
        enforced,
        endpoints_enforced,
        endpoints,
        missing,
    } = &outcome.sum;
    let cluster = !outcome.nodes.is_empty();
    if *enforced {
        let pods = match cluster {
            true => units::count(*endpoints, "pod", "pods"),
            false => units::count(*endpoints, "local pod", "local pods"),
        };
        let nodes = match outcome.nodes.len() {
            0 => String::new(),
            nodes => format!(" on {}", units::count(nodes as u64, "node", "nodes")),
        };
        return format!("{}: {pods}{nodes}\n", paint(GOOD, "Enforced"));
    }
    let what = match cluster {
        true => "pods enforce their policies",
        false => "local pods enforce their policies",
    };
    let mut text = format!(
        "{}: {endpoints_enforced} of {endpoints} {what}\n",
        paint(BAD, "Time is up"),
    );
    for sentence in missing {
        text += &format!("  {sentence}\n");
    }
    text
}
