//! The packet path and the model, side by side.

use core::cell::Cell;

use netpol_common::Direction;
use netpol_common::counter::{Counter, FIRST_RULE};
use netpol_datapath::memory::{Capacities, Memory, SlicePacket, TICKS_PER_SECOND};
use netpol_datapath::{Answer, Decision, Packet, Stages, from_endpoint, to_endpoint};

use crate::model::{At, Model, Outcome, Room};
use crate::node::{IFINDEX, Node};

/// Reads of a packet that judging it takes at most: options byte by byte are the longest way.
const MOST_READS: u32 = 128;

/// Where the numbers begin that are no verdicts.
const NO_VERDICT: u32 = 48;

/// The two, in the same state.
pub(crate) struct Pair {
    memory: Memory,
    model: Model,
}

impl Pair {
    pub(crate) fn new(node: Node, room: Room) -> Self {
        let mut memory = Memory::new(Capacities {
            agent: 512,
            replied: room.replied,
            new: room.new,
            new_per_endpoint: usize::MAX,
            counters: 512,
            events: 1 << 20,
        });
        node.write(&mut memory);
        Self {
            memory,
            model: Model::new(node, room),
        }
    }

    pub(crate) const fn node(&self) -> &Node {
        &self.model.node
    }

    /// The agent writes.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Node)) {
        change(&mut self.model.node);
        self.model.node.update(&mut self.memory);
    }

    pub(crate) fn wait(&mut self, seconds: u32, ticks: u32) {
        let passed = u64::from(seconds) * u64::from(TICKS_PER_SECOND) + u64::from(ticks);
        self.model.now += passed;
        // The clock of the maps begins where the kernel's does.
        let start = 0_u32.wrapping_sub(300 * TICKS_PER_SECOND);
        self.memory
            .set_ticks(start.wrapping_add(self.model.now as u32));
    }

    /// Judges a packet by both.
    ///
    /// # Errors
    ///
    /// They do not agree: how, in words.
    pub(crate) fn judge(&mut self, at: At<'_>, mark: u32) -> Result<Decision, String> {
        let before = self.memory.counters();
        let (decision, answer) = self.decide(at, mark)?;
        let moved = moved(&before, &self.memory.counters());
        let _ = self.memory.take_events();
        let wanted = self.model.judge(at);
        if decision == Decision::Answer {
            // A mark makes a packet that may pass no other: it is counted apart.
            return if mark != 0 && at.direction == Direction::Egress {
                Ok(decision)
            } else {
                Err("an answer that nobody can have made".into())
            };
        }
        if decision == Decision::Reject && !answer {
            return Err("a refusal without an answer".into());
        }
        self.compare(at, decision, &moved, wanted)
            .map_err(|words| format!("{words}; the model says {wanted:?}, seen are {decision:?} and the counters {moved:?}"))?;
        Ok(decision)
    }

    /// What the packet path decides, and whether it has an answer.
    fn decide(&self, at: At<'_>, mark: u32) -> Result<(Decision, bool), String> {
        let packet = Counting {
            packet: SlicePacket {
                bytes: at.bytes,
                local_socket: at.local_socket,
                tag: at.tag,
                mark,
            },
            reads: Cell::new(0),
        };
        let ifindex = IFINDEX[at.pod];
        let decision = match at.direction {
            Direction::Egress => from_endpoint(ifindex, &packet, &self.memory),
            Direction::Ingress => to_endpoint(ifindex, &packet, &self.memory),
        };
        let reads = packet.reads.get();
        if reads > MOST_READS {
            return Err(format!("{reads} reads of the packet"));
        }
        let mut answer = Answer::default();
        let made = decision == Decision::Reject && answer.make(&packet);
        Ok((decision, made))
    }

    fn compare(
        &self,
        at: At<'_>,
        decision: Decision,
        moved: &[(u32, Counter)],
        wanted: Outcome,
    ) -> Result<(), &'static str> {
        let passes = decision == Decision::Next;
        let counted: Vec<u32> = moved
            .iter()
            .filter(|(number, _)| !(NO_VERDICT..FIRST_RULE).contains(number))
            .map(|(number, _)| *number)
            .collect();
        let expected: &[u32] = match &wanted.counter {
            0 => &[],
            counter => core::slice::from_ref(counter),
        };
        let agree = passes == wanted.passes && counted == expected;
        let closed = wanted.or_closed && !passes;
        // Where nothing isolates, what has no note passes as what it is: not understood.
        let open = wanted.or_closed && passes && !self.is_isolated(at);
        if !agree && !closed && !open {
            return Err("they do not agree");
        }
        if decision == Decision::Reject
            && !(wanted.may_be_answered && wanted.counter >= FIRST_RULE && self.tells(at))
        {
            return Err("an answer to what is dropped in silence");
        }
        if self.memory.cuts(wanted.counter) != self.model.cuts(wanted.counter) {
            return Err("a connection was cut, or was not");
        }
        let held = |pod: usize| self.memory.held(IFINDEX[pod]);
        if (0..2).any(|pod| held(pod) != self.model.held(pod)) {
            return Err("other connections are tracked");
        }
        Ok(())
    }

    fn is_isolated(&self, at: At<'_>) -> bool {
        self.node().pods[at.pod].rules(at.direction).isolated
    }

    /// Whether the pod's policies ask for answers in some direction.
    fn tells(&self, at: At<'_>) -> bool {
        let pod = &self.node().pods[at.pod];
        pod.ingress.reject || pod.egress.reject
    }
}

fn moved(before: &[(u32, Counter)], after: &[(u32, Counter)]) -> Vec<(u32, Counter)> {
    let was = |number| before.iter().find(|(n, _)| *n == number);
    let packets = |number| was(number).map_or(0, |(_, counter)| counter.packets);
    after
        .iter()
        .filter(|(number, counter)| counter.packets != packets(*number))
        .copied()
        .collect()
}

/// A packet that counts how often it is read.
struct Counting<'a> {
    packet: SlicePacket<'a>,
    reads: Cell<u32>,
}

impl Stages for Counting<'_> {}

impl Packet for Counting<'_> {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        self.reads.set(self.reads.get() + 1);
        self.packet.load(offset)
    }

    fn copy<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        self.reads.set(self.reads.get() + 1);
        self.packet.copy(offset)
    }

    fn len(&self) -> u32 {
        self.packet.len()
    }

    fn has_local_socket(&self) -> bool {
        self.packet.has_local_socket()
    }

    fn has_tag(&self) -> bool {
        self.packet.has_tag()
    }

    fn mark(&self) -> u32 {
        self.packet.mark()
    }
}
