//! Errors on the way to a cluster name the file, the server or the right, and what to do.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::program::{command, netpolctl};

fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: here, cluster: {{server: {server}}}}}]\n\
         users: [{{name: me, user: {{token: secret}}}}]\n\
         contexts: [{{name: here, context: {{cluster: here, user: me}}}}]\n"
    )
}

fn written(text: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("config");
    std::fs::write(&path, text).expect("a file");
    (directory, path)
}

#[test]
fn a_kubeconfig_that_is_not_there_is_named_with_the_reason() {
    let error = netpolctl(&["status", "--kubeconfig", "/nowhere/config"]).stderr_of(1);
    assert_eq!(
        error,
        "error: cannot read the kubeconfig /nowhere/config: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_kubeconfig_that_is_none_is_named_with_the_reason() {
    let (_directory, path) = written("clusters: 7\n");
    let path = path.to_str().expect("UTF-8");
    let error = netpolctl(&["status", "--kubeconfig", path]).stderr_of(1);
    let start = format!("error: the kubeconfig {path} cannot be used: ");
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn a_context_that_the_kubeconfig_has_not_is_named() {
    let (_directory, path) = written(&kubeconfig("https://127.0.0.1:1"));
    let path = path.to_str().expect("UTF-8");
    let arguments = ["status", "--kubeconfig", path, "--context", "elsewhere"];
    let error = netpolctl(&arguments).stderr_of(1);
    assert!(error.contains("elsewhere"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let (_directory, path) = written(&kubeconfig("http://127.0.0.1:1"));
    let output = command()
        .env("KUBECONFIG", &path)
        .args(["stats", "--node", "worker-1"])
        .output()
        .expect("netpolctl runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains("cannot reach the API server at http://127.0.0.1:1: "),
        "{error}"
    );
    assert!(error.contains("Connection refused"), "{error}");
}

#[test]
fn a_socket_and_a_cluster_exclude_each_other() {
    let both = ["status", "--socket", "agent.sock", "--context", "here"];
    let error = netpolctl(&both).stderr_of(2);
    assert!(error.contains("cannot be used with"), "{error}");
}

#[test]
fn as_kubectl_s_plugin_it_asks_the_cluster_and_its_help_says_kubectl() {
    let directory = TempDir::new().expect("a temporary directory");
    let plugin = directory.path().join("kubectl-netpol");
    symlink(env!("CARGO_BIN_EXE_netpolctl"), &plugin).expect("a link");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&plugin);
        let command = command.env_clear().env("HOME", directory.path());
        let output = command.args(arguments).output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8(text).expect("UTF-8"),
        )
    };
    let (code, help) = run(&["status", "--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("Usage: kubectl netpol status"), "{help}");
    assert!(!help.contains("netpolctl"), "{help}");
    let (code, error) = run(&["status"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no kubeconfig"), "{error}");
}
