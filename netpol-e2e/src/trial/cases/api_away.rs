//! The API server goes away and comes back.

use std::{thread, time::Instant};

use anyhow::Result;

use super::Measure;
use crate::trial::{
    bed::{Bed, PATIENCE, until},
    findings::{Findings, ms},
    nursery::Nursery,
    steady::Steady,
    world::World,
};

/// Pods made right after it is back.
const AFTER: usize = 20;

pub(super) fn outage(bed: &mut Bed, measure: &Measure, findings: &mut Findings) -> Result<()> {
    let world = World::make(bed)?;
    let steady = Steady::start(&world)?;
    bed.cluster().stop_api_server()?;
    let stopped = Instant::now();
    thread::sleep(measure.away() / 2);
    // The kubelet starts it again by itself; it finds no API server and must leave all as it is.
    let node = bed.nodes()[0].clone();
    let killed = bed.agent_process(&node)?;
    if let Some(agent) = killed {
        agent.signal(nix::sys::signal::Signal::SIGKILL);
    }
    thread::sleep(measure.away() / 2);
    findings.figure(
        "without an API server",
        format!("{:.0} s", stopped.elapsed().as_secs_f64()),
    );
    findings.figure(
        "agents killed and started again meanwhile",
        usize::from(killed.is_some()),
    );
    bed.cluster().start_api_server()?;
    let back = Instant::now();
    // Deleted and made again as soon as there is somebody to tell.
    let mut nursery = Nursery::default();
    nursery.raise(bed, &world, AFTER)?;
    until("agents that follow the API server again", PATIENCE, || {
        Ok(bed.enforced().ok())
    })?;
    findings.figure(
        "from its return until all it has is in force",
        ms(back.elapsed()),
    );
    steady.finish(findings);
    nursery.judge(&world, findings);
    world.remove(bed)
}
