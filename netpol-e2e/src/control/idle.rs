//! What an agent uses while nothing happens.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    agent::{Agent, CALM},
    node::Node,
};

const MINUTE: Duration = Duration::from_secs(60);

/// The share of a processor, over some minutes: in each the agent compares the maps once.
pub(super) fn share(agent: &Agent, node: &Node, minutes: u32) -> Result<f64> {
    agent.calm(CALM);
    let (began, before) = (Instant::now(), agent.cpu()?);
    for _ in 0..minutes {
        thread::sleep(MINUTE);
        node.server.bookmark();
    }
    let used = agent.cpu()?.saturating_sub(before);
    Ok(used.as_secs_f64() / began.elapsed().as_secs_f64())
}
