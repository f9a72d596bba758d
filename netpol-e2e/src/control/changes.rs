//! Single changes, there and back, one at a time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    agent::{Agent, SETTLED},
    node::Node,
    world::{Kind, Object, Size},
};

/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one change takes.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeFigures {
    /// Which change.
    pub change: Change,
    /// Milliseconds from the server's word to the last entry written: the median.
    pub median: f64,
    /// The tenth part takes longer.
    pub slow: f64,
    /// Milliseconds of a processor: the mean.
    pub cpu: f64,
    /// Operations on the maps: the median.
    pub operations: u64,
}

/// A change that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A pod of another node comes.
    RemotePodComes,
    /// It goes.
    RemotePodGoes,
    /// The labels of a pod of another node change.
    RemotePodLabels,
    /// The labels of a pod of this node change, and so which policies select it.
    LocalPodLabels,
    /// The labels of a namespace of 200 pods change.
    NamespaceLabels,
    /// A rule of a policy changes.
    Policy,
}

impl Change {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::RemotePodComes,
        Self::RemotePodGoes,
        Self::RemotePodLabels,
        Self::LocalPodLabels,
        Self::NamespaceLabels,
        Self::Policy,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::RemotePodComes => "a remote pod comes",
            Self::RemotePodGoes => "a remote pod goes",
            Self::RemotePodLabels => "a remote pod's labels",
            Self::LocalPodLabels => "a local pod's labels",
            Self::NamespaceLabels => "a namespace's labels",
            Self::Policy => "a policy's rule",
        }
    }

    /// There and back.
    fn steps(self, size: Size) -> [Step; 2] {
        let local = size.local_of_policy();
        let remote = local + 1;
        let pod = |value| Object {
            kind: Kind::Pod,
            value,
        };
        match self {
            Self::RemotePodComes | Self::RemotePodGoes => {
                let new = pod(size.pod_like(remote, size.pods));
                let steps = [Step::set(new.clone()), Step::remove(new)];
                steps.map(|step| match (self, step.is_removal) {
                    (Self::RemotePodComes, false) | (Self::RemotePodGoes, true) => step,
                    _ => Step {
                        counts: false,
                        ..step
                    },
                })
            }
            Self::RemotePodLabels => {
                let mut value = size.pod(remote);
                value["metadata"]["labels"] = json!({ "changed": "yes" });
                [Step::set(pod(value)), Step::set(pod(size.pod(remote)))]
            }
            Self::LocalPodLabels => {
                let mut value = size.pod(local);
                value["metadata"]["labels"]["tier"] = Value::from("other");
                [Step::set(pod(value)), Step::set(pod(size.pod(local)))]
            }
            Self::NamespaceLabels => {
                let namespace = size.namespace_of(local);
                let team = size.team_of_policies(namespace);
                [
                    Step::set(size.namespace(namespace, Some(team))),
                    Step::set(size.namespace(namespace, None)),
                ]
            }
            Self::Policy => {
                let policy = |value| Object {
                    kind: Kind::NetworkPolicy,
                    value,
                };
                let before = size.policy(size.policy_of(local));
                let mut value = before.clone();
                value["spec"]["ingress"][0]["ports"][0]["port"] = 8081.into();
                [Step::set(policy(value)), Step::set(policy(before))]
            }
        }
    }
}

struct Step {
    object: Object,
    is_removal: bool,
    counts: bool,
}

impl Step {
    fn set(object: Object) -> Self {
        Self {
            object,
            is_removal: false,
            counts: true,
        }
    }

    fn remove(object: Object) -> Self {
        Self {
            is_removal: true,
            ..Self::set(object)
        }
    }
}

struct Sample {
    took: Duration,
    cpu: Duration,
    operations: u64,
}

/// Measures all changes.
pub(super) fn of(
    agent: &Agent,
    node: &Node,
    size: Size,
    rounds: usize,
) -> Result<Vec<ChangeFigures>> {
    let mut figures = Vec::new();
    for change in Change::ALL {
        let steps = change.steps(size);
        let mut samples = Vec::new();
        // The first round is for what is allocated once.
        for round in 0..=rounds {
            for step in &steps {
                let sample = sample(agent, node, step).context(change.words())?;
                if round > 0 && step.counts {
                    samples.push(sample);
                }
            }
        }
        figures.push(figures_of(change, &mut samples));
    }
    Ok(figures)
}

fn sample(agent: &Agent, node: &Node, step: &Step) -> Result<Sample> {
    agent.calm(SETTLED);
    let before = agent.cpu()?;
    let sent = Instant::now();
    if step.is_removal {
        node.server.remove(&step.object);
    } else {
        node.server.set(&step.object);
    }
    let (done, operations) = agent.in_force(PATIENCE)?;
    let more = agent.calm(SETTLED);
    Ok(Sample {
        took: done - sent,
        cpu: agent.cpu()?.saturating_sub(before),
        operations: operations + more,
    })
}

fn figures_of(change: Change, samples: &mut [Sample]) -> ChangeFigures {
    samples.sort_by_key(|sample| sample.took);
    let at = |share: usize| &samples[(samples.len() - 1) * share / 100];
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let cpu: Duration = samples.iter().map(|sample| sample.cpu).sum();
    ChangeFigures {
        change,
        median: millis(at(50).took),
        slow: millis(at(90).took),
        cpu: millis(cpu) / samples.len() as f64,
        operations: at(50).operations,
    }
}
