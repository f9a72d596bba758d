//! netpolctl over a real cluster of two nodes, as a user runs it: from a computer that is no node.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use netpol_e2e::{
    cluster::{AGNHOST, Assets, Lent, Options, address, node_name},
    install::{image_or_skip, install},
    lab::Binaries,
};
use serde_json::{Value, json};

/// How often a connection is tried right after a wait.
const FLIPS: i64 = 20;

/// A pod on each node, and a policy that lets the host outside in, or not.
const WEB: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: AGNHOST, args: [netexec]}
"#;

fn policy(from: &[&str]) -> String {
    let peers = from.iter().map(|net| json!({"ipBlock": {"cidr": net}}));
    let ingress = match from {
        [] => json!([]),
        _ => json!([{"from": peers.collect::<Vec<_>>(), "ports": [{"port": 8080}]}]),
    };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": ingress},
    })
    .to_string()
}

/// The cluster, and netpolctl outside of it.
struct Bed {
    cluster: Lent,
    ctl: PathBuf,
    kubeconfig: PathBuf,
    agnhost: String,
}

/// What netpolctl said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    #[track_caller]
    fn json(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl Bed {
    fn up(image: &Path) -> Result<Self> {
        let cluster = Lent::up(Options::new("ctl"))?;
        cluster.load_image(image)?;
        install(&cluster)?;
        let kubectl = cluster.kubectl();
        kubectl.apply(&WEB.replace("AGNHOST", AGNHOST))?;
        let rollout = ["rollout", "status", "daemonset/web", "-n", "shop"];
        kubectl.run(&[&rollout[..], &["--timeout=180s"]].concat())?;
        Ok(Self {
            ctl: Binaries::find()?.ctl.clone(),
            kubeconfig: cluster.kubeconfig(),
            agnhost: Assets::find().kubernetes("agnhost")?.display().to_string(),
            cluster,
        })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.ctl);
        command.env_clear().env("COLUMNS", "80");
        command
            .args(words)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig);
        command
    }

    fn ctl(&self, words: &[&str]) -> Result<Said> {
        Ok(Said::of(&self.command(words).output()?))
    }

    /// netpolctl as a user who has been granted these.
    fn ctl_as(&self, user: &str, words: &[&str]) -> Result<Said> {
        let kubeconfig = self.cluster.kubeconfig_for(user, &[])?;
        let mut command = Command::new(&self.ctl);
        let command = command.env_clear().args(words);
        Ok(Said::of(
            &command.arg("--kubeconfig").arg(kubeconfig).output()?,
        ))
    }

    fn grant(&self, user: &str, verb: &str, resource: &str) -> Result<()> {
        let name = format!("{user}-{}", resource.replace('/', "-"));
        let kubectl = self.cluster.kubectl();
        let role = [
            "create",
            "clusterrole",
            &name,
            "--verb",
            verb,
            "--resource",
            resource,
        ];
        kubectl.run(&role)?;
        let words = [
            "create",
            "clusterrolebinding",
            &name,
            "--clusterrole",
            &name,
        ];
        kubectl.run(&[&words[..], &["--user", user]].concat())?;
        Ok(())
    }

    /// An IPv4 address of the pod on each node.
    fn pods(&self) -> Result<Vec<String>> {
        let pods = self
            .cluster
            .kubectl()
            .json(&["get", "pods", "-n", "shop"])?;
        let items = pods["items"].as_array().context("pods")?.iter();
        let address = |pod: &Value| Some(pod["status"]["podIP"].as_str()?.to_owned());
        let addresses: Vec<String> = items.filter_map(address).collect();
        ensure!(addresses.len() == 2, "{addresses:?}");
        Ok(addresses)
    }

    /// Whether the host outside reaches a pod.
    fn reaches(&self, pod: &str) -> Result<bool> {
        let target = format!("{pod}:8080");
        let words = [&self.agnhost, "connect", &target, "--timeout=1s"];
        Ok(self.cluster.outside()?.run(&words).is_ok())
    }

    fn generation(&self) -> Result<i64> {
        let words = ["get", "networkpolicy", "web", "-n", "shop"];
        let policy = self.cluster.kubectl().json(&words)?;
        policy["metadata"]["generation"]
            .as_i64()
            .context("a generation")
    }
}

fn outside() -> String {
    format!("{}/32", address::OUTSIDE.v4)
}

