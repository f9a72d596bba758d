//! `netpolctl wait`: exit codes are its point.

use std::time::{Duration, Instant};

use netpol_api::Call;

use crate::fake_agent::{FakeAgent, ask};
use crate::program::netpolctl;

#[test]
fn wait_succeeds_once_everything_is_enforced() {
    let text = ask("wait-enforced", &["wait"]).stdout_of(0);
    assert_eq!(text, "Enforced: 3 local pods\n");
}

#[test]
fn wait_that_times_out_fails_and_says_what_is_missing() {
    let text = ask("wait-timeout", &["wait", "--timeout", "1s"]).stdout_of(1);
    assert_eq!(
        text,
        "Time is up: 2 of 3 local pods enforce their policies\n  \
         payments/mastercard-processor: no interface leads to 10.0.0.33 yet\n"
    );
}

#[test]
fn wait_hands_the_time_limit_to_the_agent() {
    let agent = FakeAgent::answering(&["wait-enforced"]);
    agent.netpolctl(&["wait", "--timeout", "1h"]).stdout_of(0);
    let asked = agent.asked();
    let [Call::Wait { timeout_ms }] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert!((3_590_000..=3_600_000).contains(timeout_ms), "{timeout_ms}");
}

#[test]
fn wait_waits_for_an_agent_that_is_not_there_until_the_time_is_up() {
    let start = Instant::now();
    let run = netpolctl(&[
        "wait",
        "--socket",
        "/nowhere/agent.sock",
        "--timeout",
        "200ms",
    ]);
    let text = run.stdout_of(1);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(text.contains("Start `netpol-agent run`"), "{text}");
}

#[test]
fn wait_outlasts_an_agent_that_restarts() {
    let mut replies = std::collections::VecDeque::from([Vec::new()]);
    replies.push_back(crate::fake_agent::recorded_lines("wait-enforced"));
    let agent = FakeAgent::saying(replies);
    agent.netpolctl(&["wait"]).stdout_of(0);
    assert_eq!(agent.asked().len(), 2);
}

#[test]
fn wait_as_json_carries_the_outcome() {
    let text = ask("wait-timeout", &["wait", "-o", "json"]).stdout_of(1);
    let outcome: netpol_api::WaitOutcome = serde_json::from_str(&text).expect("an outcome");
    assert_eq!(outcome.missing.len(), 1);
}
