//! `status networkpolicy/NAME` and `wait networkpolicy/NAME`, by an agent's socket: its own word.

use netpol_api::Call;

use crate::fake_agent::{FakeAgent, ask, recorded_lines};
use crate::golden::assert_golden;
use crate::program::netpolctl;

const POLICY: [&str; 3] = ["networkpolicy/gateway-netpol", "-n", "payments"];

fn arguments<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[command], &POLICY[..], more].concat()
}

#[test]
fn the_proof_of_a_policy_names_rules_pods_and_what_the_kernel_holds() {
    let text = ask("enforcement", &arguments("status", &[])).stdout_of(0);
    assert!(text.starts_with("Enforced: "), "{text}");
    assert_golden("status-policy.txt", &text);
    let wide = ask("enforcement", &arguments("status", &["-o", "wide"])).stdout_of(0);
    assert_golden("status-policy-wide.txt", &wide);
    let json = ask("enforcement", &arguments("status", &["-o", "json"])).stdout_of(0);
    assert_golden("status-policy.json", &json);
}

#[test]
fn a_policy_that_is_not_in_force_fails_and_says_where_and_why() {
    let text = ask("enforcement-pending", &arguments("status", &[])).stdout_of(1);
    assert!(text.starts_with("NOT ENFORCED: "), "{text}");
    assert_golden("status-policy-pending.txt", &text);
}

#[test]
fn a_policy_that_the_agent_does_not_know_is_an_error() {
    let run = ask("enforcement", &["status", "netpol/other", "-n", "payments"]);
    let error = run.stderr_of(1);
    assert!(error.contains("payments/other"), "{error}");
}

#[test]
fn a_policy_without_a_namespace_is_a_usage_error() {
    for command in ["status", "wait"] {
        let socket = ["--socket", "/nowhere/agent.sock"];
        let error = netpolctl(&[&[command, "netpol/web"], &socket[..]].concat()).stderr_of(2);
        assert!(error.contains("Add -n NAMESPACE"), "{error}");
    }
}

#[test]
fn waiting_for_a_policy_follows_its_proof_until_it_is_in_force() {
    let mut answer = recorded_lines("enforcement-pending");
    answer.extend(recorded_lines("enforcement"));
    let agent = FakeAgent::saying([answer].into());
    let run = agent.netpolctl(&arguments("wait", &[]));
    assert!(
        run.stderr
            .contains("Waiting for networkpolicy/gateway-netpol"),
        "{run:#?}"
    );
    assert_eq!(
        run.stdout_of(0),
        "Enforced: networkpolicy/gateway-netpol in payments, 1/1 nodes, 1/1 pods\n"
    );
    let question = Call::Enforcement {
        namespace: Some("payments".to_owned()),
        name: Some("gateway-netpol".to_owned()),
        follow: true,
    };
    assert_eq!(agent.asked(), [question]);
}

#[test]
fn waiting_in_vain_fails_and_says_where_and_why() {
    let run = ask(
        "enforcement-pending",
        &arguments("wait", &["--timeout", "300ms"]),
    );
    let text = run.stdout_of(1);
    assert!(text.starts_with("Not enforced: "), "{text}");
    assert!(text.contains("0/1 pods"), "{text}");
    assert!(text.contains("no interface leads to"), "{text}");
}

#[test]
fn waiting_for_all_policies_takes_the_agent_s_word_for_what_there_is() {
    let agent = FakeAgent::answering(&["enforcement"]);
    let run = agent.netpolctl(&["wait", "--all", "-A"]);
    run.stdout_of(0);
    let everything = Call::Enforcement {
        namespace: None,
        name: None,
        follow: true,
    };
    assert_eq!(agent.asked(), [everything]);
}
