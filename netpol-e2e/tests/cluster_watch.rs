//! An agent and a real API server: in sync, away, back, refused, told of what is not enforced.

#[path = "cluster_watch/bed.rs"]
mod bed;
#[path = "cluster_watch/events.rs"]
mod events;
#[path = "cluster_watch/uninstaller.rs"]
mod uninstaller;

use std::time::Duration;

use bed::{Agent, Bed, NODE, endpoint, is_isolated, skipped};
use netpol_api::{Status, WatchState};
use netpol_e2e::cluster::Result;

const ADDRESS: &str = "10.99.0.2";

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]
";

/// The API server accepts it with a warning; packets carry IPv4, so it is refused here (ADR 4).
const UNREADABLE: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: mapped, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{ipBlock: {cidr: '::ffff:10.0.0.0/104'}}]}]
";

#[test]
fn what_is_in_force_outlives_the_api_server_and_a_relist_changes_what_differs() -> Result<()> {
    if skipped("api_server_away") {
        return Ok(());
    }
    let bed = Bed::up("watch")?;
    bed.interface("vdb", ADDRESS)?;
    bed.pod("db", NODE, ADDRESS)?;
    bed.pod("web", "node-b", "10.99.1.1")?;
    bed.pod("idle", "node-b", "10.99.1.2")?;
    bed.apply(POLICY)?;
    let agent = bed.agent("agent", NODE, &bed.cluster.kubeconfig_inside())?;
    let before = agent.until("in force", is_isolated);
    let server = before.api_server.clone().expect("an API server");
    assert_eq!(server.interrupted_since, None);
    assert!(
        server
            .watches
            .iter()
            .all(|w| w.state == WatchState::Watching)
    );

    bed.cluster.stop_api_server()?;
    let away = agent.until("the loss is said", |status| {
        let server = status.api_server.as_ref();
        server.is_some_and(|server| server.interrupted_since.is_some())
    });
    assert!(away.enforcing && is_isolated(&away), "{away:#?}");
    assert_eq!(away.generation, before.generation);

    let generation = |status| endpoint(status).map(|endpoint| endpoint.generation);
    let back = miss(&bed, &agent, "idle", 2)?;
    assert!(is_isolated(&back));
    assert_eq!(generation(&back), generation(&before), "db was judged anew");
    bed.cluster.stop_api_server()?;
    let back = miss(&bed, &agent, "web", 1)?;
    assert!(is_isolated(&back));
    // What was allowed to the address that web had is not to the next one who has it.
    assert!(generation(&back) > generation(&before), "{back:#?}");
    let server = back.api_server.expect("an API server");
    assert!(
        server.watches.iter().any(|watch| watch.relists > 0),
        "{server:#?}"
    );

    bed.cluster
        .kubectl()
        .run(&["delete", "networkpolicy", "-n", "shop", "to-db"])?;
    agent.until("open", |status| !is_isolated(status));
    Ok(())
}

/// Deletes a pod while the agent sees nothing of it and the server is made to forget; gives the status
/// once the agent knows how many pods remain. The server is stopped before.
fn miss(bed: &Bed, agent: &Agent, pod: &str, remain: u64) -> Result<Status> {
    agent.signal("-STOP");
    bed.cluster.start_api_server()?;
    let delete = ["delete", "pod", "-n", "shop", pod, "--force"];
    bed.cluster.kubectl().run(&delete)?;
    bed.cluster.stop_api_server()?;
    bed.cluster.start_api_server()?;
    agent.signal("-CONT");
    Ok(agent.until("back in sync", |status| {
        let server = status.api_server.as_ref();
        server.is_some_and(|server| {
            let pods = server.watches.iter().find(|watch| watch.kind == "Pod");
            let remain = pods.is_some_and(|pods| pods.objects == remain);
            server.interrupted_since.is_none() && remain
        })
    }))
}

#[test]
fn an_object_that_cannot_be_read_closes_and_stalls_nothing() -> Result<()> {
    if skipped("unreadable_object") {
        return Ok(());
    }
    let bed = Bed::up("odd")?;
    bed.interface("vdb", ADDRESS)?;
    bed.pod("db", NODE, ADDRESS)?;
    bed.apply(UNREADABLE)?;
    let agent = bed.agent("agent", NODE, &bed.cluster.kubeconfig_inside())?;
    let status = agent.until("closed", is_isolated);
    let invalid = status.invalid.iter();
    let named: Vec<_> = invalid.filter_map(|i| i.object.as_deref()).collect();
    assert_eq!(named, ["NetworkPolicy shop/mapped"]);
    bed.cluster
        .kubectl()
        .run(&["delete", "networkpolicy", "-n", "shop", "mapped"])?;
    agent.until("open", |status| {
        !is_isolated(status) && status.invalid.is_empty()
    });
    Ok(())
}

const RESOURCES: [(&str, &str); 6] = [
    ("", "namespaces"),
    ("", "nodes"),
    ("", "pods"),
    ("", "services"),
    ("discovery.k8s.io", "endpointslices"),
    ("networking.k8s.io", "networkpolicies"),
];

/// The rights of an agent, without one verb on one resource.
fn rights(user: &str, without: Option<(&str, &str)>) -> String {
    let mut rules = String::new();
    for (group, resource) in RESOURCES {
        let verbs = ["list", "watch"].into_iter();
        let verbs: Vec<_> = verbs
            .filter(|verb| without != Some((resource, verb)))
            .collect();
        let verbs = verbs.join(", ");
        rules +=
            &format!("  - {{apiGroups: ['{group}'], resources: [{resource}], verbs: [{verbs}]}}\n");
    }
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {user}}}
rules:
{rules}---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {user}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {user}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}]
"
    )
}

#[test]
fn each_right_that_is_missing_is_named_and_ends_the_agent() -> Result<()> {
    if skipped("missing_rights") {
        return Ok(());
    }
    let bed = Bed::up("rights")?;
    bed.apply(&rights("whole", None))?;
    let kubeconfig = bed.cluster.kubeconfig_inside_for("whole", &[])?;
    let agent = bed.agent("whole", NODE, &kubeconfig)?;
    agent.until("in sync with these rights", |status| status.enforcing);

    let mut nameless = bed.agent("nameless", "nowhere", &kubeconfig)?;
    let mut refused = Vec::new();
    for (_, resource) in RESOURCES {
        for verb in ["list", "watch"] {
            let user = format!("no-{verb}-{resource}");
            bed.apply(&rights(&user, Some((resource, verb))))?;
            let kubeconfig = bed.cluster.kubeconfig_inside_for(&user, &[])?;
            let agent = bed.agent(&user, NODE, &kubeconfig)?;
            refused.push((format!("may not {verb} {resource}"), agent));
        }
    }
    let broken = bed.cluster.directory().join("broken-kubeconfig");
    std::fs::write(&broken, "{clusters: 7}").expect("written");
    refused.push((
        "broken-kubeconfig does not do".to_owned(),
        bed.agent("broken", NODE, &broken)?,
    ));
    for (sentence, mut agent) in refused {
        let code = agent.ends(Duration::from_secs(60));
        let said = agent.said();
        assert_eq!(code, Some(5), "{sentence}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("netpol-agent: ") && last.contains(&sentence),
            "{sentence}: {said}"
        );
    }
    assert_eq!(nameless.ends(Duration::from_secs(60)), Some(5));
    assert!(
        nameless.said().contains("no Node nowhere"),
        "{}",
        nameless.said()
    );
    Ok(())
}
