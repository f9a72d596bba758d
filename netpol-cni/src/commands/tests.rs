use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    path::Path,
    thread::{self, JoinHandle},
};

use netpol_api::Request;

use super::*;

fn variables(command: &str) -> HashMap<String, String> {
    let pairs = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", "/proc/self/ns/net"),
    ];
    let owned = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    owned.into()
}

fn input(socket: &Path, more: &str) -> String {
    format!(
        r#"{{"cniVersion":"1.1.0","name":"n","type":"netpol-cni","socket":{:?}{more}}}"#,
        socket.display().to_string()
    )
}

/// Answers one request with a line; gives the request.
fn agent(socket: &Path, answer: impl Into<String>) -> JoinHandle<Request> {
    let listener = UnixListener::bind(socket).expect("listen");
    let answer = answer.into();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut line = String::new();
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        reader.read_line(&mut line).expect("a request");
        writeln!(stream, "{answer}").expect("written");
        serde_json::from_str(&line).expect("a request of this version")
    })
}

fn reply(reply: &Reply) -> String {
    serde_json::to_string(reply).expect("a reply is JSON")
}

#[test]
fn the_version_is_told_without_an_agent() {
    let output = run(&variables("VERSION"), r#"{"cniVersion":"0.4.0"}"#).expect("told");
    let output: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(output["cniVersion"], "0.4.0");
    assert_eq!(output["supportedVersions"], json!(VERSIONS));
}

#[test]
fn a_container_that_is_no_pod_s_passes_with_the_result_as_it_was() {
    let result = r#"{ "cniVersion":"1.1.0",  "ips":[], "x":1.0 }"#;
    let more = format!(r#","prevResult":{result}"#);
    let input = input(Path::new("/nowhere"), &more);
    assert_eq!(run(&variables("ADD"), &input).as_deref(), Ok(result));
}

#[test]
fn a_removal_succeeds_without_an_agent_and_is_told_to_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("agent.sock");
    let input = input(&socket, "");
    run(&variables("DEL"), &input).expect("nothing to undo");
    let heard = agent(&socket, reply(&Reply::Done));
    run(&variables("DEL"), &input).expect("undone");
    let call = heard.join().expect("heard").call;
    let Call::CniDel { key } = call else {
        panic!("{call:?}");
    };
    assert_eq!((&*key.container_id, &*key.interface), ("c1", "eth0"));
}

#[test]
fn an_agent_that_is_away_makes_the_plugin_unavailable() {
    let dir = tempfile::tempdir().expect("a directory");
    let input = input(&dir.path().join("agent.sock"), "");
    let error = run(&variables("STATUS"), &input).expect_err("nobody");
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.to_string().contains("no such socket"), "{error}");
}

#[test]
fn a_refusal_is_told_in_the_agent_s_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("agent.sock");
    let refusal = CniRefusal {
        reason: "the maps are full".to_owned(),
        again: false,
    };
    let heard = agent(&socket, reply(&Reply::CniRefused(refusal)));
    let more = r#","cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}]"#;
    let error = run(&variables("GC"), &input(&socket, more)).expect_err("refused");
    assert_eq!(error.code, Code::Refused);
    assert!(error.to_string().contains("the maps are full"), "{error}");
    let call = heard.join().expect("heard").call;
    assert!(matches!(call, Call::CniGc { network, valid }
        if network == "n" && valid[0].container_id == "a"));
}

#[test]
fn an_agent_of_another_release_is_said_to_be_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("agent.sock");
    let _heard = agent(&socket, r#"{"reply":"of_the_future"}"#);
    let outcome = agent::call(&socket, AT_ONCE, |_| Call::CniStatus);
    let input = input(&socket, "");
    let configuration = Configuration::read(&input).expect("valid");
    let error = settle(outcome, &configuration, AT_ONCE, "x").expect_err("not understood");
    assert_eq!(error.code, Code::Again);
    assert!(error.to_string().contains("another release"), "{error}");
}
