//! Sizes of the maps, and what the programs are told beside them: the agent's defaults.

use netpol_common::conntrack::TIMEOUT_SECONDS;
use netpol_common::held::Place;
use netpol_common::maps;

/// Connections of each family that have seen a reply.
const CONNECTIONS: u32 = 131_072;
/// Connections of each family that have not.
const NEW_CONNECTIONS: u32 = 32_768;

/// The size of a map that the agent makes of another size than the object says.
#[must_use]
pub fn of(map: &str) -> Option<u32> {
    Some(match map {
        maps::CONNTRACK_V4 | maps::CONNTRACK_V6 => CONNECTIONS,
        maps::CONNTRACK_NEW_V4 | maps::CONNTRACK_NEW_V6 => NEW_CONNECTIONS,
        _ => return None,
    })
}

/// What the programs are told, where the kernel has so many ticks a second.
#[derive(Clone, Debug)]
pub struct Globals {
    /// Idle time-outs in ticks.
    pub timeouts: [u32; TIMEOUT_SECONDS.len()],
    /// Ticks a second.
    pub ticks_per_second: u32,
    /// Entries of the conntrack maps, by [`Place`].
    pub capacities: [u32; Place::COUNT],
}

impl Globals {
    /// Where the kernel has so many ticks a second.
    #[must_use]
    pub fn new(ticks_per_second: u32) -> Self {
        Self {
            timeouts: TIMEOUT_SECONDS.map(|seconds| seconds.saturating_mul(ticks_per_second)),
            ticks_per_second,
            capacities: Place::ALL.map(|place| match place {
                Place::NewV4 | Place::NewV6 => NEW_CONNECTIONS,
                Place::RepliedV4 | Place::RepliedV6 => CONNECTIONS,
            }),
        }
    }
}
