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

/// What no tracking of connections goes without, whatever else it does for a packet. It is measured in the same rounds
/// as the packet, over maps as large: a target below it cannot be met on that machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// The packet belongs to no connection that is tracked.
    Nothing,
    /// The look-up that finds its connection.
    Found,
    /// Two look-ups that find none: among those that were answered, and among those that were not.
    Absent,
    /// The same, and one that is put among those that were not answered.
    Opened,
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
    /// The pod's connections are tracked.
    pub tracked: bool,
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

    /// What it cannot cost less than.
    #[must_use]
    pub const fn floor(&self) -> Floor {
        match (self.verdict, self.opens, self.tracked) {
            (_, true, _) => Floor::Opened,
            (Verdict::Drop, ..) => Floor::Absent,
            (Verdict::Next, _, true) => Floor::Found,
            (Verdict::Next, _, false) => Floor::Nothing,
        }
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
