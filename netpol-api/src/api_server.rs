//! How the watches of an API server stand.

use serde::{Deserialize, Serialize};

/// The API server that the objects come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiServerStatus {
    /// Where it is.
    pub url: String,
    /// Since when some of the watches are interrupted; none while all of them run. What is in
    /// force stays in force meanwhile.
    pub interrupted_since: Option<u64>,
    /// One for each kind of objects.
    pub watches: Vec<WatchStatus>,
}

/// The watch of one kind of objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchStatus {
    /// The kind: `NetworkPolicy`.
    pub kind: String,
    /// Objects known.
    pub objects: u64,
    /// Whether changes arrive.
    #[serde(flatten)]
    pub state: WatchState,
    /// Since when.
    pub since: u64,
    /// How often all objects were listed anew, because the server no longer had the changes since
    /// the last one seen.
    pub relists: u64,
}

/// Whether changes arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum WatchState {
    /// The objects are being listed.
    Listing,
    /// Changes arrive as they happen.
    Watching,
    /// The server does not answer, or refuses. It is tried again and again.
    Interrupted {
        /// What it said, and what would help.
        reason: String,
    },
}
