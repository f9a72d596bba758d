//! The API server goes away and comes back.

use std::{
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

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
    let (back, back_at) = (
        Instant::now(),
        SystemTime::now().duration_since(UNIX_EPOCH)?,
    );
    let mut nursery = Nursery::default();
    let shared: &Bed = bed;
    let (followed, enforced) = thread::scope(|scope| -> Result<_> {
        let following = scope.spawn(|| {
            // The question needs a kubelet that follows it too; the answer says since when.
            let since = until("agents that follow the API server again", PATIENCE, || {
                Ok(shared.following_since().unwrap_or_default())
            })?;
            let followed = since.saturating_sub(back_at.as_secs());
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
        format!("{followed} s"),
    );
    findings.figure(
        "from its return until all pods are made again and enforced, the kubelets' pause included",
        ms(enforced),
    );
    steady.finish(findings);
    nursery.judge(&world, findings);
    world.remove(bed)
}
