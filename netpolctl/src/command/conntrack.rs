//! `netpolctl conntrack`

use anyhow::Result;
use clap::Args;
use netpol_api::{Call, Connection, ConnectionState, Direction, Reply};

use super::{Context, expect_reply};
use crate::exit::Exit;
use crate::filter::{NameArgument, Namespaces};
use crate::output::table::{Cell, Column, Table, bad, cell};
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

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let Arguments { namespaces, pod } = arguments;
    let pod = pod.as_ref().map(|p| namespaces.resolve(p)).transpose()?;
    let reply = context.agent.ask(Call::Conntrack)?;
    let mut connections = expect_reply!(reply, Reply::Conntrack)?;
    connections.retain(|connection| match &connection.pod {
        Some(name) => namespaces.contain(name) && pod.as_ref().is_none_or(|p| p == name),
        None => pod.is_none() && !namespaces.is_one(),
    });
    connections.sort_by(|a, b| {
        let key = |c: &Connection| {
            (
                c.pod.clone(),
                c.ifindex,
                c.direction,
                c.remote,
                c.local_port,
            )
        };
        key(a).cmp(&key(b)).then(a.remote_port.cmp(&b.remote_port))
    });
    if connections.is_empty() {
        output::note("No such connections.");
    }
    output::print(context.format, &connections, |detail| {
        table(&connections, detail)
    })?;
    Ok(Exit::Success)
}

fn table(connections: &[Connection], detail: Detail) -> String {
    let mut columns = vec![
        Column::Text("NAMESPACE"),
        Column::Text("POD"),
        Column::Word("OPENED BY"),
        Column::Word("PROTOCOL"),
        Column::Number("PORT"),
        Column::Text("PEER"),
        Column::Word("STATE"),
        Column::Number("IDLE"),
    ];
    if detail == Detail::Wide {
        columns.extend([Column::Number("GENERATION"), Column::Text("RULE")]);
    }
    let mut table = Table::new(detail, &columns);
    for connection in connections {
        let (namespace, pod) = match &connection.pod {
            Some(pod) => (pod.namespace.as_str(), pod.name.clone()),
            None => ("-", format!("gone (interface {})", connection.ifindex)),
        };
        let mut row = vec![
            cell(namespace),
            cell(pod),
            cell(match connection.direction {
                Direction::Ingress => "peer",
                Direction::Egress => "pod",
            }),
            cell(&connection.protocol),
            cell(connection.local_port),
            cell(wording::socket(connection.remote, connection.remote_port)),
            state(connection.state),
            cell(time::age(connection.idle_seconds)),
        ];
        if detail == Detail::Wide {
            row.push(cell(connection.generation));
            row.push(cell(
                connection.rule.as_ref().map_or("-".into(), wording::rule),
            ));
        }
        table.row(row);
    }
    table.finish()
}

fn state(state: ConnectionState) -> Cell {
    match state {
        ConnectionState::New => cell("new"),
        ConnectionState::Established => cell("established"),
        ConnectionState::Closing => cell("closing"),
        ConnectionState::Cut => bad("cut"),
    }
}
