//! The rights by which an agent tells an uninstall from a restart, as the manifests grant them.

use std::{path::Path, time::Duration};

use netpol_e2e::cluster::Result;
use serde_json::{Value, json};

use super::bed::{Agent, Bed, NODE, skipped};

/// Where a pod finds who it is.
const ACCOUNT: &str = "run/secrets/kubernetes.io/serviceaccount";
const INSTALLED_BY: &str = "--installed-by=netpol-system/netpol";

fn install_rights(bed: &Bed) -> Result<()> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for file in ["namespace", "serviceaccount", "role", "rolebinding"] {
        let path = deploy.join(format!("{file}.yaml")).display().to_string();
        bed.cluster.kubectl().run(&["apply", "-f", &path])?;
    }
    Ok(())
}

/// Gives the machine what the kubelet gives the agent's pod; returns where the server is.
fn give_account(bed: &Bed) -> Result<(String, String)> {
    let kubectl = bed.cluster.kubectl();
    let token = kubectl.run(&["create", "token", "netpol", "-n", "netpol-system"])?;
    let inside = kubectl.with(&bed.cluster.kubeconfig_inside());
    let config = inside.json(&["config", "view", "--raw"])?;
    let cluster = &config["clusters"][0]["cluster"];
    let authority = cluster["certificate-authority"].as_str().expect("a file");
    let directory = bed.cluster.control_plane()?.path(ACCOUNT);
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::copy(authority, directory.join("ca.crt")).expect("copied");
    std::fs::write(directory.join("token"), token).expect("written");
    std::fs::write(directory.join("namespace"), "netpol-system").expect("written");
    let server = cluster["server"].as_str().expect("an address");
    let address = server.trim_start_matches("https://").trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').expect("a port");
    Ok((host.to_owned(), port.to_owned()))
}

fn start(bed: &Bed, name: &str, (host, port): &(String, String)) -> Result<Agent> {
    let kubeconfig = bed.cluster.kubeconfig_inside();
    bed.agent_with(name, NODE, &kubeconfig, |command| {
        command
            .arg(INSTALLED_BY)
            .env("KUBERNETES_SERVICE_HOST", host)
            .env("KUBERNETES_SERVICE_PORT", port);
    })
}

fn without(role: &Value, rule: usize, verb: &str) -> Value {
    let mut less = role.clone();
    less["metadata"] = json!({ "name": "netpol", "namespace": "netpol-system" });
    let rules = less["rules"].as_array_mut().expect("rules");
    let verbs = rules[rule]["verbs"].as_array_mut().expect("verbs");
    verbs.retain(|granted| granted != verb);
    // The API server takes no rule without verbs.
    rules.retain(|rule| rule["verbs"] != json!([]));
    less
}

#[test]
fn each_right_of_the_role_that_is_missing_is_named_and_ends_the_agent() -> Result<()> {
    if skipped("missing_rights_of_the_role") {
        return Ok(());
    }
    let bed = Bed::up("role")?;
    install_rights(&bed)?;
    let server = give_account(&bed)?;
    let role = ["get", "role", "netpol", "-n", "netpol-system"];
    let role = bed.cluster.kubectl().json(&role)?;
    let whole = start(&bed, "whole", &server)?;
    whole.until("in sync with these rights", |status| status.enforcing);
    drop(whole);

    let mut taken = Vec::new();
    for (index, rule) in role["rules"].as_array().expect("rules").iter().enumerate() {
        let what = match rule["resources"][0].as_str() {
            Some("daemonsets") => "DaemonSet netpol-system/netpol",
            Some("namespaces") => "Namespace netpol-system",
            other => panic!("{other:?}: what the agent says of it belongs here"),
        };
        for verb in rule["verbs"].as_array().expect("verbs") {
            let verb = verb.as_str().expect("a verb");
            bed.apply(&without(&role, index, verb).to_string())?;
            let mut agent = start(&bed, &format!("no-{verb}-{index}"), &server)?;
            let code = agent.ends(Duration::from_secs(60));
            let said = agent.said();
            let sentence = format!("does not let the agent {verb} {what}");
            assert_eq!(code, Some(5), "{sentence}: {said}");
            let last = said.lines().last().unwrap_or_default();
            assert!(last.starts_with("netpol-agent: "), "{sentence}: {said}");
            assert!(last.contains(&sentence), "{sentence}: {said}");
            taken.push(verb.to_owned());
        }
    }
    assert_eq!(taken, ["get", "list", "watch", "get"]);
    Ok(())
}
