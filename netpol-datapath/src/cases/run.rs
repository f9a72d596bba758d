//! Running a case.

use core::fmt;
use std::collections::BTreeSet;
use std::string::String;
use std::vec::Vec;

use netpol_common::Direction;
use netpol_common::conntrack::Key4;
use netpol_common::counter::{
    ANSWER, ANSWERS_FAILED, ANSWERS_LIMITED, CONNTRACK_NOT_PROMOTED, COUNTS_LOST, Counter,
    DropReason, EVENTS_LIMITED, EVENTS_LOST, FROM_NODE, NEIGHBOUR, NOT_ISOLATED, SELF,
};
use netpol_common::endpoint::Endpoint;
use netpol_common::event::{ALLOWED, DENIED, Event, REJECTED};

use super::{Case, PacketStep, Setup, Step, answer, prefix};
use crate::{Decision, Table};

/// What a case is run on: the code on the host, or the programs in the kernel.
pub trait Subject {
    /// Writes what a case starts with; nothing of an earlier case is left.
    fn set_up(&mut self, setup: &Setup);
    /// Writes the endpoint's entry.
    fn switch(&mut self, endpoint: &Endpoint);
    /// Removes the node's addresses.
    fn forget_nodes(&mut self);
    /// Lets time pass.
    fn wait(&mut self, seconds: u32);
    /// Judges a packet; `None` when the subject cannot be given one as short as this.
    fn judge(
        &mut self,
        direction: Direction,
        frame: &[u8],
        local_socket: bool,
    ) -> Option<Decision> {
        self.judge_marked(direction, frame, local_socket, 0)
    }
    /// Judges a packet that has a mark.
    fn judge_marked(
        &mut self,
        direction: Direction,
        frame: &[u8],
        local_socket: bool,
        mark: u32,
    ) -> Option<Decision>;
    /// The answer to the last packet, if that was rejected.
    fn answer(&mut self) -> Option<Vec<u8>>;
    /// What was counted under a number since `set_up`, or earlier.
    fn counter(&mut self, number: u32) -> Counter;
    /// The events since the last call.
    fn events(&mut self) -> Vec<Event>;
    /// The tracked connections, sorted.
    fn connections(&mut self) -> Vec<Tracked>;
    /// How many connections were counted.
    fn holding(&mut self) -> Holding;
    /// Connections that were cut under a number since `set_up`, or earlier.
    fn cuts(&mut self, number: u32) -> u64;
}

/// How many connections were counted, by [`netpol_common::held::Place`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Of the endpoint.
    pub own: [u64; 4],
    /// Of all endpoints.
    pub all: [u64; 4],
    /// Connections of the endpoint that found no room.
    pub refused: u64,
}

/// A tracked connection, in words that do not depend on the clock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tracked {
    /// Whether it is in the table of the replied ones.
    pub replied: bool,
    /// The key's words.
    pub key: Vec<u32>,
    /// State, generation and rule.
    pub value: [u32; 3],
}

impl Tracked {
    /// Of a table, a key's words, and a value.
    #[must_use]
    pub fn new(table: Table, key: &[u32], value: &netpol_common::conntrack::Connection) -> Self {
        Self {
            replied: table == Table::Replied,
            key: key.to_vec(),
            value: [value.state, value.generation, value.rule],
        }
    }
}

/// What was seen after a step; two subjects must have seen the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Of a packet.
    pub decision: Option<Decision>,
    /// The answer to the packet.
    pub answer: Option<Vec<u8>>,
    /// The event of the packet.
    pub events: Vec<Event>,
    /// The connections after the step.
    pub connections: Vec<Tracked>,
}

/// How a case failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The case.
    pub case: String,
    /// The number of the step, from zero.
    pub step: usize,
    /// Expected and seen, in words.
    pub words: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: step {}: {}", self.case, self.step, self.words)
    }
}

/// Runs a case, and every prefix of its packets.
///
/// # Errors
///
/// A packet was not judged as the case says, or a counter, an event or the number of connections
/// is not as it says.
pub fn run<S: Subject>(case: &Case, subject: &mut S) -> Result<Vec<Observation>, Failure> {
    subject.set_up(&case.setup);
    let _ = subject.events();
    let mut endpoint = case.setup.endpoint;
    let numbers = numbers(case);
    let mut observations = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let outcome = match step {
            Step::Packet(packet) => prefix::check(subject, endpoint.as_ref(), packet, &numbers)
                .and_then(|()| check_packet(subject, packet, &numbers))
                .map(Some),
            Step::Switch(entry) => {
                subject.switch(entry);
                endpoint = Some(*entry);
                Ok(None)
            }
            Step::ForgetNodes => {
                subject.forget_nodes();
                Ok(None)
            }
            Step::Wait(seconds) => {
                subject.wait(*seconds);
                Ok(None)
            }
            Step::Tracked { replied, new } => check_tracked(subject, *replied, *new).map(|()| None),
        };
        let outcome = outcome.and_then(|seen| check_held(subject).map(|()| seen));
        match outcome {
            Ok(seen) => {
                let rejected = matches!(&seen, Some((Decision::Reject, _)));
                observations.push(Observation {
                    decision: seen.as_ref().map(|(decision, _)| *decision),
                    answer: rejected.then(|| subject.answer()).flatten(),
                    events: seen.map(|(_, events)| events).unwrap_or_default(),
                    connections: subject.connections(),
                });
            }
            Err(words) => {
                return Err(Failure {
                    case: case.name.clone(),
                    step: number,
                    words,
                });
            }
        }
    }
    Ok(observations)
}

