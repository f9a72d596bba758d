//! `netpolctl wait`

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tokio::time::Instant;

use super::Context;
use crate::cluster::Cluster;
use crate::exit::Exit;
use crate::output::time;
use crate::proof::argument::{PolicyArgument, Selection};

mod everything;
mod policies;
mod progress;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # after kubectl apply: go on once this policy, as it is now, is in force on every pod it selects
  netpolctl wait networkpolicy/web -n shop && ./run-my-tests

  # all policies of a namespace, or of all namespaces, and no longer than ten seconds
  netpolctl wait --all -n shop --timeout 10s
  netpolctl wait --all -A

  # everything that agents have to do, new pods included
  netpolctl wait

Which pods a policy selects, and its generation, are the API server's word; what is in force is what
each node's agent has read back from its kernel. An agent that is away or behind is waited for. Pods
that have no address yet are not. By an agent's socket, its own word counts for both.

Exit code 0 when all of it is in force; 1 when the time is up, with one sentence for each thing that
is missing, and when a policy is not valid, which no waiting changes.";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Policies: networkpolicy/NAME, or short netpol/NAME; without any, everything
    #[arg(value_name = "networkpolicy/NAME")]
    policies: Vec<PolicyArgument>,
    /// The policies' namespace, if not that of the kubeconfig's context
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// All policies of the namespace
    #[arg(long, conflicts_with = "policies")]
    all: bool,
    /// With --all: of all namespaces
    #[arg(short = 'A', long, requires = "all", conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Give up after this long
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = time::parse_duration)]
    timeout: Duration,
}

pub(crate) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let deadline = Instant::now() + arguments.timeout;
    let Arguments {
        policies,
        namespace,
        all,
        all_namespaces,
        ..
    } = arguments;
    if policies.is_empty() && !all {
        return everything::run(context, deadline).await;
    }
    let default = context.fleet.cluster().map(Cluster::namespace);
    let selection = Selection::new(policies, namespace.as_deref(), *all_namespaces, default)?;
    policies::run(context, &selection, deadline).await
}
