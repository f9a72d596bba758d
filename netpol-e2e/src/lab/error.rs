//! What can go wrong while a lab is built or used.

use std::{io, path::PathBuf};

/// A failure of the lab itself; a packet that does not arrive is no failure but an
/// [`super::Outcome`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The lab makes network namespaces and mounts.
    #[error("a lab needs root (network namespaces, mounts): run it again with sudo")]
    NotRoot,
    /// A program could not be started.
    #[error("cannot run `{program}`: {source}; {hint}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
        /// What to do about it.
        hint: &'static str,
    },
    /// A command ended with a failure.
    #[error("`{command}` failed ({status}): {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// A file, a socket or another resource of the system.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A name no host of the lab has.
    #[error("no host `{name}` in the lab; it has: {known}")]
    UnknownHost {
        /// The name asked for.
        name: String,
        /// Names there are.
        known: String,
    },
    /// Something that a test needs and nobody has made; the words say what to do.
    #[error("{0}")]
    Missing(String),
    /// A manifest that cannot be used.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the place in the file.
        reason: String,
    },
    /// The agent did not do its part.
    #[error("the agent {what}; end of its log ({}):\n{tail}", log.display())]
    Agent {
        /// What happened.
        what: String,
        /// Where its log is.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// JSON of netpolctl that is not what netpol-api describes.
    #[error("`{command}` printed JSON that netpol-api does not describe ({source}): {output}")]
    Json {
        /// The command line.
        command: String,
        /// Where it differs.
        source: serde_json::Error,
        /// What was printed.
        output: String,
    },
}

/// Result of a lab's operation.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// Says what was tried when an I/O operation fails.
pub(crate) trait Doing<T> {
    /// Turns the error into [`LabError::Io`].
    fn doing(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| LabError::Io {
            action: action(),
            source: error.into(),
        })
    }
}
