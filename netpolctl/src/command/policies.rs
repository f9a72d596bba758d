//! `netpolctl policies`

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use netpol_api::{Call, Direction, ObjectName, Policy, Reply};
use serde::Serialize;

use super::{Context, variant};
use crate::exit::Exit;
use crate::filter::Namespaces;
use crate::fleet::OnNode;
use crate::output::table::{Cell, Column, Sheet, bad, cell, good, warn};
use crate::output::{self, Detail};
use crate::wording;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # every policy, the pods it selects, and whether it is valid
  netpolctl policies

  # all pods' names, and what is wrong with invalid policies
  netpolctl policies -n payments -o wide

  # policies that cannot be enforced as written
  netpolctl policies -o json | jq '.[] | select(.problem)'

Over a cluster a policy is one row, with the pods of all nodes; NODES counts the agents that know it.";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    namespaces: Namespaces,
    /// A row for each node, rather than one for all
    #[arg(long)]
    per_node: bool,
}

/// A policy, as one node has it or as all together have.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(flatten)]
    policy: Policy,
    /// The nodes whose agents know it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<String>,
    /// Agents have read different versions of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    differs: bool,
}

pub(crate) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let Arguments {
        namespaces,
        per_node,
    } = arguments;
    let mut answers = context
        .ask(Call::Policies, variant!(Reply::Policies))
        .await?;
    let nodes = answers.answered.len();
    let mut policies = answers.take_rows();
    policies.retain(|p| namespaces.contain(&p.data.policy));
    let rows = merge(policies, *per_node);
    if rows.is_empty() {
        output::note("No such policies.");
    }
    let asked = answers.is_cluster().then_some(Asked {
        nodes,
        per_node: *per_node,
    });
    output::print(context.format, &answers.document(&rows), |detail| {
        table(&rows, asked, detail)
    })?;
    Ok(answers.conclude(Exit::Success))
}

/// One row a policy, by name; with `per_node` one for each node that has it.
fn merge(policies: Vec<OnNode<Policy>>, per_node: bool) -> Vec<Row> {
    let mut rows: BTreeMap<(ObjectName, Option<String>), Row> = BTreeMap::new();
    for OnNode { node, data: policy } in policies {
        let key = (policy.policy.clone(), node.clone().filter(|_| per_node));
        match rows.get_mut(&key) {
            None => {
                let nodes = node.clone().filter(|_| !per_node).into_iter().collect();
                let row = Row {
                    node: node.filter(|_| per_node),
                    policy,
                    nodes,
                    differs: false,
                };
                rows.insert(key, row);
            }
            Some(row) => {
                row.differs |= !is_same(&row.policy, &policy);
                row.policy.pods.extend(policy.pods);
                row.policy.pods.sort();
                row.nodes.extend(node);
            }
        }
    }
    rows.into_values().collect()
}

/// Whether two agents have read the same, whatever pods it selects on their nodes.
fn is_same(one: &Policy, other: &Policy) -> bool {
    let other = Policy {
        pods: one.pods.clone(),
        ..other.clone()
    };
    *one == other
}

/// What of a cluster was asked.
#[derive(Clone, Copy)]
struct Asked {
    nodes: usize,
    per_node: bool,
}

fn table(rows: &[Row], asked: Option<Asked>, detail: Detail) -> String {
    let merged = asked.filter(|asked| !asked.per_node);
    let nodes = merged.map_or(0, |asked| asked.nodes);
    let pods = if merged.is_some() {
        "PODS"
    } else {
        "LOCAL PODS"
    };
    let is_one = asked.is_some_and(|asked| asked.per_node);
    Sheet::<Row>::new(detail)
        .column_if(is_one, Column::Text("NODE"), |row| {
            cell(row.node.as_deref().unwrap_or("-"))
        })
        .column(Column::Text("NAMESPACE"), |row| {
            cell(&row.policy.policy.namespace)
        })
        .column(Column::Text("POLICY"), |row| cell(&row.policy.policy.name))
        .column(Column::Word("INGRESS"), |row| {
            cell(rules(&row.policy, Direction::Ingress))
        })
        .column(Column::Word("EGRESS"), |row| {
            cell(rules(&row.policy, Direction::Egress))
        })
        .column(Column::Text(pods), |row| {
            cell(match row.policy.pods.as_slice() {
                [] => "none".to_owned(),
                pods => wording::bare_names(pods, detail),
            })
        })
        .column_if(merged.is_some(), Column::Word("NODES"), |row| {
            let known = format!("{}/{nodes}", row.nodes.len());
            match row.nodes.len() == nodes {
                true => cell(known),
                false => warn(known),
            }
        })
        .column(Column::Text("STATE"), state)
        .wide(Column::Text("PROBLEM"), |row| match &row.policy.problem {
            None => cell("-"),
            Some(problem) => bad(&problem.reason),
        })
        .of(rows)
}

fn state(row: &Row) -> Cell {
    match &row.policy.problem {
        Some(problem) => bad(format!("invalid: {}", problem.field)),
        None if row.differs => warn("differs: see --per-node"),
        None => good("valid"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(node: &str, pod: &str, rules: u32) -> OnNode<Policy> {
        let name = |name: &str| ObjectName {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        OnNode {
            node: Some(node.to_owned()),
            data: Policy {
                policy: name("web"),
                directions: vec![Direction::Ingress],
                pods: vec![name(pod)],
                ingress_rules: rules,
                egress_rules: 0,
                problem: None,
            },
        }
    }

    #[test]
    fn a_policy_of_two_nodes_is_one_row_with_the_pods_of_both() {
        let rows = merge(
            vec![policy("a", "web-1", 1), policy("b", "web-0", 1)],
            false,
        );
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].nodes, ["a", "b"]);
        assert_eq!(rows[0].policy.pods[0].name, "web-0");
        assert!(!rows[0].differs);
    }

    #[test]
    fn agents_that_have_read_different_versions_are_told() {
        let rows = merge(
            vec![policy("a", "web-1", 1), policy("b", "web-0", 2)],
            false,
        );
        assert!(rows[0].differs);
        let rows = merge(vec![policy("a", "web-1", 1), policy("b", "web-0", 2)], true);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].node.as_deref(), Some("b"));
    }
}
