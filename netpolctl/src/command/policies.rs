//! `netpolctl policies`

use anyhow::Result;
use clap::Args;
use netpol_api::{Call, Direction, Policy, Reply};

use super::{Context, expect_reply};
use crate::exit::Exit;
use crate::filter::Namespaces;
use crate::output::table::{Column, Table, bad, cell, good};
use crate::output::{self, Detail};
use crate::wording;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # every policy, the local pods it selects, and whether it is valid
  netpolctl policies

  # all pods' names, and what is wrong with invalid policies
  netpolctl policies -n payments -o wide

  # policies that cannot be enforced as written
  netpolctl policies -o json | jq '.[] | select(.problem)'";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    namespaces: Namespaces,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let Arguments { namespaces } = arguments;
    let reply = context.agent.ask(Call::Policies)?;
    let mut policies = expect_reply!(reply, Reply::Policies)?;
    policies.retain(|p| namespaces.contain(&p.policy));
    policies.sort_by(|a, b| a.policy.cmp(&b.policy));
    if policies.is_empty() {
        output::note("No such policies.");
    }
    output::print(context.format, &policies, |detail| table(&policies, detail))?;
    Ok(Exit::Success)
}

fn table(policies: &[Policy], detail: Detail) -> String {
    let mut columns = vec![
        Column::Text("NAMESPACE"),
        Column::Text("POLICY"),
        Column::Word("INGRESS"),
        Column::Word("EGRESS"),
        Column::Text("LOCAL PODS"),
        Column::Text("STATE"),
    ];
    if detail == Detail::Wide {
        columns.push(Column::Text("PROBLEM"));
    }
    let mut table = Table::new(detail, &columns);
    for policy in policies {
        let pods = match policy.pods.as_slice() {
            [] => "none".to_owned(),
            pods => wording::bare_names(pods, detail),
        };
        let mut row = vec![
            cell(&policy.policy.namespace),
            cell(&policy.policy.name),
            cell(rules(policy, Direction::Ingress)),
            cell(rules(policy, Direction::Egress)),
            cell(pods),
            match &policy.problem {
                None => good("valid"),
                Some(problem) => bad(format!("invalid: {}", problem.field)),
            },
        ];
        if detail == Detail::Wide {
            row.push(match &policy.problem {
                None => cell("-"),
                Some(problem) => bad(&problem.reason),
            });
        }
        table.row(row);
    }
    table.finish()
}

/// What a policy says of a direction: `-` when it does not isolate there.
fn rules(policy: &Policy, direction: Direction) -> String {
    let count = match direction {
        Direction::Ingress => policy.ingress_rules,
        Direction::Egress => policy.egress_rules,
    };
    match count {
        _ if !policy.directions.contains(&direction) => "-".to_owned(),
        0 => "deny all".to_owned(),
        _ => output::units::count(u64::from(count), "rule", "rules"),
    }
}
