//! `netpolctl flows`

use anyhow::Result;
use clap::{Args, ValueEnum};
use netpol_api::{Direction, Flow, ObjectName, Reply, Verdict};

use self::line::Lines;
use super::Context;
use crate::agent::AgentError;
use crate::exit::Exit;
use crate::filter::{NameArgument, Namespaces};
use crate::output;

mod line;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # the latest flows the agent remembers
  netpolctl flows

  # what is being refused right now, and why
  netpolctl flows -f --verdict deny

  # everything from and to one pod, as JSON lines
  netpolctl flows -f --pod payments/gateway -o json

A flow is a new connection or a denied packet, told by the pod that judged it: one line for each end
on this node. Times are UTC. -o json prints one object a line.";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    namespaces: Namespaces,
    /// Only flows from or to this pod
    #[arg(long, value_name = "NS/NAME")]
    pod: Option<NameArgument>,
    /// Only flows with this verdict
    #[arg(long, value_enum)]
    verdict: Option<WantedVerdict>,
    /// Go on with those that come, until interrupted
    #[arg(short, long)]
    follow: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WantedVerdict {
    Allow,
    Deny,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let filter = Filter::new(arguments)?;
    let mut lines = Lines::default();
    for reply in context.agent.stream(arguments.follow)? {
        let flow = match reply? {
            Reply::Flow(flow) => flow,
            Reply::Done => return Ok(Exit::Success),
            _ => return Err(AgentError::OtherAnswer.into()),
        };
        if filter.shows(&flow) {
            output::print_next(context.format, &flow, |detail| lines.next(&flow, detail))?;
        }
    }
    Err(AgentError::FlowsEnded.into())
}

/// Which flows are shown.
#[derive(Debug)]
struct Filter {
    namespaces: Namespaces,
    pod: Option<ObjectName>,
    verdict: Option<Verdict>,
}

impl Filter {
    fn new(arguments: &Arguments) -> Result<Self> {
        let namespaces = arguments.namespaces.clone();
        let pod = arguments.pod.as_ref();
        Ok(Self {
            pod: pod.map(|p| namespaces.resolve(p)).transpose()?,
            namespaces,
            verdict: arguments.verdict.map(|v| match v {
                WantedVerdict::Allow => Verdict::Allow,
                WantedVerdict::Deny => Verdict::Deny,
            }),
        })
    }

    /// A flow is shown when either of its sides is asked for.
    fn shows(&self, flow: &Flow) -> bool {
        let mut pods = [&flow.endpoint.pod, &flow.peer.pod].into_iter().flatten();
        let verdict = self.verdict.is_none_or(|v| v == flow.verdict);
        let side = match &self.pod {
            Some(pod) => pods.any(|p| p == pod),
            None => !self.namespaces.is_one() || pods.any(|p| self.namespaces.contain(p)),
        };
        verdict && side
    }
}

/// Who sent the packet and who was to get it.
fn from_to(flow: &Flow) -> (&netpol_api::Peer, &netpol_api::Peer) {
    match flow.direction {
        Direction::Egress => (&flow.endpoint, &flow.peer),
        Direction::Ingress => (&flow.peer, &flow.endpoint),
    }
}
