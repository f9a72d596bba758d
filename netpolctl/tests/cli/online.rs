//! What the online commands print, and what they ask for it.

use netpol_api::Call;

use crate::fake_agent::{FakeAgent, ask};
use crate::golden::assert_golden;
use crate::program::command;

#[test]
fn status_of_a_node_that_enforces_says_so_first_and_succeeds() {
    let text = ask("status-enforcing", &["status"]).stdout_of(0);
    assert!(text.starts_with("Enforcing: "), "{text}");
    assert_golden("status-enforcing.txt", &text);
}

#[test]
fn status_of_a_node_that_does_not_enforce_fails_and_names_everything_wrong() {
    let text = ask("status-not-enforcing", &["status"]).stdout_of(1);
    assert!(text.starts_with("NOT ENFORCING: "), "{text}");
    assert_golden("status-not-enforcing.txt", &text);
    let wide = ask("status-not-enforcing", &["status", "-o", "wide"]).stdout_of(1);
    assert_golden("status-not-enforcing-wide.txt", &wide);
}

#[test]
fn colours_are_for_terminals_unless_they_are_forced() {
    let agent = FakeAgent::answering(&["status-enforcing"]);
    let forced = command()
        .env("CLICOLOR_FORCE", "1")
        .args(["status", "--socket"])
        .arg(agent.socket())
        .output()
        .expect("netpolctl runs");
    let text = String::from_utf8_lossy(&forced.stdout);
    assert!(text.starts_with("\x1b[32mEnforcing\x1b[0m: "), "{text:?}");
    let plain = ask("status-not-enforcing", &["status", "-o", "wide"]).stdout_of(1);
    assert!(!plain.contains('\x1b'), "{plain:?}");
}

#[test]
fn status_as_json_has_the_same_exit_code() {
    let text = ask("status-not-enforcing", &["status", "-o", "json"]).stdout_of(1);
    let status: netpol_api::Status = serde_json::from_str(&text).expect("a status");
    assert!(!status.enforcing);
}

#[test]
fn stats_shows_rules_and_default_denies_and_mentions_other_drops() {
    let run = ask("stats", &["stats"]);
    assert!(run.stderr.contains("4 packets were dropped"), "{run:#?}");
    assert_golden("stats.txt", &run.stdout_of(0));
}

#[test]
fn stats_wide_ends_with_exemptions_and_drops() {
    let text = ask("stats", &["stats", "-o", "wide"]).stdout_of(0);
    let last = text.lines().last().expect("lines");
    assert!(last.contains("spoofed source address"), "{text}");
    assert_golden("stats-wide.txt", &text);
}

#[test]
fn stats_filters_by_namespace_policy_and_pod() {
    let one = ask("stats", &["stats", "-n", "frontend"]).stdout_of(0);
    assert_golden("stats-namespace.txt", &one);
    let policy = [
        "stats",
        "--policy",
        "gateway-netpol",
        "-n",
        "payments",
        "-o",
        "json",
    ];
    let text = ask("stats", &policy).stdout_of(0);
    let rows: Vec<netpol_api::CounterRow> = serde_json::from_str(&text).expect("rows");
    assert_eq!(rows.len(), 4, "three rules and the default deny");
    let pod = ["stats", "--pod", "frontend/webapp", "-o", "yaml"];
    assert_golden("stats-pod.yaml", &ask("stats", &pod).stdout_of(0));
}

#[test]
fn stats_watched_shows_rates_from_the_second_look_on() {
    let agent = FakeAgent::answering(&["stats", "stats"]);
    let watch = [
        "stats",
        "-w",
        "--interval",
        "10ms",
        "--count",
        "2",
        "-o",
        "json",
    ];
    let text = agent.netpolctl(&watch).stdout_of(0);
    let looks: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let rate = |look: &serde_json::Value| look["rows"][0]["packets_per_second"].clone();
    assert_eq!(looks.len(), 2);
    assert_eq!(rate(&looks[0]), serde_json::Value::Null);
    assert_eq!(rate(&looks[1]), 0.0);
    assert_eq!(agent.asked(), [Call::Stats, Call::Stats]);
}