/// The counters that may move in a case.
fn numbers(case: &Case) -> BTreeSet<u32> {
    let fixed = [
        NOT_ISOLATED,
        FROM_NODE,
        SELF,
        NEIGHBOUR,
        ANSWER,
        ANSWERS_LIMITED,
        ANSWERS_FAILED,
        EVENTS_LOST,
        EVENTS_LIMITED,
        CONNTRACK_NOT_PROMOTED,
        COUNTS_LOST,
    ];
    let reasons = DropReason::ALL.map(DropReason::counter);
    let expected = case.steps.iter().filter_map(|step| match step {
        Step::Packet(packet) => packet.expected.counter,
        _ => None,
    });
    let grants = case.setup.grants.iter().map(|(_, grant)| grant.rule);
    let ports = case.setup.ports.iter().map(|(_, verdict)| verdict.rule);
    let all = fixed.into_iter().chain(reasons).chain(expected);
    all.chain(grants.filter(|rule| *rule != 0))
        .chain(ports)
        .collect()
}

/// Reads counters.
pub(super) fn counters<S: Subject>(
    subject: &mut S,
    numbers: &BTreeSet<u32>,
) -> Vec<(u32, Counter)> {
    numbers.iter().map(|n| (*n, subject.counter(*n))).collect()
}

/// Which counters have moved, and by how much.
pub(super) fn moved(before: &[(u32, Counter)], after: &[(u32, Counter)]) -> Vec<(u32, Counter)> {
    let movements = before
        .iter()
        .zip(after)
        .map(|((number, before), (_, after))| {
            (
                *number,
                Counter {
                    packets: after.packets - before.packets,
                    bytes: after.bytes - before.bytes,
                },
            )
        });
    movements.filter(|(_, by)| by.packets != 0).collect()
}

fn check_packet<S: Subject>(
    subject: &mut S,
    packet: &PacketStep,
    numbers: &BTreeSet<u32>,
) -> Result<(Decision, Vec<Event>), String> {
    let before = counters(subject, numbers);
    let places = (cuts(subject, numbers), subject.holding().refused);
    let decision = subject
        .judge_marked(
            packet.direction,
            &packet.frame,
            packet.local_socket,
            packet.mark,
        )
        .ok_or("the subject does not take the packet")?;
    let seen = moved(&before, &counters(subject, numbers));
    let events = subject.events();
    let expected = &packet.expected;
    if decision != expected.decision || seen != expected_movement(packet) {
        return Err(std::format!(
            "expected {:?} under {:?}, saw {decision:?} and counters {seen:?}",
            expected.decision,
            expected.counter,
        ));
    }
    let cut = expected.counter.filter(|_| expected.cuts);
    for ((number, before), (_, after)) in places.0.iter().zip(cuts(subject, numbers)) {
        if after - before != u64::from(cut == Some(*number)) {
            return Err(std::format!(
                "expected a cut under {cut:?}, counted {} under {number}",
                after - before
            ));
        }
    }
    if subject.holding().refused - places.1 != u64::from(expected.refused) {
        return Err("a connection without room is not counted as the case says".into());
    }
    check_event(packet, &events)?;
    if decision == Decision::Reject {
        let answer = subject.answer().ok_or("there is no answer")?;
        answer::check(&packet.frame, &answer)?;
    }
    Ok((decision, events))
}

fn cuts<S: Subject>(subject: &mut S, numbers: &BTreeSet<u32>) -> Vec<(u32, u64)> {
    numbers.iter().map(|n| (*n, subject.cuts(*n))).collect()
}

/// What was counted is what is there.
fn check_held<S: Subject>(subject: &mut S) -> Result<(), String> {
    let mut there = Holding {
        refused: subject.holding().refused,
        ..Holding::default()
    };
    for connection in subject.connections() {
        let v6 = usize::from(connection.key.len() != size_of::<Key4>() / 4);
        let place = v6 + if connection.replied { 2 } else { 0 };
        there.all[place] += 1;
        if connection.key.first() == Some(&super::IFINDEX) {
            there.own[place] += 1;
        }
    }
    let counted = subject.holding();
    if counted == there {
        return Ok(());
    }
    Err(std::format!("counted {counted:?}, there are {there:?}"))
}

fn expected_movement(packet: &PacketStep) -> Vec<(u32, Counter)> {
    let once = |number, bytes| (number, Counter { packets: 1, bytes });
    let verdict = packet
        .expected
        .counter
        .map(|n| once(n, packet.frame.len() as u64));
    let note = packet.expected.note.map(|n| once(n, 0));
    let mut movement: Vec<_> = verdict.into_iter().chain(note).collect();
    movement.sort_unstable_by_key(|(number, _)| *number);
    movement
}

fn check_event(packet: &PacketStep, events: &[Event]) -> Result<(), String> {
    let wanted = usize::from(packet.expected.event);
    if events.len() != wanted {
        return Err(std::format!("expected {wanted} events, saw {events:?}"));
    }
    let verdict = match packet.expected.decision {
        Decision::Next | Decision::Answer => ALLOWED,
        Decision::Drop => DENIED,
        Decision::Reject => REJECTED,
    };
    for event in events {
        let says = (event.verdict, Some(event.counter), event.direction);
        if says != (verdict, packet.expected.counter, packet.direction as u32)
            || event.length as usize != packet.frame.len()
            || event.endpoint != super::IFINDEX
        {
            return Err(std::format!("the event does not fit: {event:?}"));
        }
    }
    Ok(())
}

fn check_tracked<S: Subject>(subject: &mut S, replied: usize, new: usize) -> Result<(), String> {
    let connections = subject.connections();
    let seen = connections.iter().filter(|c| c.replied).count();
    if (seen, connections.len() - seen) == (replied, new) {
        return Ok(());
    }
    Err(std::format!(
        "expected {replied} replied and {new} new connections, saw {connections:?}"
    ))
}
