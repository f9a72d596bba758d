//! What can go wrong with a cluster.

use std::{path::PathBuf, time::Duration};

use crate::lab::LabError;

/// A failure of the cluster itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A command, a file, a namespace: whatever a lab is made of as well.
    #[error(transparent)]
    System(#[from] LabError),
    /// Without root there are no namespaces.
    #[error("a cluster needs root (network namespaces, mounts, cgroups): run it again with sudo")]
    NotRoot,
    /// A cluster cannot be called so.
    #[error(
        "`{0}` is no name for a cluster: 1 to 20 letters a-z, digits and `-`, a letter first, no `-` last"
    )]
    Name(String),
    /// One more or less than possible.
    #[error("a cluster has 1 to {most} nodes, not {asked}")]
    Nodes {
        /// What was asked for.
        asked: u8,
        /// What is possible.
        most: u8,
    },
    /// There is one already.
    #[error("there is a cluster `{0}` already: take it down first, or choose another name")]
    Exists(String),
    /// There is none.
    #[error("there is no cluster `{name}`; there is: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Names there are.
        known: String,
    },
    /// More clusters at once than there are addresses for.
    #[error("{0} clusters at once are as many as there can be: take one down first")]
    TooMany(u8),
    /// A node, a daemon or a user that the cluster does not have.
    #[error("the cluster `{cluster}` has no {what}")]
    NoSuch {
        /// The cluster.
        cluster: String,
        /// What was asked for.
        what: String,
    },
    /// A program that has to be there is not.
    #[error("{program} is not there (looked in {looked}): {hint}")]
    Missing {
        /// Its name.
        program: String,
        /// Where it was looked for.
        looked: String,
        /// What to do.
        hint: &'static str,
    },
    /// Something took too long, or ended.
    #[error("{what} within {}; the end of {}:\n{tail}", shown(*.within), log.display())]
    NotReady {
        /// What did not happen, as a sentence without its end.
        what: String,
        /// How long it was waited for.
        within: Duration,
        /// Where the log is.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// Processes that a kill did not end.
    #[error("the cluster `{cluster}` is not wholly gone: {what} still there")]
    Remains {
        /// The cluster.
        cluster: String,
        /// What is left.
        what: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file of the cluster's own directory that cannot be read.
    #[error("{} is damaged ({source}): take the cluster down and up again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Result of a cluster's operation.
pub type Result<T, E = ClusterError> = std::result::Result<T, E>;

fn shown(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}
