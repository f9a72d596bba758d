//! The scenarios under `examples/`, judged offline: each cell as the demo expects it of real
//! packets, and each refusal at the end and by the policies it names.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::program::netpolctl;

/// As much of `scenario.yaml` as can be asked offline.
#[derive(Deserialize)]
struct Scenario {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    policies: PathBuf,
    cells: Vec<Cell>,
    explain: Explain,
}

#[derive(Deserialize)]
struct Cell {
    from: String,
    to: String,
    port: String,
    after: String,
    over: Option<String>,
}

#[derive(Deserialize)]
struct Explain {
    from: String,
    to: String,
    port: String,
    at: String,
    by: Vec<String>,
}

/// The report on one connection.
fn ask(directory: &Path, policies: &Path, question: [&str; 3], family: &str) -> Value {
    // The host outside of the cluster has addresses of the networks for documentation.
    let outside = if family == "ipv6" {
        "2001:db8::80"
    } else {
        "203.0.113.80"
    };
    let [from, to, port] = question.map(|part| part.replace("outside", outside));
    let file = |name: &Path| directory.join(name).to_string_lossy().into_owned();
    let [namespaces, pods] = ["namespaces.yaml", "pods.yaml"].map(|f| file(Path::new(f)));
    let files = ["evaluate", "-f", &namespaces, &pods, &file(policies)];
    let flag = format!("--{family}");
    let rest = [
        "--from", &from, "--to", &to, "--port", &port, &flag, "-o", "json",
    ];
    let run = netpolctl(&[&files[..], &rest].concat());
    assert!(matches!(run.code, Some(0 | 3)), "{run:#?}");
    serde_json::from_str(&run.stdout).expect("JSON")
}

#[track_caller]
fn assert_scenario(name: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = directory.join("../examples").join(name);
    let text = std::fs::read_to_string(directory.join("scenario.yaml")).expect("a scenario");
    let scenario: Scenario = serde_norway::from_str(&text).expect("a scenario");
    for step in &scenario.steps {
        for cell in &step.cells {
            // A node has no address in these manifests.
            if cell.from != "node" && cell.to != "node" {
                assert_cell(&directory, &step.policies, cell);
            }
        }
        assert_explanation(&directory, &step.policies, &step.explain);
    }
}

#[track_caller]
fn assert_cell(directory: &Path, policies: &Path, cell: &Cell) {
    let families = match &cell.over {
        Some(family) => vec![family.as_str()],
        None => vec!["ipv4", "ipv6"],
    };
    let question = [cell.from.as_str(), &cell.to, &cell.port];
    let expected = if cell.after == "reached" {
        "allow"
    } else {
        "deny"
    };
    for family in families {
        let report = ask(directory, policies, question, family);
        assert_eq!(
            report["verdict"], expected,
            "{question:?} {family}: {report:#}"
        );
    }
}

#[track_caller]
fn assert_explanation(directory: &Path, policies: &Path, explain: &Explain) {
    let question = [explain.from.as_str(), &explain.to, &explain.port];
    let report = ask(directory, policies, question, "ipv4");
    let probe = &report["probes"][0];
    assert_eq!(
        probe["at"],
        Value::from(explain.at.as_str()),
        "{question:?}: {report:#}"
    );
    let named = probe[&explain.at]["rule"]["policies"]
        .as_array()
        .expect("policies");
    let name = |p| format!("{}/{}", text_of(p, "namespace"), text_of(p, "name"));
    let named: Vec<String> = named.iter().map(name).collect();
    assert_eq!(named, explain.by, "{question:?}: {report:#}");
}

fn text_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().expect("text")
}

#[test]
fn payments() {
    assert_scenario("payments");
}

#[test]
fn wordpress() {
    assert_scenario("wordpress");
}

#[test]
fn yelb() {
    assert_scenario("yelb");
}

#[test]
fn cache_store() {
    assert_scenario("cache-store");
}

#[test]
fn zero_trust() {
    assert_scenario("zero-trust");
}