fn names(items: &Value, field: &str) -> Vec<String> {
    let items = items.as_array().into_iter().flatten();
    let mut names: Vec<String> = items
        .filter_map(|item| Some(item[field].as_str()?.to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn nodes() -> Vec<String> {
    vec![node_name(1), node_name(2)]
}

#[test]
fn a_cluster_is_asked_waited_for_and_proven_from_outside() -> Result<()> {
    let Some(image) = image_or_skip("a_cluster_is_asked") else {
        return Ok(());
    };
    let bed = Bed::up(&image)?;
    waits_end_when_it_is_in_force(&bed)?;
    the_proof_is_of_every_pod(&bed)?;
    answers_are_of_both_nodes(&bed)?;
    kubectl_finds_the_plugin(&bed)?;
    rights_that_are_missing_are_named(&bed)?;
    a_node_that_does_not_answer_is_listed(&bed)
}

/// The point of it all: what a policy forbids is refused, and what it allows works, at the first
/// try after the wait.
fn waits_end_when_it_is_in_force(bed: &Bed) -> Result<()> {
    let pods = bed.pods()?;
    for flip in 0..FLIPS {
        let allows = flip % 2 == 1;
        let net = outside();
        let from: &[&str] = if allows { &[&net] } else { &[] };
        bed.cluster.kubectl().apply(&policy(from))?;
        let said = bed.ctl(&["wait", "netpol/web", "-n", "shop", "--timeout", "20s"])?;
        for pod in &pods {
            assert_eq!(bed.reaches(pod)?, allows, "flip {flip}, {pod}: {said:#?}");
        }
        assert_eq!(said.code, Some(0), "{said:#?}");
        assert!(said.stdout.contains("2/2 nodes, 2/2 pods"), "{said:#?}");
    }
    let all = bed.ctl(&["wait", "--all", "-A", "--timeout", "20s"])?;
    assert_eq!(all.code, Some(0), "{all:#?}");
    let everything = bed.ctl(&["wait", "--timeout", "20s"])?;
    assert_eq!(everything.code, Some(0), "{everything:#?}");
    Ok(())
}

fn the_proof_is_of_every_pod(bed: &Bed) -> Result<()> {
    let said = bed.ctl(&["status", "networkpolicy/web", "-n", "shop", "-o", "json"])?;
    let proven = &said.json(0)["items"][0];
    assert_eq!(proven["enforced"], true, "{proven:#}");
    assert_eq!(proven["generation"], bed.generation()?, "{proven:#}");
    assert_eq!(names(&proven["proofs"], "node"), nodes(), "{proven:#}");
    for proof in proven["proofs"].as_array().context("proofs")? {
        assert!(proof["since"].is_number(), "{proof:#}");
        assert!(
            proof["kernel"]["ingress"]["peers"].as_u64() > Some(0),
            "{proof:#}"
        );
    }
    Ok(())
}

fn answers_are_of_both_nodes(bed: &Bed) -> Result<()> {
    let status = bed.ctl(&["status", "-o", "json"])?.json(0);
    assert_eq!(names(&status["items"], "node"), nodes());
    let endpoints = bed.ctl(&["endpoints", "-n", "shop", "-o", "json"])?.json(0);
    assert_eq!(names(&endpoints["items"], "node"), nodes());
    let one = bed.ctl(&["endpoints", "-o", "json", "--node", &node_name(2)])?;
    assert_eq!(names(&one.json(0)["items"], "node"), [node_name(2)]);

    // A connection to each: both nodes count it under the same rule, and tell of it.
    let mut follow = bed.command(&["flows", "-f", "-n", "shop", "-o", "json"]);
    let mut follow = follow
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = follow.stdout.take().context("a pipe")?;
    let lines = thread::spawn(move || {
        use std::io::{BufRead, BufReader};
        let mut seen = Vec::new();
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let flow: Value = serde_json::from_str(&line).unwrap_or_default();
            seen.extend(flow["node"].as_str().map(str::to_owned));
            if nodes().iter().all(|node| seen.contains(node)) {
                break;
            }
        }
        seen
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    while !lines.is_finished() && Instant::now() < deadline {
        for pod in bed.pods()? {
            ensure!(bed.reaches(&pod)?, "{pod} is not reached");
        }
    }
    follow.kill()?;
    follow.wait()?;
    let seen = lines.join().expect("no panic");
    assert!(nodes().iter().all(|node| seen.contains(node)), "{seen:?}");

    let stats = bed
        .ctl(&["stats", "--policy", "shop/web", "-o", "json"])?
        .json(0);
    let rows = stats["items"].as_array().context("rows")?;
    let allowed = rows.iter().find(|row| row["verdict"] == "allow");
    let allowed = allowed.context("a row of the rule")?;
    let parts = nodes().into_iter();
    let parts = parts.map(|node| allowed["nodes"][node]["packets"].as_u64());
    let parts: Vec<u64> = parts.collect::<Option<_>>().context("both nodes")?;
    assert!(parts.iter().all(|packets| *packets > 0), "{allowed:#}");
    assert_eq!(allowed["packets"], parts.iter().sum::<u64>(), "{allowed:#}");

    // A terminal of 80 columns holds the tables.
    for words in [&["status"][..], &["endpoints"], &["stats"], &["policies"]] {
        let said = bed.ctl(words)?;
        let longest = said.stdout.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{}", said.stdout);
    }
    Ok(())
}

fn kubectl_finds_the_plugin(bed: &Bed) -> Result<()> {
    let directory = bed.cluster.directory().join("plugins");
    fs::create_dir(&directory)?;
    std::os::unix::fs::symlink(&bed.ctl, directory.join("kubectl-netpol"))?;
    let kubectl = bed.cluster.kubectl().program();
    let output = Command::new(kubectl)
        .env("PATH", &directory)
        .env("KUBECONFIG", &bed.kubeconfig)
        .args(["netpol", "status"])
        .output()?;
    let said = Said::of(&output);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stdout.contains("2 nodes enforce"), "{said:#?}");
    Ok(())
}

fn rights_that_are_missing_are_named(bed: &Bed) -> Result<()> {
    let said = bed.ctl_as("visitor", &["status"])?;
    assert_eq!(said.code, Some(1), "{said:#?}");
    let right = "verb \"list\" on \"pods\" in namespace netpol-system";
    assert!(said.stderr.contains(right), "{said:#?}");

    bed.grant("visitor", "list", "pods")?;
    let said = bed.ctl_as("visitor", &["endpoints", "-o", "json"])?;
    assert!(said.stderr.contains("may not list nodes"), "{said:#?}");
    assert!(
        said.stderr
            .contains("on \"pods/exec\" in namespace netpol-system"),
        "{said:#?}"
    );
    assert_eq!(names(&said.json(1)["unanswered"], "node"), nodes());

    bed.grant("visitor", "create,get", "pods/exec")?;
    let said = bed.ctl_as("visitor", &["endpoints"])?;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let said = bed.ctl_as("visitor", &["wait", "netpol/web", "-n", "shop"])?;
    assert_eq!(said.code, Some(1), "{said:#?}");
    let right = "verb \"get\" on \"networkpolicies\" in namespace shop";
    assert!(said.stderr.contains(right), "{said:#?}");
    Ok(())
}

fn a_node_that_does_not_answer_is_listed(bed: &Bed) -> Result<()> {
    // Of the node that is left out, nothing runs: its pod would be started anew.
    let node = node_name(2);
    let kubectl = bed.cluster.kubectl();
    kubectl.run(&["label", "node", &node_name(1), "agents=yes"])?;
    let only = r#"{"spec":{"template":{"spec":{"nodeSelector":{"agents":"yes"}}}}}"#;
    kubectl.run(&[
        "patch",
        "daemonset",
        "netpol",
        "-n",
        "netpol-system",
        "-p",
        only,
    ])?;
    let gone = format!("--field-selector=spec.nodeName={node}");
    let words = ["wait", "--for=delete", "pod", "-n", "netpol-system", &gone];
    kubectl.run(&[&words[..], &["--timeout=90s"]].concat())?;
    let rollout = [
        "rollout",
        "status",
        "daemonset/netpol",
        "-n",
        "netpol-system",
    ];
    kubectl.run(&[&rollout[..], &["--timeout=120s"]].concat())?;

    let said = bed.ctl(&["status", "-o", "json"])?;
    let status = said.json(1);
    assert_eq!(status["enforcing"], false);
    assert_eq!(names(&status["items"], "node"), [node_name(1)]);
    assert_eq!(
        names(&status["unanswered"], "node"),
        std::slice::from_ref(&node)
    );
    let told = format!("node {node} does not answer");
    assert!(said.stderr.contains(&told), "{said:#?}");

    // What is in force on the other does not hide what is not here.
    kubectl.apply(&policy(&[]))?;
    let words = ["wait", "netpol/web", "-n", "shop", "--timeout", "3s"];
    let said = bed.ctl(&[&words[..], &["-o", "json"]].concat())?;
    let waited = &said.json(1)[0];
    assert_eq!(waited["nodes_enforced"], 1, "{waited:#}");
    assert_eq!(names(&waited["missing"], "node"), [node], "{waited:#}");
    Ok(())
}
