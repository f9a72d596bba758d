//! `netpolctl status networkpolicy/NAME`: the proof, node by node and pod by pod.

use anyhow::{Result, bail};
use netpol_api::{EnforcementReport, KernelEntry, KernelSet, PolicyRule, Reply};
use serde::Serialize;

use super::super::{Context, variant};
use crate::exit::Exit;
use crate::output::style::{BAD, BOLD, GOOD, paint};
use crate::output::table::{Column, Sheet, bad, cell, good};
use crate::output::{self, Detail, time, units};
use crate::proof::argument::Selection;
use crate::proof::standing::{self, Proof, Reports, Standing};
use crate::proof::wanted::Wanted;

/// A policy with its proof.
#[derive(Debug, Serialize)]
struct Proven {
    #[serde(flatten)]
    standing: Standing,
    rules: Vec<PolicyRule>,
    proofs: Vec<Proof>,
}

pub(super) async fn run(context: &Context, selection: &Selection) -> Result<Exit> {
    let pick = variant!(Reply::Enforcement);
    let answers = context.ask(selection.call(false), pick).await?;
    let heard = answers.answered.iter();
    let heard = heard.map(|on| (on.node.clone().unwrap_or_default(), Ok(*on.data.clone())));
    let silent = answers.unanswered().iter();
    let silent = silent.map(|gone| (gone.node.clone(), Err(gone.reason.clone())));
    let mut reports: Reports = heard.chain(silent).collect();
    let wanted = match context.fleet.cluster() {
        Some(cluster) => Wanted::read(cluster, selection, context.way.nodes()).await?,
        None => {
            reports = standing::by_own_name(&reports);
            standing::wanted_by_agents(selection, &reports)
        }
    };
    let known = |name: &_| wanted.iter().any(|wanted| wanted.policy == *name);
    if let Some(unknown) = selection.named().find(|name| !known(name)) {
        bail!("the agent knows no NetworkPolicy {unknown}");
    }
    let standings = standing::of(&wanted, &reports).into_iter();
    let proven = standings.zip(&wanted).map(|(standing, wanted)| Proven {
        standing,
        rules: rules(wanted, &reports),
        proofs: standing::proofs(wanted, &reports),
    });
    let proven: Vec<Proven> = proven.collect();
    output::print(context.format, &answers.document(&proven), |detail| {
        let texts = proven.iter().map(|proven| text(proven, detail));
        texts.collect::<Vec<_>>().join("\n")
    })?;
    let enforced = proven.iter().all(|proven| proven.standing.enforced);
    // A node without its pods has nothing to prove.
    Ok(match enforced {
        true => Exit::Success,
        false => Exit::Failure,
    })
}

/// The rules, as an agent has read them that knows the version wanted.
fn rules(wanted: &Wanted, reports: &Reports) -> Vec<PolicyRule> {
    let heard: Vec<&EnforcementReport> = reports.values().filter_map(|r| r.as_ref().ok()).collect();
    let policies = heard.iter().flat_map(|report| &report.policies);
    let mut known = policies.filter(|policy| {
        policy.policy == wanted.policy
            && policy.uid == wanted.uid
            && policy.generation >= wanted.generation
    });
    known
        .next()
        .map(|policy| policy.rules.clone())
        .unwrap_or_default()
}

fn text(proven: &Proven, detail: Detail) -> String {
    let mut text = sentence(&proven.standing) + "\n";
    if !proven.rules.is_empty() {
        text += &format!(
            "\n{}\n{}",
            paint(BOLD, "Rules"),
            rules_table(&proven.rules, detail)
        );
    }
    if !proven.proofs.is_empty() {
        text += &format!(
            "\n{}\n{}",
            paint(BOLD, "Pods"),
            proofs_table(&proven.proofs, detail)
        );
    }
    text
}