#[test]
fn stats_watched_as_a_table_has_columns_for_rates() {
    let agent = FakeAgent::answering(&["stats"]);
    let text = agent
        .netpolctl(&["stats", "-w", "--count", "1"])
        .stdout_of(0);
    assert!(text.contains("PACKETS/S   BYTES/S"), "{text}");
    assert!(
        !text.contains('\x1b'),
        "no control codes off a terminal: {text}"
    );
}

#[test]
fn reset_baseline_asks_for_it_and_prints_nothing() {
    let agent = FakeAgent::answering(&["done"]);
    agent.netpolctl(&["stats", "--reset-baseline"]).stderr_of(0);
    assert_eq!(agent.asked(), [Call::ResetBaseline]);
}

#[test]
fn endpoints_show_state_and_isolation() {
    assert_golden(
        "endpoints.txt",
        &ask("endpoints", &["endpoints"]).stdout_of(0),
    );
    let wide = ask("endpoints", &["endpoints", "-o", "wide"]).stdout_of(0);
    assert_golden("endpoints-wide.txt", &wide);
    let one = ask("endpoints", &["endpoints", "-n", "backend", "-o", "json"]).stdout_of(0);
    assert_golden("endpoints.json", &one);
}

#[test]
fn policies_show_whom_they_select_and_what_is_wrong() {
    assert_golden("policies.txt", &ask("policies", &["policies"]).stdout_of(0));
    let wide = ask("policies", &["policies", "-n", "payments", "-o", "wide"]).stdout_of(0);
    assert_golden("policies-wide.txt", &wide);
}

#[test]
fn conntrack_shows_connections_of_pods_that_are_gone_as_well() {
    assert_golden(
        "conntrack.txt",
        &ask("conntrack", &["conntrack"]).stdout_of(0),
    );
    let wide = ask(
        "conntrack",
        &["conntrack", "--pod", "payments/gateway", "-o", "wide"],
    );
    assert_golden("conntrack-wide.txt", &wide.stdout_of(0));
}

#[test]
fn nothing_to_show_is_said_on_stderr() {
    let error = ask("conntrack", &["conntrack", "-n", "nowhere"]).stderr_of(0);
    assert!(error.contains("No such connections"), "{error}");
}

#[test]
fn flows_come_one_a_line() {
    assert_golden("flows.txt", &ask("flows", &["flows"]).stdout_of(0));
    let wide = ask("flows", &["flows", "-o", "wide"]).stdout_of(0);
    assert_golden("flows-wide.txt", &wide);
    let json = ask("flows", &["flows", "-o", "json"]).stdout_of(0);
    assert_eq!(json.lines().count(), 5, "{json}");
}

#[test]
fn flows_are_filtered_by_either_side() {
    let deny = ask("flows", &["flows", "--verdict", "deny", "-o", "json"]).stdout_of(0);
    assert_eq!(deny.lines().count(), 4, "{deny}");
    let backend = ask("flows", &["flows", "-n", "backend", "-o", "json"]).stdout_of(0);
    assert_eq!(backend.lines().count(), 2, "{backend}");
    let pod = [
        "flows",
        "--pod",
        "payments/mastercard-processor",
        "-o",
        "json",
    ];
    let pod = ask("flows", &pod).stdout_of(0);
    assert_eq!(pod.lines().count(), 1, "{pod}");
}

#[test]
fn flows_follow_until_the_agent_ends_and_say_that_it_did() {
    let mut answer = crate::fake_agent::recorded_lines("flows");
    let done = answer.len() - b"{\"reply\":\"done\"}\n".len();
    answer.truncate(done);
    let agent = FakeAgent::saying([answer].into());
    let run = agent.netpolctl(&["flows", "-f", "-o", "json"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert_eq!(run.stdout.lines().count(), 5, "{run:#?}");
    assert!(run.stderr.contains("the agent has ended"), "{run:#?}");
    assert_eq!(agent.asked(), [Call::Flows { follow: true }]);
}
