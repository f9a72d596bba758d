//! `docs/conformance.md`, written from the last whole run on each kind of network.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use anyhow::Context;

use super::summary::{State, Summary, short};
use crate::cluster::Cni;

const HEAD: &str = "\
# Conformance

Kubernetes' own end-to-end tests of NetworkPolicy (`e2e.test`, focus `Netpol`), each run on a cluster of real nodes with
netpol installed from `deploy/`. Left out are connections over SCTP (`Feature:SCTPConnectivity`), which the test machine's
kernel lacks; policies that name SCTP are in.

Written by `cargo xtask e2e upstream --cni CNI --record`; do not edit. Numbers are seconds, with the start of the suite's
program, on a machine that did other work as well.

";

/// Keeps a run beside the earlier ones in `docs/conformance/`, and writes the page anew.
///
/// # Errors
///
/// When a file cannot be read or written.
pub fn record(docs: &Path, summary: &Summary) -> anyhow::Result<()> {
    let kept = docs.join("conformance");
    fs::create_dir_all(&kept).with_context(|| format!("create {}", kept.display()))?;
    let path = kept.join(format!("{}.json", summary.cni));
    let text = serde_json::to_string_pretty(summary)?;
    fs::write(&path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    let mut runs = Vec::new();
    for cni in Cni::ALL {
        let path = kept.join(format!("{cni}.json"));
        if let Ok(text) = fs::read(&path) {
            let run: Summary = serde_json::from_slice(&text)
                .with_context(|| format!("understand {}", path.display()))?;
            runs.push(run);
        }
    }
    let page = docs.join("conformance.md");
    fs::write(&page, render(&runs)).with_context(|| format!("write {}", page.display()))
}

fn render(runs: &[Summary]) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| CNI | result | Kubernetes | kube-proxy | nodes | side by side | took | machine | date |\n");
    page.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for run in runs {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {:.0} s | {} | {} |",
            run.cni,
            run.verdict(),
            run.kubernetes,
            run.proxy,
            run.nodes,
            run.jobs,
            run.seconds,
            run.machine,
            run.date
        );
    }
    let networks: Vec<&str> = runs.iter().map(|run| run.cni.as_str()).collect();
    let _ = writeln!(page, "\n| test | {} |", networks.join(" | "));
    let _ = writeln!(page, "|---|{}", "---|".repeat(runs.len()));
    let names: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| &run.tests)
        .map(|test| test.name.as_str())
        .collect();
    for name in names {
        let cells: Vec<String> = runs.iter().map(|run| cell(run, name)).collect();
        let _ = writeln!(page, "| {} | {} |", short(name), cells.join(" | "));
    }
    page
}

fn cell(run: &Summary, name: &str) -> String {
    match run.tests.iter().find(|test| test.name == name) {
        None => "not run".to_owned(),
        Some(test) if test.state == State::Passed => format!("{:.0}", test.seconds),
        Some(_) => "**failed**".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::Options, upstream::summary::TestResult};

    #[test]
    fn the_page_tells_what_failed_and_what_was_not_run() {
        let result = |name: &str, state| TestResult {
            name: format!("[sig-network] Netpol NetworkPolicy between server and client {name}"),
            state,
            seconds: 20.4,
            message: String::new(),
        };
        let bridge = vec![result("a", State::Passed), result("b", State::Failed)];
        let ptp = vec![result("a", State::Passed)];
        let summary = |cni, tests| {
            let options = Options {
                cni,
                ..Options::new("x")
            };
            Summary::new(&options, "v1".to_owned(), tests)
        };
        let page = render(&[summary(Cni::Bridge, bridge), summary(Cni::Ptp, ptp)]);
        assert!(page.contains("| bridge | 1 of 2 passed |"), "{page}");
        assert!(
            page.ends_with("| a | 20 | 20 |\n| b | **failed** | not run |\n"),
            "{page}"
        );
    }
}
