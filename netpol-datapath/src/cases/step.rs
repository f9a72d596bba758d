//! What happens in a case.

use std::vec::Vec;

use netpol_common::Direction;
use netpol_common::counter::{ANSWER, DropReason};
use netpol_common::endpoint::Endpoint;

use crate::Decision;

/// One step of a case.
#[derive(Clone, Debug)]
pub enum Step {
    /// A packet.
    Packet(PacketStep),
    /// The agent writes the endpoint's entry.
    Switch(Endpoint),
    /// The agent rewrites the node's addresses: none is left.
    ForgetNodes,
    /// Time passes, in seconds.
    Wait(u32),
    /// So many connections are tracked now, in the one table and the other.
    Tracked {
        /// Those that have seen a reply.
        replied: usize,
        /// Those that have not.
        new: usize,
    },
}

/// A packet, and what must become of it.
#[derive(Clone, Debug)]
pub struct PacketStep {
    /// Of the packet.
    pub direction: Direction,
    /// The frame.
    pub frame: Vec<u8>,
    /// Whether a socket of the node sent it.
    pub local_socket: bool,
    /// The packet carries an address of the node, and no socket of the node sent it.
    pub forwarded_from_node: bool,
    /// The packet's mark.
    pub mark: u32,
    /// What must become of it.
    pub expected: Expected,
}

/// What must become of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The decision.
    pub decision: Decision,
    /// What it is counted under, if anything.
    pub counter: Option<u32>,
    /// Whether an event goes out.
    pub event: bool,
    /// A counter of something that is no verdict, which moves too.
    pub note: Option<u32>,
    /// A connection is cut, under the counter of the packet.
    pub cuts: bool,
    /// A connection is refused for lack of room.
    pub refused: bool,
}

/// A packet from the pod.
pub(super) fn from_pod(frame: Vec<u8>) -> PacketStep {
    PacketStep {
        direction: Direction::Egress,
        frame,
        local_socket: false,
        forwarded_from_node: false,
        mark: 0,
        expected: Expected {
            decision: Decision::Drop,
            counter: None,
            event: false,
            note: None,
            cuts: false,
            refused: false,
        },
    }
}

/// A packet to the pod.
pub(super) fn to_pod(frame: Vec<u8>) -> PacketStep {
    PacketStep {
        direction: Direction::Ingress,
        ..from_pod(frame)
    }
}

/// A packet to the pod from a socket of the node.
pub(super) fn to_pod_from_node(frame: Vec<u8>) -> PacketStep {
    PacketStep {
        local_socket: true,
        ..to_pod(frame)
    }
}

/// A packet to the pod that was forwarded and carries the node's address.
pub(super) fn to_pod_masqueraded(frame: Vec<u8>) -> PacketStep {
    PacketStep {
        forwarded_from_node: true,
        ..to_pod(frame)
    }
}

impl PacketStep {
    /// It passes under a counter, as one of many.
    pub(super) fn passes(mut self, counter: u32) -> Step {
        self.expected.decision = Decision::Next;
        self.expected.counter = Some(counter);
        Step::Packet(self)
    }

    /// It passes under a counter, and moves another.
    pub(super) fn passes_noting(mut self, counter: u32, note: u32) -> Step {
        self.expected.note = Some(note);
        self.passes(counter)
    }

    /// It passes under a counter as the first of a connection.
    pub(super) fn opens(mut self, counter: u32) -> Step {
        self.expected.event = true;
        self.passes(counter)
    }

    /// It passes, uncounted.
    pub(super) fn passes_unseen(mut self) -> Step {
        self.expected.decision = Decision::Next;
        Step::Packet(self)
    }

    /// It is dropped under a counter.
    pub(super) fn drops(mut self, counter: u32) -> Step {
        self.expected.counter = Some(counter);
        self.expected.event = true;
        Step::Packet(self)
    }

    /// It is dropped under a counter, and its connection is cut.
    pub(super) fn cuts(mut self, counter: u32) -> Step {
        self.expected.cuts = true;
        self.drops(counter)
    }

    /// It is dropped since its connection finds no room.
    pub(super) fn finds_no_room(mut self, reason: DropReason) -> Step {
        self.expected.refused = true;
        self.drops(reason.counter())
    }

    /// It carries a mark.
    pub(super) const fn marked(mut self, mark: u32) -> Self {
        self.mark = mark;
        self
    }

    /// It is refused under a counter, and its sender is told.
    pub(super) fn rejects(mut self, counter: u32) -> Step {
        self.expected.decision = Decision::Reject;
        self.drops(counter)
    }

    /// It is refused under a counter, its connection is cut, and its sender is told.
    pub(super) fn cuts_and_rejects(mut self, counter: u32) -> Step {
        self.expected.decision = Decision::Reject;
        self.cuts(counter)
    }

    /// It passes as our own answer.
    pub(super) fn answers(mut self) -> Step {
        self.expected.decision = Decision::Answer;
        self.expected.counter = Some(ANSWER);
        Step::Packet(self)
    }

    /// It is dropped for a reason that is no rule.
    pub(super) fn refused(self, reason: DropReason) -> Step {
        self.drops(reason.counter())
    }
}
