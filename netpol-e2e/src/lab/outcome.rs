//! What came of asking.

use std::{fmt, io, net::SocketAddr, time::Duration};

/// Long enough for a packet to come back on a busy machine, short enough to wait for many that
/// never will.
pub const QUICK: Duration = Duration::from_millis(400);
/// For what must come back: costs nothing when it does. Below TCP's first SYN retransmission at 1
/// s, so that one lost SYN is not hidden by the next.
pub const PATIENT: Duration = Duration::from_millis(950);

/// What came of one question to one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An answer came back.
    Reached,
    /// A reset or an ICMP "port unreachable" or "prohibited" came back: someone said no.
    Refused,
    /// Nothing came back.
    TimedOut,
    /// No way there: no route, or no such neighbour.
    Unreachable,
    /// The question never left: a failure of the lab, not of the network.
    NotAsked(io::ErrorKind),
}

impl Outcome {
    /// Whether an answer came back.
    pub fn is_reached(self) -> bool {
        self == Self::Reached
    }

    /// The meaning of a socket's error.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::PermissionDenied => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            other => Self::NotAsked(other),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached => f.write_str("reached"),
            Self::Refused => f.write_str("refused"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Unreachable => f.write_str("no route"),
            Self::NotAsked(kind) => write!(f, "not asked ({kind})"),
        }
    }
}

/// A server's first words: who it is, and where it sees the question come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The host that answered, as `namespace/name`.
    pub by: String,
    /// The asker's address as the server sees it.
    pub seen_as: SocketAddr,
}

const SEES: &str = " sees ";

impl Answer {
    /// Reads the line a server sends.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (by, seen_as) = line.trim_end().split_once(SEES)?;
        Some(Self {
            by: by.to_owned(),
            seen_as: seen_as.parse().ok()?,
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SEES}{}", self.by, self.seen_as)
    }
}
