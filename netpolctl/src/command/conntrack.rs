//! `netpolctl conntrack`

use anyhow::Result;
use clap::Args;
use netpol_api::{Call, Connection, ConnectionState, Direction, Reply};

use super::{Context, variant};
use crate::exit::Exit;
use crate::filter::{NameArgument, Namespaces};
use crate::fleet::OnNode;
use crate::output::table::{Cell, Column, Sheet, bad, cell};
use crate::output::{self, Detail, time};
use crate::wording;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # every tracked connection of this node's pods
  netpolctl conntrack

  # one pod's, with the rule that allowed each
  netpolctl conntrack --pod payments/gateway -o wide

  # connections that a policy change has cut
  netpolctl conntrack -o json | jq '.[] | select(.state == \"cut\")'

Only pods that a policy isolates are tracked. PORT is the pod's own.";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    namespaces: Namespaces,
    /// Only this pod's connections
    #[arg(long, value_name = "NS/NAME")]
    pod: Option<NameArgument>,
}

pub(crate) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let Arguments { namespaces, pod } = arguments;
    let pod = pod.as_ref().map(|p| namespaces.resolve(p)).transpose()?;
    let mut answers = context
        .ask(Call::Conntrack, variant!(Reply::Conntrack))
        .await?;
    let mut connections = answers.take_rows();
    connections.retain(|connection| match &connection.data.pod {
        Some(name) => namespaces.contain(name) && pod.as_ref().is_none_or(|p| p == name),
        None => pod.is_none() && !namespaces.is_one(),
    });
    connections.sort_by(|a, b| {
        let key = |on: &OnNode<Connection>| {
            let OnNode { node, data: c } = on;
            let pod = (c.pod.clone(), node.clone(), c.ifindex, c.direction);
            (pod, c.remote, c.local_port, c.remote_port)
        };
        key(a).cmp(&key(b))
    });
    if connections.is_empty() {
        output::note("No such connections are tracked.");
    }
    output::print(context.format, &answers.document(&connections), |detail| {
        table(&connections, answers.is_cluster(), detail)
    })?;
    Ok(answers.conclude(Exit::Success))
}

fn table(connections: &[OnNode<Connection>], cluster: bool, detail: Detail) -> String {
    Sheet::<OnNode<Connection>>::new(detail)
        .column_if(cluster, Column::Text("NODE"), |c| cell(c.node_name()))
        .column(Column::Text("NAMESPACE"), |c| {
            cell(c.data.pod.as_ref().map_or("-", |pod| &pod.namespace))
        })
        .column(Column::Text("POD"), |c| {
            cell(match &c.data.pod {
                Some(pod) => pod.name.clone(),
                None => format!("gone (interface {})", c.data.ifindex),
            })
        })
        .column(Column::Word("OPENED BY"), |c| {
            cell(match c.data.direction {
                Direction::Ingress => "peer",
                Direction::Egress => "pod",
            })
        })
        .column(Column::Word("PROTOCOL"), |c| cell(&c.data.protocol))
        .column(Column::Number("PORT"), |c| cell(c.data.local_port))
        .column(Column::Text("PEER"), |c| {
            cell(wording::socket(c.data.remote, c.data.remote_port))
        })
        .column(Column::Word("STATE"), |c| state(c.data.state))
        .column(Column::Number("IDLE"), |c| {
            cell(time::age(c.data.idle_seconds))
        })
        .wide(Column::Number("GENERATION"), |c| cell(c.data.generation))
        .wide(Column::Text("RULE"), |c| {
            cell(c.data.rule.as_ref().map_or("-".into(), wording::rule))
        })
        .of(connections)
}

fn state(state: ConnectionState) -> Cell {
    match state {
        ConnectionState::New => cell("new"),
        ConnectionState::Established => cell("established"),
        ConnectionState::Closing => cell("closing"),
        ConnectionState::Cut => bad("cut"),
    }
}
