//! `netpolctl evaluate`: verdict, exit code, and the words for it.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::golden::assert_golden;
use crate::program::{Run, netpolctl, netpolctl_fed};

/// Asks about `tests/manifests/shop`.
fn shop(question: &[&str]) -> Run {
    netpolctl(&[&["evaluate", "-f", "manifests/shop"], question].concat())
}

#[test]
fn an_allowed_connection_names_the_rule_at_each_end() {
    let run = shop(&["--from", "shop/web", "--to", "shop/db", "--port", "5432"]);
    let text = run.stdout_of(0);
    assert!(text.contains("shop/web egress[0]: TCP/sql"), "{text}");
    assert!(text.contains("shop/db ingress[0]: TCP/sql"), "{text}");
    assert_golden("evaluate-allowed.txt", &text);
}

#[test]
fn a_denied_connection_names_the_policies_and_what_came_nearest() {
    let run = shop(&[
        "--from",
        "guest/visitor",
        "--to",
        "shop/db",
        "--port",
        "5432/TCP",
    ]);
    assert_golden("evaluate-denied.txt", &run.stdout_of(3));
}

#[test]
fn both_ends_are_explained_when_both_deny() {
    let run = shop(&["--from", "shop/web", "--to", "shop/db"]);
    assert_golden("evaluate-ping.txt", &run.stdout_of(3));
}

#[test]
fn families_that_differ_are_shown_each() {
    let run = shop(&[
        "--from",
        "guest/visitor",
        "--to",
        "shop/web",
        "--port",
        "80",
    ]);
    assert_golden("evaluate-families.txt", &run.stdout_of(3));
}

#[test]
fn one_family_can_be_asked_for() {
    let question = [
        "--from",
        "guest/visitor",
        "--to",
        "shop/web",
        "--port",
        "80",
    ];
    let v4 = shop(&[&question[..], &["-4"]].concat()).stdout_of(0);
    assert!(!v4.contains("fd00::"), "{v4}");
    shop(&[&question[..], &["-6"]].concat()).stdout_of(3);
}

#[test]
fn json_says_the_same() {
    let question = [
        "--from",
        "guest/visitor",
        "--to",
        "shop/db",
        "--port",
        "5432",
        "-o",
        "json",
    ];
    let text = shop(&question).stdout_of(3);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let probe = &report["probes"][0];
    assert_eq!(probe["verdict"], "deny");
    assert_eq!(probe["at"], "ingress");
    assert_eq!(probe["ingress"]["rule"]["policies"][0]["name"], "db");
    assert_golden("evaluate-denied.json", &text);
}

#[test]
fn addresses_stand_for_whoever_has_them() {
    let inside = shop(&["--from", "10.0.0.1", "--to", "10.0.0.2", "--port", "5432"]);
    assert!(inside.stdout_of(0).contains("shop/web (10.0.0.1)"));
    let outside = shop(&["--from", "198.51.100.1", "--to", "shop/web", "--port", "80"]);
    assert!(outside.stdout_of(0).contains("no pod of these manifests"));
    let excepted = shop(&["--from", "203.0.113.9", "--to", "shop/web", "--port", "80"]);
    let text = excepted.stdout_of(3);
    assert!(
        text.contains("203.0.113.9 is in 203.0.113.0/24, which is excepted"),
        "{text}"
    );
}

#[test]
fn a_pods_own_node_reaches_it_and_another_node_does_not() {
    let own = shop(&["--from", "192.168.0.2", "--to", "shop/db", "--port", "22"]);
    assert!(own.stdout_of(0).contains("a pod's own node reaches it"));
    shop(&["--from", "192.168.0.1", "--to", "shop/db", "--port", "22"]).stdout_of(3);
    // A hostNetwork pod is its node.
    let host = shop(&["--from", "guest/proxy", "--to", "shop/web", "--port", "22"]);
    assert!(host.stderr.contains("it counts as its node"), "{host:#?}");
    host.stdout_of(0);
}

#[test]
fn a_pod_reaches_itself() {
    let text = shop(&["--from", "shop/db", "--to", "shop/db", "--port", "22"]).stdout_of(0);
    assert!(text.contains("a pod reaches itself"), "{text}");
}

#[test]
fn the_question_can_be_put_in_several_ways() {
    let ask = |port: &[&str]| {
        let question = [&["--from", "web", "--to", "db", "-n", "shop"], port].concat();
        shop(&question).code
    };
    assert_eq!(ask(&["--port", "5432"]), Some(0));
    assert_eq!(ask(&["--port", "5432/tcp"]), Some(0));
    assert_eq!(ask(&["--port", "5432", "--protocol", "TCP"]), Some(0));
    assert_eq!(ask(&["--port", "5432/UDP"]), Some(3));
    assert_eq!(ask(&["--port", "ICMP"]), Some(3));
    assert_eq!(ask(&["--protocol", "ICMPv6"]), Some(3));
    assert_eq!(ask(&["--protocol", "47"]), Some(3));
}

#[test]
fn questions_that_make_no_sense_are_usage_errors() {
    let ask = |port: &[&str]| shop(&[&["--from", "shop/web", "--to", "shop/db"], port].concat());
    ask(&["--port", "0"]).stderr_of(2);
    ask(&["--port", "80/ICMP"]).stderr_of(2);
    ask(&["-4", "-6"]).stderr_of(2);
    ask(&["--protocol", "TCP"]).stderr_of(2);
    ask(&["--port", "80/TCP", "--protocol", "UDP"]).stderr_of(2);
    ask(&["--protocol", "GREEN"]).stderr_of(2);
    shop(&["--from", "shop/web"]).stderr_of(2);
    shop(&["--batch"]).stderr_of(2);
}

