//! Starting: with empty maps, and over what a former agent left.

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::json;

use super::{
    agent::{Agent, CALM, Start},
    node::Node,
    world::{Kind, Object, Size},
};

/// How many pods change while no agent runs.
const CHANGED: [u32; 3] = [0, 10, 100];

/// How starting went: the median by time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StartFigures {
    /// Pods that changed since the last agent.
    pub changed: u32,
    /// Seconds until every object was there.
    pub synced: f64,
    /// Seconds until everything was in force.
    pub ready: f64,
    /// Seconds of a processor, until then.
    pub cpu: f64,
    /// Operations on the maps, the most of any start.
    pub operations: u64,
}

/// Starts agents over empty maps; the last goes on.
pub(super) fn first(node: &mut Node, count: usize) -> Result<(Agent, StartFigures)> {
    let mut starts = Vec::new();
    loop {
        node.empty_maps()?;
        let agent = Agent::start(&node.place)?;
        starts.push(agent.ready()?);
        if starts.len() >= count {
            agent.calm(CALM);
            return Ok((agent, median(0, &starts)));
        }
        agent.stop()?;
    }
}

/// Starts agents over what is in force, with so many pods changed in between.
pub(super) fn again(
    mut agent: Agent,
    node: &Node,
    size: Size,
    count: usize,
) -> Result<Vec<StartFigures>> {
    let mut figures = Vec::new();
    for changed in CHANGED {
        let mut starts = Vec::new();
        while starts.len() < count {
            agent.stop()?;
            let is_odd = starts.len().is_multiple_of(2);
            for pod in remote_pods(size).take(changed as usize) {
                let mut value = size.pod(pod);
                if is_odd {
                    value["metadata"]["labels"] = json!({ "changed": "yes" });
                }
                let kind = Kind::Pod;
                node.server.set(&Object { kind, value });
            }
            agent = Agent::start(&node.place)?;
            starts.push(agent.ready()?);
            agent.calm(CALM);
        }
        let start = median(changed, &starts);
        ensure!(
            changed == 0 || start.operations > 0,
            "{changed} pods changed, and nothing was written"
        );
        figures.push(start);
    }
    agent.stop()?;
    Ok(figures)
}

/// Pods of other nodes that policies here ask for.
fn remote_pods(size: Size) -> impl Iterator<Item = u32> {
    let apart = size.pods / 128;
    (0..128)
        .map(move |place| place * apart + 1)
        .filter(move |pod| size.is_asked_for(*pod))
}

fn median(changed: u32, starts: &[Start]) -> StartFigures {
    let mut starts = starts.to_vec();
    let operations = starts.iter().map(|start| start.operations).max();
    starts.sort_by_key(|start| start.ready);
    let start = starts[starts.len() / 2];
    StartFigures {
        changed,
        synced: start.synced.as_secs_f64(),
        ready: start.ready.as_secs_f64(),
        cpu: start.cpu.as_secs_f64(),
        operations: operations.unwrap_or_default(),
    }
}
