//! `evaluate --batch` against the oracle that is written from the API's text: random clusters that
//! change step by step, as the policy crate's own property tests draw them.
//!
//! What is compared here goes all the way: JSON, changes between states, compiled maps, packets
//! through the datapath and back.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

#[path = "../../netpol-policy/tests/generate/mod.rs"]
mod generate;
#[path = "../../netpol-policy/tests/oracle/mod.rs"]
mod oracle;

use generate::{Cluster, History, probes};
use oracle::{Direction, Judgement, Oracle, Probe, Protocol};

/// Histories of a normal run, about ten clusters each.
const HISTORIES: u64 = 60;

#[test]
fn verdicts_are_those_of_the_oracle() {
    let histories = (0..HISTORIES).map(|number| (number, History::from_seed(seed(number))));
    let states: Vec<(u64, Cluster)> = histories
        .flat_map(|(number, history)| history.states().into_iter().map(move |s| (number, s)))
        .collect();
    let requests = states
        .iter()
        .map(|(number, cluster)| request(*number, cluster));
    let answers = answers(requests.collect());
    assert_eq!(answers.len(), states.len());
    let mut judged = 0;
    for ((number, cluster), answer) in states.iter().zip(&answers) {
        judged += assert_agrees(*number, cluster, answer);
    }
    assert!(judged > 10_000, "{judged} probes");
}

/// Spread out, so that clusters of small numbers are no relatives.
fn seed(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn request(number: u64, cluster: &Cluster) -> String {
    let probes: Vec<Value> = probes(cluster, number).iter().map(probe).collect();
    let name = number.to_string();
    json!({"cluster": name, "objects": cluster.objects, "probes": probes}).to_string() + "\n"
}

fn probe(probe: &Probe) -> Value {
    let protocol = match probe.protocol {
        Protocol::Tcp => json!("TCP"),
        Protocol::Udp => json!("UDP"),
        Protocol::Sctp => json!("SCTP"),
        Protocol::Icmp => json!("ICMP"),
        Protocol::Other(number) => json!(number),
    };
    json!({"from": probe.from, "to": probe.to, "protocol": protocol, "port": probe.port})
}

fn answers(requests: String) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_netpolctl"))
        .args(["evaluate", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("netpolctl starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let feeder = std::thread::spawn(move || stdin.write_all(requests.as_bytes()));
    let output = child.wait_with_output().expect("netpolctl ends");
    feeder
        .join()
        .expect("the feeder ends")
        .expect("all was read");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

/// Compares verdicts, ends and invalid policies; gives the number of probes.
#[track_caller]
fn assert_agrees(number: u64, cluster: &Cluster, answer: &Value) -> usize {
    let oracle = Oracle::new(&cluster.objects);
    let results = answer["results"].as_array();
    let results = results.unwrap_or_else(|| panic!("{answer}\n{cluster:?}"));
    let has_slices = cluster.objects.iter().any(|o| o["kind"] == "EndpointSlice");
    let probes = probes(cluster, number);
    assert_eq!(results.len(), probes.len());
    for (probe, result) in probes.iter().zip(results) {
        if !has_slices && oracle.is_to_service(probe) {
            // Then the backends are those of the selector: `cli/services.rs`.
            continue;
        }
        let Judgement { allow, at } = oracle.judge_through(probe);
        let verdict = if allow { "allow" } else { "deny" };
        let at = match at {
            None => Value::Null,
            Some(Direction::Egress) => json!("egress"),
            Some(Direction::Ingress) => json!("ingress"),
        };
        let said = (&result["verdict"], &result["at"]);
        assert_eq!(
            said,
            (&json!(verdict), &at),
            "{probe:?}: {result}\n{cluster:?}"
        );
    }
    let invalid = answer["invalid"].as_array().into_iter().flatten();
    let invalid = invalid.filter_map(|i| i["object"].as_str()?.strip_prefix("NetworkPolicy "));
    let expected = oracle.invalid_policies();
    let expected: Vec<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(invalid.collect::<Vec<_>>(), expected, "{cluster:?}");
    probes.len()
}