#[test]
fn a_pod_that_is_not_there_is_an_error_with_those_that_are() {
    let error = shop(&["--from", "shop/wbe", "--to", "shop/db"]).stderr_of(1);
    assert!(error.contains("no pod shop/wbe"), "{error}");
    assert!(error.contains("shop/db, shop/web"), "{error}");
}

#[test]
fn addresses_of_different_families_meet_nowhere() {
    let error = shop(&["--from", "10.9.9.9", "--to", "fd00::2", "--port", "80"]).stderr_of(1);
    assert!(error.contains("no addresses of one family"), "{error}");
}

#[test]
fn invalid_objects_are_reported_and_close() {
    let question = ["--from", "203.0.113.7", "--to", "shop/web", "--port", "80"];
    let run = netpolctl(&[&["evaluate", "-f", "manifests/broken"], &question[..]].concat());
    assert_golden("evaluate-invalid.stderr", &run.stderr);
    assert_golden("evaluate-invalid.txt", &run.stdout_of(3));
}

#[test]
fn whatever_an_invalid_pod_would_do_is_denied() {
    let broken = [
        "evaluate",
        "-f",
        "manifests/broken",
        "--port",
        "80",
        "--to",
        "10.0.0.9",
    ];
    let text = netpolctl(&[&broken[..], &["--from", "203.0.113.7"]].concat()).stdout_of(3);
    assert!(text.contains("Pod shop/odd is invalid"), "{text}");
    let named = ["--from", "shop/odd"];
    let error = netpolctl(&[&broken[..], &named].concat());
    assert_eq!(error.code, Some(1), "{error:#?}");
    assert!(
        error
            .stderr
            .contains("Pod shop/odd is invalid: correct it first"),
        "{error:#?}"
    );
}

#[test]
fn a_file_that_cannot_be_parsed_stops_the_evaluation() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("half.yaml");
    fs::write(&file, "kind: NetworkPolicy\nspec: [").expect("a file");
    let file = file.to_str().expect("UTF-8");
    let ask = [
        "evaluate", "-f", file, "--from", "10.0.0.1", "--to", "10.0.0.2",
    ];
    let error = netpolctl(&ask).stderr_of(1);
    assert!(
        error.contains("half.yaml") && error.contains("line"),
        "{error}"
    );
    fs::write(file, "kind: NetworkPolicy\nmetadata: {namespace: shop}\n").expect("a file");
    let error = netpolctl(&ask).stderr_of(1);
    assert!(error.contains("NetworkPolicy without a name"), "{error}");
}

#[test]
fn a_directory_that_kubectl_applies_with_k_is_read_as_it_is() {
    let run = netpolctl(&[
        "evaluate",
        "-f",
        "../../examples/payments",
        "--from",
        "frontend/asset-cache",
        "--to",
        "payments/visa-processor",
        "--port",
        "8080",
    ]);
    let said = "a Kustomization of kustomize is no object of a cluster: left out";
    assert!(run.stderr.contains(said), "{run:#?}");
    let text = run.stdout_of(3);
    assert!(text.starts_with("DENIED at egress"), "{text}");
}

#[test]
fn the_last_of_two_objects_of_one_name_counts_and_the_loss_is_said() {
    let directory = TempDir::new().expect("a temporary directory");
    let write = |name: &str, types: &str| {
        let text = format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: a}}, \
             spec: {{podSelector: {{}}, policyTypes: [{types}]}}}}"
        );
        fs::write(directory.path().join(name), text).expect("a file");
    };
    write("1.yaml", "Ingress");
    write("2.yaml", "Egress");
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {}}";
    fs::write(directory.path().join("pod.yml"), pod).expect("a file");
    let path = directory.path().to_str().expect("UTF-8");
    let run = netpolctl(&["evaluate", "-f", path, "--from", "10.0.0.1", "--to", "p"]);
    assert!(
        run.stderr
            .contains("NetworkPolicy default/a replaces the one in"),
        "{run:#?}"
    );
    let text = run.stdout_of(0);
    assert!(
        text.contains("198.18.0.1") && text.contains("stand in"),
        "{text}"
    );
}

#[test]
fn manifests_come_from_stdin_too() {
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}]}"#;
    let ask = [
        "evaluate",
        "-f",
        "-",
        "--from",
        "10.0.0.1",
        "--to",
        "default/p",
        "--port",
        "1",
    ];
    assert!(
        netpolctl_fed(&ask, list)
            .stdout_of(0)
            .starts_with("ALLOWED")
    );
}

#[test]
fn a_directory_without_manifests_says_what_would_be_one() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().to_str().expect("UTF-8");
    let ask = [
        "evaluate", "-f", path, "--from", "10.0.0.1", "--to", "10.0.0.2",
    ];
    assert!(
        netpolctl(&ask)
            .stderr_of(1)
            .contains("no .yaml, .yml or .json file")
    );
    let nested = directory.path().join("below");
    fs::create_dir(&nested).expect("a directory");
    fs::write(nested.join("pod.yaml"), "{kind: Pod, metadata: {name: p}}").expect("a file");
    let deeper = [&ask[..], &["-R"]].concat();
    netpolctl(&deeper).stdout_of(0);
}
