//! `netpolctl flows`

use std::collections::BTreeSet;

use anyhow::Result;
use clap::{Args, ValueEnum};
use netpol_api::{Call, Direction, Flow, ObjectName, Reply, Verdict};

use self::line::Lines;
use super::{Context, variant};
use crate::agent::AgentError;
use crate::exit::Exit;
use crate::filter::{NameArgument, Namespaces};
use crate::fleet::{Coming, Heard, Keep, OnNode, Unanswered};
use crate::output::{self, Format};

mod line;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # the latest flows the agent remembers
  netpolctl flows

  # what is being refused right now, and why
  netpolctl flows -f --verdict deny

  # everything from and to one pod, as JSON lines
  netpolctl flows -f --pod payments/gateway -o json

A flow is a new connection or a denied packet, told by the pod that judged it: one line for each end.
Times are UTC. -o json prints one object a line; {\"unanswered\": ...} among them is a node that does
not answer. Over a cluster -f goes on with a node whose agent was replaced.";

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

pub(crate) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let filter = Filter::new(arguments)?;
    let follow = arguments.follow;
    let cluster = context.fleet.cluster().is_some();
    let keep = if follow && cluster {
        Keep::Asking
    } else {
        Keep::No
    };
    let mut heard = context.fleet.listen(&Call::Flows { follow }, follow, keep);
    let mut printer = Printer::new(context, follow);
    while let Some(Heard { node, what }) = heard.recv().await {
        match what {
            Ok(Coming::Reply(reply)) => {
                let Some(flow) = variant!(Reply::Flow)(*reply) else {
                    return Err(AgentError::OtherAnswer.into());
                };
                if filter.shows(&flow) {
                    printer.take(OnNode { node, data: *flow })?;
                }
            }
            Ok(Coming::End) => {}
            Err(error) if cluster => printer.unanswered(node, error.sentence())?,
            Err(error) => return Err(error.into()),
        }
    }
    printer.finish()
}

/// Prints flows: those that come as they come, those of the past in the order of time.
struct Printer {
    format: Format,
    lines: Lines,
    follow: bool,
    past: Vec<OnNode<Flow>>,
    missing: BTreeSet<Unanswered>,
}

impl Printer {
    fn new(context: &Context, follow: bool) -> Self {
        Self {
            format: context.format,
            lines: Lines::new(context.fleet.cluster().is_some()),
            follow,
            past: Vec::new(),
            missing: BTreeSet::new(),
        }
    }

    fn take(&mut self, flow: OnNode<Flow>) -> Result<()> {
        if !self.follow {
            self.past.push(flow);
            return Ok(());
        }
        // Its agent is back: should it go again, that is said again.
        self.missing
            .retain(|gone| Some(&gone.node) != flow.node.as_ref());
        self.print(&flow)
    }

    fn print(&mut self, flow: &OnNode<Flow>) -> Result<()> {
        let Self { format, lines, .. } = self;
        output::print_next(*format, flow, |detail| lines.next(flow, detail))
    }

    /// A node whose flows are missing: said once, to people and to machines.
    fn unanswered(&mut self, node: Option<String>, reason: String) -> Result<()> {
        let node = node.unwrap_or_default();
        let gone = Unanswered { node, reason };
        if self.missing.insert(gone.clone()) {
            let Unanswered { node, reason } = &gone;
            output::warn(&format!("no flows of node {node}: {reason}"));
            if self.format.detail().is_none() {
                let unanswered = serde_json::json!({ "unanswered": gone });
                output::print_next(self.format, &unanswered, |_| String::new())?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Exit> {
        let mut past = std::mem::take(&mut self.past);
        past.sort_by(|a, b| a.data.time.total_cmp(&b.data.time));
        for flow in &past {
            self.print(flow)?;
        }
        Ok(match self.missing.is_empty() {
            true => Exit::Success,
            false => Exit::Failure,
        })
    }
}

/// Which flows are shown.
#[derive(Debug)]
struct Filter {
    namespaces: Namespaces,
    pod: Option<ObjectName>,
    verdict: Option<WantedVerdict>,
}

impl Filter {
    fn new(arguments: &Arguments) -> Result<Self> {
        let namespaces = arguments.namespaces.clone();
        let pod = arguments.pod.as_ref();
        Ok(Self {
            pod: pod.map(|p| namespaces.resolve(p)).transpose()?,
            namespaces,
            verdict: arguments.verdict,
        })
    }

    /// A flow is shown when either of its sides is asked for.
    fn shows(&self, flow: &Flow) -> bool {
        let mut pods = [&flow.endpoint.pod, &flow.peer.pod].into_iter().flatten();
        let verdict = self.verdict.is_none_or(|wanted| match wanted {
            WantedVerdict::Allow => flow.verdict == Verdict::Allow,
            WantedVerdict::Deny => flow.verdict != Verdict::Allow,
        });
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
