//! What is decided about a packet.

use netpol_common::counter::DropReason;

/// What becomes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a decision that nobody carries out is no enforcement"]
pub enum Decision {
    /// The next program on the hook sees it.
    Next,
    /// It is dropped.
    Drop,
}

/// A decision with what it is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a verdict must be concluded: counted, reported, carried out"]
pub(crate) struct Verdict {
    pub(crate) decision: Decision,
    /// Counter number; zero for what is not counted (an endpoint that is not isolated).
    pub(crate) counter: u32,
    /// Whether an event goes out.
    pub(crate) event: bool,
    /// Whether the packet may come back, and leaves a note.
    pub(crate) note: bool,
}

impl Verdict {
    /// Passes, and nobody needs to know.
    pub(crate) const UNCOUNTED: Self = Self {
        decision: Decision::Next,
        counter: 0,
        event: false,
        note: false,
    };

    /// A packet of something known passes.
    #[inline(always)]
    pub(crate) const fn pass(counter: u32) -> Self {
        Self {
            decision: Decision::Next,
            counter,
            event: false,
            note: false,
        }
    }

    /// The packet leaves a note.
    #[inline(always)]
    pub(crate) const fn noting(mut self, note: bool) -> Self {
        self.note = note;
        self
    }

    /// The first packet of a connection passes.
    #[inline(always)]
    pub(crate) const fn open(counter: u32) -> Self {
        Self {
            decision: Decision::Next,
            counter,
            event: true,
            note: false,
        }
    }

    /// Dropped under a rule.
    #[inline(always)]
    pub(crate) const fn deny(counter: u32) -> Self {
        Self {
            decision: Decision::Drop,
            counter,
            event: true,
            note: false,
        }
    }

    /// Dropped for a reason that is no rule.
    #[inline(always)]
    pub(crate) const fn drop(reason: DropReason) -> Self {
        Self::deny(reason.counter())
    }
}
