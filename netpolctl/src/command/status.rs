//! `netpolctl status`

use anyhow::Result;
use clap::Args;
use netpol_api::{Call, EndpointState, Reply, Status};

use super::{Context, variant};
use crate::cluster::Cluster;
use crate::exit::Exit;
use crate::output;
use crate::proof::argument::{PolicyArgument, Selection};

mod cluster;
mod policies;
mod report;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # one sentence first: is everything enforced? then what is wrong, if anything is
  netpolctl status

  # the proof that a policy is in force: node by node, pod by pod, since when
  netpolctl status networkpolicy/web -n shop

  # with every endpoint and every table
  netpolctl status -o wide

  # in a script
  netpolctl status > /dev/null || echo 'some policies are not enforced'

Exit code 0 when every pod of every node enforces its policies; 1 when not, or when a node does not
answer. Of a policy: 0 when it is in force, as it is now, on every pod it selects.";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Policies to prove: networkpolicy/NAME, or short netpol/NAME
    #[arg(value_name = "networkpolicy/NAME")]
    policies: Vec<PolicyArgument>,
    /// The policies' namespace, if not that of the kubeconfig's context
    #[arg(short, long, value_name = "NS", requires = "policies")]
    namespace: Option<String>,
}

pub(crate) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let Arguments {
        policies,
        namespace,
    } = arguments;
    if policies.is_empty() {
        return overview(context).await;
    }
    let default = context.fleet.cluster().map(Cluster::namespace);
    let selection = Selection::new(policies, namespace.as_deref(), false, default)?;
    policies::run(context, &selection).await
}

async fn overview(context: &Context) -> Result<Exit> {
    let mut answers = context.ask(Call::Status, variant!(Reply::Status)).await?;
    for status in &mut answers.answered {
        status.data.endpoints.sort_by(|a, b| a.pod.cmp(&b.pod));
    }
    let all = answers.answered.iter().all(|status| status.data.enforcing);
    let enforcing = all && answers.unanswered().is_empty();
    match answers.answered.as_slice() {
        [one] if !answers.is_cluster() => {
            let status = &one.data;
            output::print(context.format, status, |detail| {
                report::text(status, detail)
            })?;
        }
        _ => {
            let overview = cluster::Overview::new(enforcing, &answers);
            output::print(context.format, &overview, |detail| {
                cluster::text(&overview, detail)
            })?;
        }
    }
    Ok(answers.conclude(if enforcing {
        Exit::Success
    } else {
        Exit::Failure
    }))
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
