//! The taint that keeps pods away from a node until its agent enforces there for the first time.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Taint};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use netpol_api::{Call, Reply};
use serde_json::json;
use tokio::time::sleep;

use crate::api::{self, Doors};

/// The pause before the next attempt.
const AGAIN: Duration = Duration::from_secs(5);

/// Removes the taints of one key once every pod of the node is enforced; then it is done.
pub(crate) async fn remove_once_enforcing(
    client: Client,
    node: String,
    key: String,
    mut doors: Doors,
) {
    while !is_enforcing(&doors).await {
        if doors.revision.changed().await.is_err() {
            return;
        }
    }
    let nodes = Api::all(client);
    loop {
        match remove(&nodes, &node, &key).await {
            Ok(true) => return tracing::info!(node, key, "taint removed"),
            Ok(false) => return,
            Err(error) => tracing::warn!(node, key, %error, "cannot remove the taint; tried again"),
        }
        sleep(AGAIN).await;
    }
}

async fn is_enforcing(doors: &Doors) -> bool {
    matches!(api::ask(doors, Call::Status).await, Reply::Status(status) if status.enforcing)
}

/// False if there was none.
async fn remove(nodes: &Api<Node>, name: &str, key: &str) -> kube::Result<bool> {
    let node = nodes.get(name).await?;
    let Some(rest) = without(&node, key) else {
        return Ok(false);
    };
    // The version makes it fail if another one changed the node since.
    let patch = json!({
        "metadata": { "resourceVersion": node.resource_version() },
        "spec": { "taints": rest },
    });
    nodes
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(true)
}

/// The node's taints without those of a key; none if there is no such taint.
fn without(node: &Node, key: &str) -> Option<Vec<Taint>> {
    let taints = node.spec.as_ref()?.taints.as_ref()?;
    let rest: Vec<Taint> = taints
        .iter()
        .filter(|taint| taint.key != key)
        .cloned()
        .collect();
    (rest.len() < taints.len()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(keys: &[&str]) -> Node {
        let taint = |key: &&str| json!({ "key": key, "effect": "NoSchedule" });
        let taints: Vec<_> = keys.iter().map(taint).collect();
        serde_json::from_value(json!({ "metadata": {}, "spec": { "taints": taints } }))
            .expect("a node")
    }

    #[test]
    fn other_taints_stay() {
        let rest = without(&node(&["a", "ours", "b"]), "ours").expect("one to remove");
        let keys: Vec<&str> = rest.iter().map(|taint| taint.key.as_str()).collect();
        assert_eq!(keys, ["a", "b"]);
    }

    #[test]
    fn a_node_without_it_is_not_written() {
        assert_eq!(without(&node(&["a"]), "ours"), None);
        assert_eq!(without(&Node::default(), "ours"), None);
    }
}