fn sentence(standing: &Standing) -> String {
    let Standing {
        policy,
        generation,
        enforced,
        nodes_enforced,
        nodes,
        pods_enforced,
        pods,
        pods_without_address,
        invalid,
        ..
    } = standing;
    let generation = generation.map_or_else(String::new, |g| format!("generation {g} of "));
    let nodes_of = units::count(*nodes, "node", "nodes");
    let pods_of = units::count(*pods, "pod", "pods");
    let mut text = match (enforced, invalid, pods) {
        (true, _, 0) => format!(
            "{}: {generation}{policy} selects no running pod.",
            paint(GOOD, "Enforced")
        ),
        (true, ..) => format!(
            "{}: {generation}{policy} is in force on {pods_of}, {nodes_of}.",
            paint(GOOD, "Enforced")
        ),
        (false, Some(invalid), _) => format!(
            "{}: {policy} is not valid: {invalid}. Its pods are isolated, and none of its rules \
             allows anything.",
            paint(BAD, "NOT ENFORCED")
        ),
        (false, None, _) => format!(
            "{}: {generation}{policy} is in force on {pods_enforced} of {pods_of}, \
             {nodes_enforced} of {nodes_of}.",
            paint(BAD, "NOT ENFORCED")
        ),
    };
    if *pods_without_address > 0 {
        let pods = units::count(*pods_without_address, "pod has", "pods have");
        text += &format!(" {pods} no address yet.");
    }
    text
}

fn rules_table(rules: &[PolicyRule], detail: Detail) -> String {
    Sheet::<PolicyRule>::new(detail)
        .column(Column::Word("RULE"), |rule| {
            cell(format!("{}[{}]", rule.direction, rule.index))
        })
        .column(Column::Text("SAYS"), |rule| cell(&rule.text))
        .of(rules)
}

fn proofs_table(proofs: &[Proof], detail: Detail) -> String {
    let missing = proofs.iter().any(|proof| !proof.enforced);
    let or_none = |text: Option<String>| cell(text.unwrap_or_else(|| "-".to_owned()));
    Sheet::<Proof>::new(detail)
        .column(Column::Text("NODE"), |proof| cell(&proof.node))
        .column(Column::Text("POD"), |proof| cell(&proof.pod.name))
        .column(Column::Word("STATE"), |proof| match proof.enforced {
            true => good("enforced"),
            false => bad("missing"),
        })
        .column(Column::Number("GENERATION"), |proof| {
            or_none(proof.generation.map(|generation| generation.to_string()))
        })
        .column(Column::Word("SINCE"), |proof| {
            or_none(proof.since.map(|since| time::stamp(since as u64)))
        })
        .column_if(
            !missing || detail == Detail::Wide,
            Column::Text("KERNEL HOLDS"),
            |proof| or_none(proof.kernel.as_ref().map(kernel)),
        )
        .column_if(missing, Column::Text("WHY NOT"), |proof| {
            or_none(proof.reason.clone())
        })
        .wide(Column::Word("READ BACK"), |proof| {
            or_none(proof.read.map(time::stamp_precise))
        })
        .wide(Column::Number("IFINDEX"), |proof| {
            or_none(proof.kernel.map(|kernel| kernel.ifindex.to_string()))
        })
        .wide(Column::Number("ENTRY"), |proof| {
            or_none(proof.kernel.map(|kernel| kernel.generation.to_string()))
        })
        .of(proofs)
}

/// `ingress set 4 (3 peers, 2 ports); egress open`.
fn kernel(kernel: &KernelEntry) -> String {
    let set = |set: &Option<KernelSet>| match set {
        None => "open".to_owned(),
        Some(KernelSet {
            number,
            peers,
            ports,
        }) => format!(
            "set {number} ({}, {})",
            units::count(*peers, "peer", "peers"),
            units::count(*ports, "port", "ports")
        ),
    };
    format!(
        "ingress {}; egress {}",
        set(&kernel.ingress),
        set(&kernel.egress)
    )
}
