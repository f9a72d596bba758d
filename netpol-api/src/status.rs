//! Is the node enforcing, and what is wrong.

use serde::{Deserialize, Serialize};

use crate::{ApiServerStatus, CniInstallation, Endpoint};

/// The state of an agent and of what it has programmed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// Version of the agent.
    pub version: String,
    /// Version of the maps' layout.
    pub abi: u32,
    /// When the agent started.
    pub started: u64,
    /// Every local endpoint enforces what could be read: an unreadable file keeps its last good
    /// state in force, and is among [`Status::invalid`].
    pub enforcing: bool,
    /// How the programs are attached.
    pub hook: Hook,
    /// Rises with every change that was put in force.
    pub generation: u64,
    /// Where the objects come from, when that is a directory of manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<ManifestStatus>,
    /// Where the objects come from, when that is an API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<ApiServerStatus>,
    /// The CNI plugin, when the agent installs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cni: Option<CniInstallation>,
    /// The local endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Objects and files that could not be read or are not valid.
    pub invalid: Vec<InvalidObject>,
    /// How full the maps are.
    pub tables: Vec<TableFill>,
    /// The last sweeps of the tables of connections.
    #[serde(default)]
    pub sweeps: Vec<Sweep>,
    /// Drops that are no policy's.
    pub drops: Vec<DropCount>,
    /// What was lost.
    pub losses: Losses,
    /// What else deserves a look: repairs that others made necessary, a map that kept its size.
    #[serde(default)]
    pub notes: Vec<Note>,
}

/// How the programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// TCX links (Linux 6.6 and later).
    Tcx,
    /// Filters of the clsact qdisc.
    Clsact,
}

/// The directory of manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestStatus {
    /// The directory.
    pub directory: String,
    /// Files read.
    pub files: u64,
    /// Objects in force.
    pub objects: u64,
}

/// An object or file that could not be read or is not valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidObject {
    /// The file, when it came from one.
    pub file: Option<String>,
    /// `NetworkPolicy ns/name`, as far as it is known.
    pub object: Option<String>,
    /// The field, as a path.
    pub field: Option<String>,
    /// The reason.
    pub reason: String,
    /// What holds meanwhile.
    pub effect: String,
}

/// How full a map is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFill {
    /// The map.
    pub table: String,
    /// Entries.
    pub used: u64,
    /// Entries it can hold.
    pub capacity: u64,
}

/// The last time a table was cleared of connections that are over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// The table.
    pub table: String,
    /// Entries that were there.
    pub seen: u64,
    /// Entries that were over and removed.
    pub removed: u64,
    /// How long it took.
    pub microseconds: u64,
    /// Counts of what an endpoint holds that had drifted, and were corrected.
    pub corrected: u64,
}

/// Drops for one reason that is no policy's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCount {
    /// The reason, in words.
    pub reason: String,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Something that deserves a look, and what holds meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What there is to say.
    pub text: String,
    /// What holds meanwhile.
    pub effect: String,
}

/// What was lost, and counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Events that did not fit the ring buffer.
    pub events: u64,
    /// Events held back by the rate limit.
    pub events_limited: u64,
    /// Refused packets that were dropped without an answer, by the rate limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub answers_limited: u64,
    /// Refused packets of which the kernel would make no answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub answers_failed: u64,
    /// Replied connections that stay among the new ones, their table being full.
    pub connections_not_promoted: u64,
    /// Packets that were judged and not counted.
    #[serde(default)]
    pub counts: u64,
}

/// The answer to a wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitOutcome {
    /// Whether every local endpoint enforces what is on disk.
    pub enforced: bool,
    /// Local endpoints that do.
    pub endpoints_enforced: u64,
    /// All local endpoints.
    pub endpoints: u64,
    /// Why not, one sentence each.
    pub missing: Vec<String>,
}

/// Whether there is nothing to say.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
