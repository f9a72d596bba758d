//! What should be in force where: policies with their versions, and the pods they select, by the
//! API server. An agent's own word on that is not asked: it may be behind.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use netpol_api::ObjectName;
use netpol_policy::{Object, Pod, Policy};
use serde::Serialize;

use super::argument::Selection;
use crate::cluster::Cluster;

/// A policy, and where it should be in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) policy: ObjectName,
    /// `metadata.uid`.
    pub(crate) uid: String,
    /// `metadata.generation`; later ones do as well.
    pub(crate) generation: Option<i64>,
    pub(crate) pods: Vec<WantedPod>,
    /// Selected pods on a node that have no address yet: they have no traffic to judge.
    pub(crate) without_address: u64,
}

/// A pod that a policy selects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WantedPod {
    pub(crate) node: String,
    pub(crate) pod: ObjectName,
    pub(crate) uid: String,
}

impl Wanted {
    /// Reads policies and pods. Of a cluster seen through some nodes only, the pods of these count.
    pub(crate) async fn read(
        cluster: &Cluster,
        selection: &Selection,
        nodes: &[String],
    ) -> Result<Vec<Self>> {
        let (policies, namespace) = match selection {
            Selection::Named { namespace, names } => {
                let mut policies = Vec::new();
                for name in names {
                    policies.push(cluster.policy(namespace, name).await?);
                }
                (policies, Some(namespace.as_str()))
            }
            Selection::All(namespace) => {
                let namespace = namespace.as_deref();
                (cluster.policies(namespace).await?, namespace)
            }
        };
        let policies: Vec<Arc<Policy>> = (policies.iter()).map(policy_of).collect::<Result<_>>()?;
        // One policy's pods are picked by the server, those of many here.
        let selector = match policies.as_slice() {
            [] => return Ok(Vec::new()),
            [one] => one.subjects.to_string(),
            _ => String::new(),
        };
        let pods = cluster.pods(namespace, &selector).await?;
        let pods: Vec<Box<Pod>> = pods.iter().map(pod_of).collect::<Result<_>>()?;
        let wanted = policies.iter().map(|policy| wanted(policy, &pods, nodes));
        Ok(wanted.collect())
    }
}

fn wanted(policy: &Policy, pods: &[Box<Pod>], nodes: &[String]) -> Wanted {
    let mut wanted = Wanted {
        policy: name(&policy.key),
        uid: policy.version.uid.clone(),
        generation: policy.version.generation,
        pods: Vec::new(),
        without_address: 0,
    };
    let selected = pods.iter().filter(|pod| {
        pod.key.namespace == policy.key.namespace
            && pod.is_selectable()
            && policy.subjects.matches(&pod.labels)
    });
    for pod in selected {
        let Some(node) = &pod.node else { continue };
        if !nodes.is_empty() && !nodes.contains(&node.to_string()) {
            continue;
        }
        if pod.addresses.is_empty() {
            wanted.without_address += 1;
            continue;
        }
        wanted.pods.push(WantedPod {
            node: node.to_string(),
            pod: name(&pod.key),
            uid: pod.uid.to_string(),
        });
    }
    wanted.pods.sort();
    wanted
}

fn name(key: &netpol_policy::ObjectKey) -> ObjectName {
    ObjectName {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

fn policy_of(policy: &NetworkPolicy) -> Result<Arc<Policy>> {
    match read(policy)? {
        Some(Object::NetworkPolicy(policy)) => Ok(policy),
        _ => bail!("the API server answered with something else than a NetworkPolicy"),
    }
}

fn pod_of(pod: &v1::Pod) -> Result<Box<Pod>> {
    match read(pod)? {
        Some(Object::Pod(pod)) => Ok(pod),
        _ => bail!("the API server answered with something else than a Pod"),
    }
}

/// As the agent reads it.
fn read(object: &impl Serialize) -> Result<Option<Object>> {
    let value = serde_json::to_value(object).context("read the API server's answer")?;
    Ok(Object::from_value(&value)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, node: &Value, status: &Value) -> Box<Pod> {
        let pod = json!({
            "metadata": {
                "namespace": "shop", "name": name, "uid": format!("uid-{name}"),
                "labels": { "app": "web" },
            },
            "spec": { "nodeName": node, "containers": [] },
            "status": status,
        });
        pod_of(&serde_json::from_value(pod).expect("a pod")).expect("readable")
    }

    fn running(address: &str) -> Value {
        json!({ "phase": "Running", "podIPs": [{ "ip": address }] })
    }

    fn policy(labels: &Value) -> Arc<Policy> {
        let policy = json!({
            "metadata": {
                "namespace": "shop", "name": "p", "uid": "uid-p", "generation": 3,
            },
            "spec": { "podSelector": { "matchLabels": labels }, "policyTypes": ["Ingress"] },
        });
        policy_of(&serde_json::from_value(policy).expect("a policy")).expect("readable")
    }

    fn names(wanted: &Wanted) -> Vec<&str> {
        wanted
            .pods
            .iter()
            .map(|pod| pod.pod.name.as_str())
            .collect()
    }

    #[test]
    fn it_is_in_force_where_it_selects_pods_that_have_traffic() {
        let gone = json!({ "phase": "Succeeded", "podIPs": [{ "ip": "10.0.0.3" }] });
        let pods = [
            pod("b", &json!("two"), &running("10.0.0.2")),
            pod("a", &json!("one"), &running("10.0.0.1")),
            pod("finished", &json!("one"), &gone),
            pod("starting", &json!("one"), &json!({ "phase": "Pending" })),
            pod("unscheduled", &json!(null), &json!({ "phase": "Pending" })),
        ];
        let all = wanted(&policy(&json!({ "app": "web" })), &pods, &[]);
        assert_eq!(names(&all), ["a", "b"]);
        assert_eq!((all.uid.as_str(), all.generation), ("uid-p", Some(3)));
        assert_eq!(all.without_address, 1);
        let one = wanted(&policy(&json!({})), &pods, &["two".to_owned()]);
        assert_eq!(names(&one), ["b"]);
        let none = wanted(&policy(&json!({ "app": "db" })), &pods, &[]);
        assert!(none.pods.is_empty());
    }
}
