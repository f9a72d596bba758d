//! `netpolctl endpoints`

use anyhow::Result;
use clap::Args;
use netpol_api::{Call, Endpoint, EndpointState, Isolation, Reply};

use super::{Context, expect_reply};
use crate::exit::Exit;
use crate::filter::{NameArgument, Namespaces};
use crate::output::table::{Column, Table, bad, cell, good, warn};
use crate::output::{self, Detail};
use crate::wording;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # every local pod
  netpolctl endpoints

  # those of one namespace, with interfaces, generations and all policies
  netpolctl endpoints -n payments -o wide

  # pods whose policies are not in force
  netpolctl endpoints -o json | jq '.[] | select(.state.state != \"enforced\")'";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    namespaces: Namespaces,
    /// Only this pod
    #[arg(long, value_name = "NS/NAME")]
    pod: Option<NameArgument>,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let Arguments { namespaces, pod } = arguments;
    let pod = pod.as_ref().map(|p| namespaces.resolve(p)).transpose()?;
    let reply = context.agent.ask(Call::Endpoints)?;
    let mut endpoints = expect_reply!(reply, Reply::Endpoints)?;
    endpoints.retain(|e| namespaces.contain(&e.pod) && pod.as_ref().is_none_or(|p| *p == e.pod));
    endpoints.sort_by(|a, b| a.pod.cmp(&b.pod));
    if endpoints.is_empty() {
        output::note("No such endpoints on this node.");
    }
    output::print(context.format, &endpoints, |detail| {
        table(&endpoints, detail)
    })?;
    Ok(Exit::Success)
}

fn table(endpoints: &[Endpoint], detail: Detail) -> String {
    let mut columns = vec![
        Column::Text("NAMESPACE"),
        Column::Text("POD"),
        Column::Text("ADDRESSES"),
        Column::Word("STATE"),
        Column::Text("INGRESS"),
        Column::Text("EGRESS"),
    ];
    if detail == Detail::Wide {
        columns.extend([
            Column::Word("INTERFACE"),
            Column::Number("IFINDEX"),
            Column::Number("GENERATION"),
            Column::Text("REASON"),
        ]);
    }
    let mut table = Table::new(detail, &columns);
    for endpoint in endpoints {
        let addresses: Vec<_> = endpoint.addresses.iter().map(ToString::to_string).collect();
        let (state, reason) = match &endpoint.state {
            EndpointState::Enforced => (good("enforced"), "-"),
            EndpointState::Pending { reason } => (warn("pending"), reason.as_str()),
            EndpointState::Closed { reason } => (bad("closed"), reason.as_str()),
        };
        let mut row = vec![
            cell(&endpoint.pod.namespace),
            cell(&endpoint.pod.name),
            cell(match addresses.as_slice() {
                [] => "none yet".to_owned(),
                addresses => addresses.join(", "),
            }),
            state,
            cell(isolation(&endpoint.ingress, detail)),
            cell(isolation(&endpoint.egress, detail)),
        ];
        if detail == Detail::Wide {
            row.extend([
                cell(endpoint.interface.as_deref().unwrap_or("-")),
                cell(endpoint.ifindex.map_or("-".to_owned(), |i| i.to_string())),
                cell(endpoint.generation),
                cell(reason),
            ]);
        }
        table.row(row);
    }
    table.finish()
}

/// `open`, or the policies that isolate (they are of the pod's namespace, which stands before).
fn isolation(isolation: &Isolation, detail: Detail) -> String {
    if isolation.isolated {
        wording::bare_names(&isolation.policies, detail)
    } else {
        "open".to_owned()
    }
}
