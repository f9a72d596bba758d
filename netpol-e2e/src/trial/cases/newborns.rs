//! Pods from their first instruction on: alone, while agents die, while the DaemonSet rolls.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use super::Measure;
use crate::{
    cluster::address,
    trial::{
        bed::Bed, findings::Findings, knocks::Knocks, nursery::Nursery, steady::Steady,
        world::World,
    },
};

/// Between two kills.
const KILLS: Duration = Duration::from_secs(4);

pub(super) fn undisturbed(bed: &mut Bed, measure: &Measure, findings: &mut Findings) -> Result<()> {
    let world = World::make(bed)?;
    let mut nursery = Nursery::default();
    let knocks = knock_everywhere(bed, &world)?;
    nursery.raise(bed, &world, measure.pods)?;
    let sent: usize = knocks.iter().map(Knocks::sent).sum();
    drop(knocks);
    findings.figure(
        "datagrams of strangers sent to every address pods can have",
        sent,
    );
    nursery.judge(&world, findings);
    world.remove(bed)
}

/// Every stranger knocks at every address of its own node.
fn knock_everywhere(bed: &Bed, world: &World) -> Result<Vec<Knocks>> {
    let mut spared = Vec::new();
    for role in ["allowed", "forbidden", "stranger", "client"] {
        spared.extend(world.all(role).into_iter().map(crate::lab::Host::addresses));
    }
    let mut knocks = Vec::new();
    for (number, _) in (1..).zip(bed.nodes()) {
        let stranger = world.host("stranger", usize::from(number));
        knocks.push(Knocks::start(
            stranger,
            address::pod_network(number),
            &spared,
        )?);
    }
    Ok(knocks)
}

pub(super) fn with_agents_killed(
    bed: &mut Bed,
    measure: &Measure,
    findings: &mut Findings,
) -> Result<()> {
    let world = World::make(bed)?;
    let steady = Steady::start(&world)?;
    let mut nursery = Nursery::default();
    let (done, kills) = (AtomicBool::new(false), AtomicUsize::new(0));
    let shared: &Bed = bed;
    let nodes = shared.nodes();
    thread::scope(|scope| -> Result<()> {
        let killer = scope.spawn(|| -> Result<()> {
            for node in nodes.iter().cycle() {
                let next = Instant::now() + KILLS;
                if done.load(Ordering::Relaxed) {
                    break;
                }
                shared.kill_agent(node)?;
                kills.fetch_add(1, Ordering::Relaxed);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            Ok(())
        });
        let raised = nursery.raise(shared, &world, measure.pods);
        done.store(true, Ordering::Relaxed);
        killer
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the killer panicked")))?;
        raised
    })?;
    findings.figure("agents killed", kills.load(Ordering::Relaxed));
    steady.finish(findings);
    nursery.judge(&world, findings);
    bed.rolled_out()?;
    world.remove(bed)
}

pub(super) fn while_rolling(
    bed: &mut Bed,
    measure: &Measure,
    findings: &mut Findings,
) -> Result<()> {
    let world = World::make(bed)?;
    let steady = Steady::start(&world)?;
    let mut nursery = Nursery::default();
    let first = bed.image.clone();
    let second = bed.retag("next")?;
    let done = AtomicBool::new(false);
    let shared: &Bed = bed;
    let rolls = thread::scope(|scope| -> Result<usize> {
        let roller = scope.spawn(|| -> Result<usize> {
            let mut rolls = 0;
            // At least there and back, however fast the pods are.
            for image in [&second, &first].into_iter().cycle() {
                if rolls >= 2 && rolls % 2 == 0 && done.load(Ordering::Relaxed) {
                    break;
                }
                shared.roll(image)?;
                rolls += 1;
            }
            Ok(rolls)
        });
        let raised = nursery.raise(shared, &world, measure.pods);
        done.store(true, Ordering::Relaxed);
        let rolls = roller
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the roller panicked")));
        raised.and(rolls)
    })?;
    findings.figure("rolls of the DaemonSet to another image", rolls);
    steady.finish(findings);
    nursery.judge(&world, findings);
    world.remove(bed)
}
