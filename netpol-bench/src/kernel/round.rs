//! One run after the other, in turns: what disturbs this machine for a moment disturbs all of them.

use anyhow::{Context, bail};
use netpol_common::Direction;
use netpol_common::held::Held;
use netpol_common::maps;

use super::Kernel;
use super::load::Callee;
use super::maps::Change;
use crate::scenario::{Entry, Floor, INTERFACE, Scenario, Verdict, Walk, yardstick};

/// How much is run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Packets in a run of connections that are there.
    pub packets: u32,
    /// Packets in a run that opens a connection with each: fewer than one endpoint may open.
    pub openings: u32,
}

/// Nanoseconds a packet, net of a program that does nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) scenario: f64,
    pub(super) yardstick: f64,
    pub(super) floor: f64,
}

/// The rounds of a scenario, after one that is not counted.
pub(super) fn all(
    kernel: &mut Kernel,
    scenario: &Scenario,
    plan: Plan,
) -> anyhow::Result<Vec<Round>> {
    let ticks = kernel.ticks()?;
    for entry in scenario.state.entries(ticks) {
        kernel.change(Change::Put, &entry)?;
    }
    let yardstick = yardstick(scenario.walk.peers);
    kernel.put_keys(&yardstick)?;
    check_one(kernel, scenario)?;
    let mut rounds = Vec::new();
    for number in 0..=plan.rounds {
        let round = one(kernel, scenario, &yardstick, plan)?;
        if number > 0 {
            rounds.push(round);
        }
    }
    // An entry may be written twice, and is removed once.
    let mut entries: Vec<Entry> = scenario.state.entries(ticks).collect();
    entries.sort_by(|one, other| (one.map, &one.key).cmp(&(other.map, &other.key)));
    entries.dedup_by(|one, other| (one.map, &one.key) == (other.map, &other.key));
    for entry in &entries {
        kernel.change(Change::Remove, entry)?;
    }
    Ok(rounds)
}

/// Before anything is measured: is it what it says?
fn check_one(kernel: &mut Kernel, scenario: &Scenario) -> anyhow::Result<()> {
    let (_, returned) = kernel.run(callee(scenario.direction), &scenario.walk, 1)?;
    check_verdict(scenario, returned)?;
    forget(kernel, scenario, 1)
}

fn check_verdict(scenario: &Scenario, returned: i32) -> anyhow::Result<()> {
    if Verdict::of(returned) != Some(scenario.verdict) {
        bail!(
            "expected {:?}, the program returned {returned}",
            scenario.verdict
        );
    }
    Ok(())
}

fn one(
    kernel: &mut Kernel,
    scenario: &Scenario,
    yardstick: &Walk,
    plan: Plan,
) -> anyhow::Result<Round> {
    let packets = if scenario.opens {
        plan.openings
    } else {
        plan.packets
    };
    let walk = &scenario.walk;
    let (nothing, _) = kernel.run(Callee::Empty, walk, packets)?;
    let (spent, returned) = kernel.run(callee(scenario.direction), walk, packets)?;
    check_verdict(scenario, returned)?;
    forget(kernel, scenario, packets)?;
    let (bare, _) = kernel.run(Callee::Empty, yardstick, packets)?;
    let (looked, found) = kernel.run(Callee::Yardstick, yardstick, packets)?;
    if Verdict::of(found) != Some(Verdict::Next) {
        bail!("the yardstick did not find its key");
    }
    let yardstick = looked - bare;
    let floor = match scenario.floor() {
        Floor::Nothing => 0.0,
        Floor::Found => yardstick,
        Floor::Absent => kernel.run(Callee::Absent, walk, packets)?.0 - nothing,
        Floor::Opened => {
            let (spent, _) = kernel.run(Callee::Open, walk, packets)?;
            let opened = kernel.forget_opened()?;
            if opened != packets as usize {
                bail!("{packets} packets put {opened} keys into the map of the floor");
            }
            spent - nothing
        }
    };
    Ok(Round {
        scenario: spent - nothing,
        yardstick,
        floor,
    })
}

/// Forgets the connections that packets opened, and makes sure that each opened one, or none did.
fn forget(kernel: &mut Kernel, scenario: &Scenario, packets: u32) -> anyhow::Result<()> {
    kernel.drain()?;
    let opened = kernel.forget_new()?;
    let expected = if scenario.opens { packets as usize } else { 0 };
    if opened != expected {
        bail!("{packets} packets opened {opened} connections, not {expected}");
    }
    if scenario.opens {
        for (map, key) in [(maps::HELD, INTERFACE), (maps::HELD_TOTAL, 0)] {
            let (key, value) = (key.to_ne_bytes(), Held::default());
            let entry = Entry {
                map,
                key: key.to_vec(),
                value: bytemuck::bytes_of(&value).to_vec(),
            };
            kernel
                .change(Change::Put, &entry)
                .context("reset what is held")?;
        }
    }
    Ok(())
}

const fn callee(direction: Direction) -> Callee {
    match direction {
        Direction::Egress => Callee::FromEndpoint,
        Direction::Ingress => Callee::ToEndpoint,
    }
}
