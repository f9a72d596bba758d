//! Exit codes, and the way an error leaves the program.

use std::io;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use thiserror::Error;

/// Shown by `netpolctl --help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done; evaluate: the connection is allowed
  1  error; a node does not answer; status: something is not enforced; wait: time-out
  2  the command line cannot be understood
  3  evaluate: the connection is denied";

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, and the answer is yes.
    Success,
    /// An error, or the answer to `status` and `wait` is no.
    Failure,
    /// The command line cannot be understood.
    Usage,
    /// The connection is denied.
    Denied,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Denied => 3,
        })
    }
}

/// Arguments that contradict each other in a way that clap does not see.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Says what went wrong on stderr.
///
/// A reader that has seen enough (`netpolctl flows | head`) is no error: the rest of the output was
/// not wanted.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let closed = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|c| c.downcast_ref().is_some_and(closed)) {
        return Exit::Success;
    }
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    anstream::eprintln!("{red}error:{red:#} {error:#}");
    if error.is::<UsageError>() {
        Exit::Usage
    } else {
        Exit::Failure
    }
}
