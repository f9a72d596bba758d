//! Errors of the socket say what to do next.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use tempfile::TempDir;

use crate::fake_agent::{FakeAgent, ask};
use crate::program::{command, netpolctl};

#[test]
fn no_socket_names_the_command_that_makes_one() {
    let error = netpolctl(&["stats", "--socket", "/nowhere/agent.sock"]).stderr_of(1);
    assert_eq!(
        error,
        "error: no agent at /nowhere/agent.sock: there is no such socket. Start `netpol-agent run` \
         on this node, or name the agent's socket with --socket or NETPOL_SOCKET, or a cluster with \
         --kubeconfig\n"
    );
}

#[test]
fn a_socket_that_nobody_listens_on_is_told_from_a_missing_one() {
    let directory = TempDir::new().expect("a temporary directory");
    let socket = directory.path().join("agent.sock");
    drop(UnixListener::bind(&socket).expect("a socket"));
    let error = netpolctl(&["status", "--socket", socket.to_str().expect("UTF-8")]).stderr_of(1);
    assert!(error.contains("nobody listens"), "{error}");
    assert!(error.contains("stays in force"), "{error}");
}

#[test]
fn the_socket_comes_from_the_environment_too() {
    let output = command()
        .env("NETPOL_SOCKET", "/elsewhere.sock")
        .arg("status")
        .output()
        .expect("netpolctl runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("no agent at /elsewhere.sock"), "{error}");
}

#[test]
fn an_agent_of_another_version_speaks_for_itself() {
    let error = ask("other-version", &["stats"]).stderr_of(1);
    assert_eq!(
        error,
        "error: the agent says: this agent speaks API version 2 and was asked in version 1: use \
         the netpolctl of its release, 0.2.0\n"
    );
}

#[test]
fn an_answer_that_cannot_be_read_points_at_the_versions() {
    let agent = FakeAgent::saying([b"{\"reply\":\"poem\"}\n".to_vec()].into());
    let error = agent.netpolctl(&["stats"]).stderr_of(1);
    assert!(error.contains("netpol-agent --version"), "{error}");
}

#[test]
fn an_agent_that_hangs_up_is_reported() {
    let agent = FakeAgent::saying([Vec::new()].into());
    let error = agent.netpolctl(&["endpoints"]).stderr_of(1);
    assert!(error.contains("closed the connection"), "{error}");
}

#[test]
fn a_name_without_namespace_is_a_usage_error() {
    let error = netpolctl(&["stats", "--pod", "web"]).stderr_of(2);
    assert!(error.contains("NAMESPACE/web"), "{error}");
    netpolctl(&["stats", "--pod", "a/b/c"]).stderr_of(2);
    netpolctl(&["stats", "--count", "3"]).stderr_of(2);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let agent = FakeAgent::answering(&["flows"]);
    let mut child = command()
        .args(["flows", "--socket"])
        .arg(agent.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("netpolctl starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("netpolctl ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn help_of_every_command_has_examples() {
    let text = netpolctl(&["--help"]).stdout_of(0);
    assert!(text.contains("Exit codes:"), "{text}");
    let commands = text.split("Commands:").nth(1).expect("commands");
    let names = commands.lines().skip(1).take_while(|l| !l.is_empty());
    let mut seen = 0;
    for name in names.filter_map(|l| l.split_whitespace().next()) {
        if name != "help" {
            let help = netpolctl(&[name, "--help"]).stdout_of(0);
            assert!(help.contains("Examples:\n"), "{name}: {help}");
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen}: {text}");
}

#[test]
fn a_regular_file_is_no_socket() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("agent.sock");
    fs::write(&file, "").expect("a file");
    let error = netpolctl(&["status", "--socket", file.to_str().expect("UTF-8")]).stderr_of(1);
    assert!(error.contains("nobody listens"), "{error}");
}
