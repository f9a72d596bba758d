//! `netpolctl endpoints`

use anyhow::Result;
use clap::Args;
use netpol_api::{Call, Endpoint, Isolation, Reply};

use super::{Context, variant};
use crate::exit::Exit;
use crate::filter::{NameArgument, Namespaces};
use crate::fleet::OnNode;
use crate::output::table::{Cell, Column, Sheet, cell};
use crate::output::{self, Detail};
use crate::wording;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # every pod of the node, or of the cluster
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

pub(crate) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let Arguments { namespaces, pod } = arguments;
    let pod = pod.as_ref().map(|p| namespaces.resolve(p)).transpose()?;
    let mut answers = context
        .ask(Call::Endpoints, variant!(Reply::Endpoints))
        .await?;
    let mut endpoints = answers.take_rows();
    endpoints.retain(|e| {
        namespaces.contain(&e.data.pod) && pod.as_ref().is_none_or(|p| *p == e.data.pod)
    });
    endpoints.sort_by(|a, b| (&a.data.pod, &a.node).cmp(&(&b.data.pod, &b.node)));
    if endpoints.is_empty() {
        output::note(&format!("No such endpoints {}.", answers.place()));
    }
    output::print(context.format, &answers.document(&endpoints), |detail| {
        table(&endpoints, answers.is_cluster(), detail)
    })?;
    Ok(answers.conclude(Exit::Success))
}

fn table(endpoints: &[OnNode<Endpoint>], cluster: bool, detail: Detail) -> String {
    let or_none = |text: Option<String>| cell(text.unwrap_or_else(|| "-".to_owned()));
    Sheet::<OnNode<Endpoint>>::new(detail)
        .column_if(cluster, Column::Text("NODE"), |e| cell(e.node_name()))
        .column(Column::Text("NAMESPACE"), |e| cell(&e.data.pod.namespace))
        .column(Column::Text("POD"), |e| cell(&e.data.pod.name))
        .column(Column::Text("ADDRESSES"), |e| addresses(&e.data))
        .column(Column::Word("STATE"), |e| wording::state(&e.data.state))
        .column(Column::Text("INGRESS"), |e| {
            isolation(&e.data.ingress, detail)
        })
        .column(Column::Text("EGRESS"), |e| {
            isolation(&e.data.egress, detail)
        })
        .wide(Column::Word("INTERFACE"), |e| {
            or_none(e.data.interface.clone())
        })
        .wide(Column::Number("IFINDEX"), |e| {
            or_none(e.data.ifindex.map(|index| index.to_string()))
        })
        .wide(Column::Number("GENERATION"), |e| cell(e.data.generation))
        .wide(Column::Text("REASON"), |e| {
            cell(wording::reason(&e.data.state))
        })
        .of(endpoints)
}

fn addresses(endpoint: &Endpoint) -> Cell {
    let addresses: Vec<_> = endpoint.addresses.iter().map(ToString::to_string).collect();
    cell(match addresses.as_slice() {
        [] => "none yet".to_owned(),
        addresses => addresses.join(", "),
    })
}

/// `open`, or the policies that isolate (they are of the pod's namespace, which stands before), and
/// whether what they refuse is answered.
fn isolation(isolation: &Isolation, detail: Detail) -> Cell {
    cell(if isolation.isolated {
        let names = wording::bare_names(&isolation.policies, detail);
        match isolation.rejects {
            true => format!("{names} (reject)"),
            false => names,
        }
    } else {
        "open".to_owned()
    })
}
