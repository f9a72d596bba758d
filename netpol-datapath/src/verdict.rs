//! What is decided about a packet.

use netpol_common::counter::{ANSWER, DropReason};
use netpol_common::endpoint::{EndpointDirection, flags};

/// What becomes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a decision that nobody carries out is no enforcement"]
pub enum Decision {
    /// The next program on the hook sees it.
    Next,
    /// It is dropped.
    Drop,
    /// It is refused, and its sender is told: [`crate::Answer`].
    Reject,
    /// It is our own answer to a packet that was refused. The next program sees it, without the
    /// mark.
    Answer,
}

impl Decision {
    /// The decision of a number; the bits beyond its own do not matter.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        match word & 3 {
            0 => Self::Next,
            1 => Self::Drop,
            2 => Self::Reject,
            _ => Self::Answer,
        }
    }
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
    /// Whether this is an ICMP error, and to be judged by what it quotes.
    pub(crate) quoted: bool,
}

impl Verdict {
    const EVENT: u64 = 1 << 2;
    const NOTE: u64 = 1 << 3;
    const QUOTED_ERROR: u64 = 1 << 4;
    const COUNTER: u32 = 32;

    /// As one number, for the one register of a function's result.
    #[inline(always)]
    pub(crate) const fn into_word(self) -> u64 {
        let mut word = (self.counter as u64) << Self::COUNTER | self.decision as u64;
        if self.event {
            word |= Self::EVENT;
        }
        if self.note {
            word |= Self::NOTE;
        }
        if self.quoted {
            word |= Self::QUOTED_ERROR;
        }
        word
    }

    /// The verdict of a number.
    #[inline(always)]
    pub(crate) const fn from_word(word: u64) -> Self {
        Self {
            decision: Decision::from_word(word),
            counter: (word >> Self::COUNTER) as u32,
            event: word & Self::EVENT != 0,
            note: word & Self::NOTE != 0,
            quoted: word & Self::QUOTED_ERROR != 0,
        }
    }

    /// Passes, and nobody needs to know.
    pub(crate) const UNCOUNTED: Self = Self {
        decision: Decision::Next,
        counter: 0,
        event: false,
        note: false,
        quoted: false,
    };

    /// Our own answer passes.
    pub(crate) const ANSWER: Self = Self {
        decision: Decision::Answer,
        counter: ANSWER,
        event: false,
        note: false,
        quoted: false,
    };

    /// Still to be judged, by the packet that it quotes: closed, should nobody do so.
    pub(crate) const QUOTED: Self = Self {
        quoted: true,
        ..Self::drop(DropReason::QuoteUnknown)
    };

    /// A packet of something known passes.
    #[inline(always)]
    pub(crate) const fn pass(counter: u32) -> Self {
        Self {
            decision: Decision::Next,
            counter,
            event: false,
            note: false,
            quoted: false,
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
            quoted: false,
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
            quoted: false,
        }
    }

    /// Answered rather than dropped, if what applies in the direction of the rule says so.
    #[inline(always)]
    pub(crate) const fn answered(mut self, rules: &EndpointDirection) -> Self {
        if rules.flags & flags::REJECT != 0 {
            self.decision = Decision::Reject;
        }
        self
    }

    /// Dropped for a reason that is no rule.
    #[inline(always)]
    pub(crate) const fn drop(reason: DropReason) -> Self {
        Self::deny(reason.counter())
    }
}
