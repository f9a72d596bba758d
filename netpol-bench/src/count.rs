//! What each scenario costs.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use bytemuck::{bytes_of, cast_slice};
use netpol_common::maps;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::scenario::{INTERFACE, Scenario, Verdict};
use crate::sizes::{self, Globals};

/// The cost of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Instructions carried out, as compiled.
    pub instructions: u64,
    /// Look-ups in hashes and prefix maps: each is a call of the kernel.
    pub lookups: u64,
    /// Look-ups in arrays, the counters' included: the kernel puts them into the program.
    pub arrays: u64,
    /// Entries of maps written or removed.
    pub writes: u64,
}

/// The costs by scenario.
pub type Costs = BTreeMap<String, Cost>;

/// The ticks a second of most kernels; nothing counted depends on it.
const TICKS_PER_SECOND: u32 = 250;
/// Entries of maps in the machine: no counted scenario needs more.
const ENTRIES: u32 = 4096;

/// Counts the scenarios that differ in what is run, by the programs of an object file.
///
/// # Errors
///
/// A packet is not judged as its scenario says, or the machine cannot run the programs.
pub fn all(object: &[u8], scenarios: &[Scenario]) -> anyhow::Result<Costs> {
    let mut machine = machine(object)?;
    let counted = scenarios.iter().filter(|scenario| !scenario.same_code);
    counted
        .map(|scenario| {
            let name = scenario.name();
            let cost = one(&mut machine, scenario).with_context(|| name.clone())?;
            Ok((name, cost))
        })
        .collect()
}

fn machine(object: &[u8]) -> anyhow::Result<Machine> {
    let globals = Globals::new(TICKS_PER_SECOND);
    // As few events as in the kernel under load: there the limit is used up at once.
    let events: u32 = 0;
    let globals = [
        (maps::TIMEOUTS, cast_slice(&globals.timeouts)),
        (maps::TICKS_PER_SECOND, bytes_of(&globals.ticks_per_second)),
        (maps::CAPACITIES, cast_slice(&globals.capacities)),
        (maps::EVENTS_PER_SECOND, bytes_of(&events)),
    ];
    Machine::new(
        object,
        |map, default| sizes::of(map).unwrap_or(default).min(ENTRIES),
        &globals,
    )
}

fn one(machine: &mut Machine, scenario: &Scenario) -> anyhow::Result<Cost> {
    machine.clear()?;
    for entry in scenario.state.entries(machine.ticks as u32) {
        machine.put(entry.map, &entry.key, &entry.value)?;
    }
    let run = machine.run(scenario.direction, INTERFACE, &scenario.walk.frame, false)?;
    if Verdict::of(run.value) != Some(scenario.verdict) {
        bail!(
            "expected {:?}, the program returned {}",
            scenario.verdict,
            run.value
        );
    }
    let calls = |what: &[&str]| {
        let named = run
            .calls
            .iter()
            .filter(|(name, _)| what.iter().any(|it| name.starts_with(it)));
        named.map(|(_, count)| count).sum()
    };
    Ok(Cost {
        instructions: run.instructions,
        lookups: calls(&["look up"]),
        arrays: calls(&["index"]),
        writes: calls(&["write", "remove"]),
    })
}
