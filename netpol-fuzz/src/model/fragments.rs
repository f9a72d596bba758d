//! First fragments that passed (ADR 25).

use core::net::IpAddr;

use netpol_common::Direction;
use netpol_datapath::memory::TICKS_PER_SECOND;

use super::connections::Place;

/// What belongs to one packet: RFC 791 of IPv4, RFC 8200, 4.5, of IPv6, where the protocol says
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) pod: usize,
    pub(crate) direction: Direction,
    pub(crate) place: Place,
    pub(crate) remote: IpAddr,
    pub(crate) protocol: Option<u8>,
    pub(crate) id: u32,
}

/// What is known of a first fragment.
#[derive(Clone, Copy, Debug)]
struct Note {
    of: Whole,
    generation: u32,
    rule: u32,
    end: usize,
    when: u64,
}

/// What a later fragment finds. Its note may be gone when others of the same pod and direction
/// were left since: it has two places, whose they are the hash says.
pub(crate) enum Seen {
    Passed { rule: u32, or_gone: bool },
    Overlap { or_gone: bool },
    Nothing,
}

/// Every note that was left, the latest last.
#[derive(Default)]
pub(crate) struct Fragments(Vec<Note>);

impl Fragments {
    pub(crate) fn leave(&mut self, of: Whole, generation: u32, rule: u32, end: usize, when: u64) {
        self.0.retain(|note| note.of != of);
        self.0.push(Note {
            of,
            generation,
            rule,
            end,
            when,
        });
    }

    pub(crate) fn find(&self, of: Whole, generation: u32, begin: usize, now: u64) -> Seen {
        const SECONDS: u64 = 5;
        let Some(at) = self.0.iter().position(|note| note.of == of) else {
            return Seen::Nothing;
        };
        let note = self.0[at];
        if note.generation != generation || now - note.when > SECONDS * u64::from(TICKS_PER_SECOND)
        {
            return Seen::Nothing;
        }
        let beside = |other: &&Note| other.of.pod == of.pod && other.of.direction == of.direction;
        let or_gone = self.0[at + 1..].iter().filter(beside).count() >= 2;
        if begin < note.end {
            Seen::Overlap { or_gone }
        } else {
            let rule = note.rule;
            Seen::Passed { rule, or_gone }
        }
    }
}
