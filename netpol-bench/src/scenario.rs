//! The packets that are counted and measured, and what is in the maps when they come.
//!
//! ```text
//! state.rs   what is in the maps
//! walk.rs    packets that follow one another, each of another peer or port
//! pod.rs     a pod under policy, its peers and its connections
//! list.rs    the scenarios
//! ```

mod list;
mod pod;
mod state;
mod walk;

use netpol_common::Direction;

pub use list::{all, yardstick};
pub use state::{Entry, State};
pub use walk::{Family, Walk};

/// The host interface that every packet comes through: the kernel runs test packets on the
/// loopback interface.
pub const INTERFACE: u32 = 1;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next program decides.
    Next,
    /// It is dropped.
    Drop,
}

impl Verdict {
    /// What a program returned: `TC_ACT_UNSPEC`, which is also `TCX_NEXT`, or `TC_ACT_SHOT`.
    #[must_use]
    pub const fn of(returned: i32) -> Option<Self> {
        match returned {
            -1 => Some(Self::Next),
            2 => Some(Self::Drop),
            _ => None,
        }
    }
}

/// Packets of one kind.
pub struct Scenario {
    /// What is counted or measured, without direction and family.
    pub what: String,
    /// Which program is run.
    pub direction: Direction,
    /// The packets' family.
    pub family: Family,
    /// What is in the maps.
    pub state: State,
    /// The packets.
    pub walk: Walk,
    /// What must become of each.
    pub verdict: Verdict,
    /// Each packet opens a connection.
    pub opens: bool,
    /// Nanoseconds that one may cost, for IPv4.
    pub target: f64,
    /// Another scenario differs only in how much is in the maps, and runs the same instructions.
    pub same_code: bool,
}

impl Scenario {
    /// All of it in words.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}, {}, {}", self.what, self.way(), self.family.name())
    }

    /// The direction in words.
    #[must_use]
    pub const fn way(&self) -> &'static str {
        match self.direction {
            Direction::Ingress => "to the pod",
            Direction::Egress => "from the pod",
        }
    }
}
