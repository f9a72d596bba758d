//! The API server goes away and comes back.

use std::{thread, time::Instant};

use anyhow::{Result, anyhow};

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
    let mut nursery = Nursery::default();
    let shared: &Bed = bed;
    let (followed, enforced) = thread::scope(|scope| -> Result<_> {
        let following = scope.spawn(|| {
            until("agents that follow the API server again", PATIENCE, || {
                Ok(shared.following().unwrap_or(false).then_some(()))
            })?;
            let followed = back.elapsed();
            until("what the API server has now, in force", PATIENCE, || {
                Ok(shared.enforced().ok())
            })?;
            Ok((followed, back.elapsed()))
        });
        // Deleted and made again as soon as there is somebody to tell.
        nursery.raise(shared, &world, AFTER)?;
        following
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the wait panicked")))
    })?;
    findings.figure(
        "from its return until every agent follows it again",
        ms(followed),
    );
    findings.figure(
        "from its return until all pods are made again and enforced, the kubelets' pause included",
        ms(enforced),
    );
    steady.finish(findings);
    nursery.judge(&world, findings);
    world.remove(bed)
}
