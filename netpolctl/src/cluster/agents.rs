//! Which pod is a node's agent, and why a node has none.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerState, Pod};

/// What was found of a node's agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The pod of this name answers, or should.
    Pod(String),
    /// There is none that could, for this reason.
    None(String),
}

/// The agent of every node: of those that have an agent's pod, and of all `nodes`.
pub(crate) fn by_node(pods: &[Pod], nodes: &[String]) -> BTreeMap<String, Found> {
    let mut by_node: BTreeMap<String, Vec<&Pod>> = BTreeMap::new();
    for node in nodes {
        by_node.entry(node.clone()).or_default();
    }
    for pod in pods {
        if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
            by_node.entry(node).or_default().push(pod);
        }
    }
    by_node
        .into_iter()
        .map(|(node, pods)| (node, of_node(&pods)))
        .collect()
}

/// While a DaemonSet replaces its pods a node may have two: the one that stays counts.
fn of_node(pods: &[&Pod]) -> Found {
    let best = pods.iter().max_by_key(|pod| {
        let created = pod.metadata.creation_timestamp.as_ref();
        let stays = pod.metadata.deletion_timestamp.is_none();
        (is_running(pod), stays, created.map(|time| time.0))
    });
    match best {
        None => {
            Found::None("no agent's pod runs there: is netpol's DaemonSet kept from it?".into())
        }
        Some(pod) if is_running(pod) => Found::Pod(name(pod)),
        Some(pod) => Found::None(format!("pod {}: {}", name(pod), why_not(pod))),
    }
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

/// Whether the agent's container runs: one that is not ready may well say why.
fn is_running(pod: &Pod) -> bool {
    states(pod).any(|state| state.running.is_some())
}

fn states(pod: &Pod) -> impl Iterator<Item = &ContainerState> {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let agent = containers
        .into_iter()
        .flatten()
        .filter(|c| c.name == "agent");
    agent.filter_map(|container| container.state.as_ref())
}

/// Why the agent's container does not run, in the kubelet's words.
fn why_not(pod: &Pod) -> String {
    for state in states(pod) {
        let (reason, message) = match (&state.waiting, &state.terminated) {
            (Some(waiting), _) => (waiting.reason.clone(), waiting.message.clone()),
            (_, Some(ended)) => (ended.reason.clone(), ended.message.clone()),
            _ => continue,
        };
        let words = [reason, message].into_iter().flatten();
        let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
        if !words.is_empty() {
            return words.join(", ");
        }
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
    format!("its phase is {}", phase.as_deref().unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, node: &str, state: &Value) -> Pod {
        let pod = json!({
            "metadata": {"name": name},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": "Pending", "containerStatuses": [{
                "name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": state,
            }]},
        });
        serde_json::from_value(pod).expect("a pod")
    }

    fn running() -> Value {
        json!({"running": {}})
    }

    #[test]
    fn a_node_without_a_pod_counts_as_not_answering() {
        let pods = [pod("netpol-a", "one", &running())];
        let found = by_node(&pods, &["one".to_owned(), "two".to_owned()]);
        assert_eq!(found["one"], Found::Pod("netpol-a".to_owned()));
        assert!(matches!(&found["two"], Found::None(reason) if reason.contains("no agent's pod")));
    }

    #[test]
    fn without_the_right_to_list_nodes_those_of_the_pods_remain() {
        let found = by_node(&[pod("netpol-a", "one", &running())], &[]);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_pod_that_does_not_run_says_why() {
        let waiting =
            json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
        let found = by_node(&[pod("netpol-a", "one", &waiting)], &[]);
        let reason = "pod netpol-a: ImagePullBackOff, no such image".to_owned();
        assert_eq!(found["one"], Found::None(reason));
    }

    #[test]
    fn of_two_pods_the_one_that_runs_and_stays_counts() {
        let mut leaving = pod("old", "one", &running());
        leaving.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-11-22T08:00:00Z")).expect("a time"));
        let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
        let starting = pod("new", "one", &waiting);
        let found = by_node(&[leaving.clone(), starting], &[]);
        assert_eq!(found["one"], Found::Pod("old".to_owned()));
        let found = by_node(&[leaving, pod("new", "one", &running())], &[]);
        assert_eq!(found["one"], Found::Pod("new".to_owned()));
    }
}
