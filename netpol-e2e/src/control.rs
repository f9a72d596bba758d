//! What the control plane costs: the agent that is shipped, a real kernel, clusters of up to 100,000
//! pods and 10,000 policies.
//!
//! ```text
//! world, pod, policy: the cluster --> server: an API server from memory
//!                                        |  HTTP, JSON, as from a real one
//! node: interfaces of 110 pods ---- agent: the program that is shipped --> BPF maps
//!                                        |
//!              starts, changes, idle <-- its log, its memory, its processor time
//!                          '--> report: targets, verdicts, growth
//! ```
//! Times are those of a clock, from when the server sends a change, or the process starts, until the
//! agent has written the last entry. Beside them stands what the agent used of a processor, which
//! does not depend on who else uses it.

mod agent;
mod changes;
mod idle;
mod node;
mod pod;
mod policy;
pub mod report;
mod server;
mod starts;
mod world;

use anyhow::Result;
use report::{Figures, Report};

pub use world::{Kind, LOCAL, NODE, Object, Size};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Sizes of clusters, the largest last.
    pub sizes: Vec<Size>,
    /// How often each change is made.
    pub rounds: usize,
    /// How often the agent is started, of which the median counts.
    pub starts: usize,
    /// Minutes for which nothing happens.
    pub idle_minutes: u32,
}

/// Measures, and says meanwhile what.
///
/// # Errors
/// Without root, and when the agent fails.
pub fn measure(plan: &Plan, say: &dyn Fn(&str)) -> Result<Report> {
    let mut figures = Vec::new();
    for (place, size) in plan.sizes.iter().enumerate() {
        let is_largest = place + 1 == plan.sizes.len();
        figures.push(of_size(*size, plan, is_largest, say)?);
    }
    Ok(Report::new(figures))
}

fn of_size(size: Size, plan: &Plan, is_largest: bool, say: &dyn Fn(&str)) -> Result<Figures> {
    let Size { policies, pods } = size;
    let say = |what: &str| say(&format!("{policies} policies, {pods} pods: {what}"));
    say("the cluster is made");
    let mut node = node::Node::of(size)?;
    say("first programming");
    let (agent, first) = starts::first(&mut node, plan.starts)?;
    say("changes");
    let changes = changes::of(&agent, &node, size, plan.rounds)?;
    let idle = if is_largest && plan.idle_minutes > 0 {
        say(&format!("{} minutes of nothing", plan.idle_minutes));
        Some(idle::share(&agent, &node, plan.idle_minutes)?)
    } else {
        None
    };
    let memory = agent.memory()?;
    say("the agent starts again");
    let restarts = starts::again(agent, &node, size, plan.starts)?;
    Ok(Figures {
        size,
        first,
        changes,
        memory,
        restarts,
        idle,
    })
}
