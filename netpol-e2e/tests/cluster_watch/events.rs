//! What is told of policies and pods by Events.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use netpol_api::EndpointState;
use netpol_e2e::cluster::Result;

use super::{
    ADDRESS, UNREADABLE,
    bed::{Bed, NODE, endpoint, is_isolated, skipped},
    rights,
};

/// More than an agent with the smallest tables has room for.
const LARGE: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: large, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - {from: [{ipBlock: {cidr: 10.1.0.0/16}}], ports: [{port: 1}]}
  - {from: [{ipBlock: {cidr: 10.2.0.0/16}}], ports: [{port: 2}]}
  - {from: [{ipBlock: {cidr: 10.3.0.0/16}}], ports: [{port: 3}]}
";
const SMALL: &[&str] = &["--max-policy-entries", "2"];

/// The reasons of the Events about an object, as often as they are there.
fn reasons(bed: &Bed, kind: &str, name: &str) -> Result<Vec<String>> {
    let fields = format!("regarding.kind={kind},regarding.name={name}");
    let template = "jsonpath={range .items[*]}{.reason}{\"\\n\"}{end}";
    let said = bed.cluster.kubectl().run(&[
        "get",
        "events.events.k8s.io",
        "-n",
        "shop",
        "--field-selector",
        &fields,
        "-o",
        template,
    ])?;
    let mut reasons: Vec<String> = said.lines().map(str::to_owned).collect();
    reasons.sort();
    Ok(reasons)
}

fn until_reasons(bed: &Bed, kind: &str, name: &str, wanted: &[&str]) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let there = reasons(bed, kind, name)?;
        if there == wanted {
            return Ok(());
        }
        assert!(Instant::now() < deadline, "{there:?}, not {wanted:?}");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_is_not_enforced_as_written_is_told_once_by_events_of_the_object() -> Result<()> {
    if skipped("events") {
        return Ok(());
    }
    let bed = Bed::up("events")?;
    bed.interface("vdb", ADDRESS)?;
    bed.pod("db", NODE, ADDRESS)?;
    bed.apply(UNREADABLE)?;
    bed.apply(&rights("writer", None))?;
    let kubeconfig = bed.cluster.kubeconfig_inside_for("writer", &[])?;
    let without = bed.agent("without", NODE, &kubeconfig)?;
    let status = without.until("an Event is lost", |status| !status.notes.is_empty());
    assert!(is_isolated(&status), "{status:#?}");
    assert!(status.notes[0].text.starts_with("1 Events"), "{status:#?}");
    let said = without.said();
    let refusals = said.matches("may not create events.events.k8s.io");
    assert_eq!(refusals.count(), 1, "{said}");
    drop(without);

    bed.apply(EVENT_RIGHTS)?;
    for times in 1..=2 {
        let name = format!("agent-{times}");
        let agent = bed.agent_with(&name, NODE, &kubeconfig, |command| {
            command.args(SMALL);
        })?;
        agent.until("isolated", is_isolated);
        bed.apply(LARGE)?;
        agent.until("closed", |status| {
            endpoint(status).is_some_and(|e| matches!(e.state, EndpointState::Closed { .. }))
        });
        let delete = ["delete", "networkpolicy", "-n", "shop", "large"];
        bed.cluster.kubectl().run(&delete)?;
        agent.until("judged again", is_isolated);
        let told = ["NetworkClosed", "NetworkEnforced"];
        let mut wanted: Vec<&str> = told.into_iter().flat_map(|r| vec![r; times]).collect();
        wanted.sort_unstable();
        until_reasons(&bed, "Pod", "db", &wanted)?;
        // The second agent had the same to say, before the rest.
        until_reasons(&bed, "NetworkPolicy", "mapped", &["InvalidPolicy"])?;
        let status = agent.until("a status", |_| true);
        assert!(status.notes.is_empty(), "nothing lost: {status:#?}");
    }
    let pod = bed
        .cluster
        .kubectl()
        .run(&["describe", "pod", "-n", "shop", "db"])?;
    assert!(pod.contains("its policies do not fit the maps"), "{pod}");
    let policy = ["events", "-n", "shop", "--for", "networkpolicy/mapped"];
    let policy = bed.cluster.kubectl().run(&policy)?;
    assert!(
        policy.contains("spec.ingress[0].from[0].ipBlock.cidr"),
        "{policy}"
    );
    Ok(())
}

/// What the manifests grant to write Events.
const EVENT_RIGHTS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: events}
rules:
  - {apiGroups: [events.k8s.io], resources: [events], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: events}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: events}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: writer}]
";
