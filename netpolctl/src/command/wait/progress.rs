//! How far a wait is, as it goes and at its end.

use std::io::{IsTerminal, Write};

use crate::output::style::{BAD, GOOD, paint};
use crate::output::{self, units};
use crate::proof::standing::Standing;

/// A line on stderr: written over on a terminal, one below the other elsewhere.
#[derive(Debug, Default)]
pub(super) struct Progress {
    last: String,
    shown: bool,
}

impl Progress {
    pub(super) fn show(&mut self, standings: &[Standing]) {
        let line = line(standings);
        if line == self.last || standings.iter().all(|standing| standing.enforced) {
            return;
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{line}");
            // It is a courtesy.
            let _ = std::io::stderr().flush();
            self.shown = true;
        } else {
            output::note(&line);
        }
        self.last = line;
    }

    pub(super) fn finish(self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// `networkpolicy/web: 1/2 nodes, 3/5 pods`; of many policies, all together.
fn line(standings: &[Standing]) -> String {
    let sum = |part: fn(&Standing) -> u64| standings.iter().map(part).sum::<u64>();
    let pods = format!("{}/{} pods", sum(|s| s.pods_enforced), sum(|s| s.pods));
    match standings {
        [one] => format!(
            "Waiting for {}: {}/{} nodes, {pods}",
            name(one),
            one.nodes_enforced,
            one.nodes
        ),
        all => {
            let enforced = all.iter().filter(|standing| standing.enforced).count();
            format!("Waiting for {enforced}/{} policies, {pods}", all.len())
        }
    }
}

fn name(standing: &Standing) -> String {
    let policy = &standing.policy;
    let generation = standing.generation;
    let generation = generation.map_or_else(String::new, |g| format!(" (generation {g})"));
    format!(
        "networkpolicy/{} in {}{generation}",
        policy.name, policy.namespace
    )
}

/// A paragraph for each policy.
pub(super) fn result(standings: &[Standing]) -> String {
    standings.iter().map(paragraph).collect()
}

fn paragraph(standing: &Standing) -> String {
    let Standing {
        enforced,
        nodes_enforced,
        nodes,
        pods_enforced,
        pods,
        pods_without_address,
        invalid,
        missing,
        ..
    } = standing;
    let counts = format!("{nodes_enforced}/{nodes} nodes, {pods_enforced}/{pods} pods");
    let name = name(standing);
    let mut text = match (enforced, invalid) {
        (true, _) => format!("{}: {name}, {counts}\n", paint(GOOD, "Enforced")),
        (false, Some(invalid)) => {
            format!("{}: {name}: {invalid}\n", paint(BAD, "Not valid"))
        }
        (false, None) => format!("{}: {name}, {counts}\n", paint(BAD, "Not enforced")),
    };
    for missing in missing {
        let place = match &missing.pod {
            Some(pod) => format!("node {}, pod {pod}: ", missing.node),
            None => String::new(),
        };
        text += &format!("  {place}{}\n", missing.reason);
    }
    if *pods_without_address > 0 {
        let pods = units::count(
            *pods_without_address,
            "pod it selects has",
            "pods it selects have",
        );
        text += &format!("  {pods} no address yet\n");
    }
    text
}
