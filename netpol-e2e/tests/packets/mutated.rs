//! Every byte of the headers of the packet table with other values, and every length: the kernel
//! must do as the host does, down to the reason.
//!
//! Left out, since the kernel's test run makes no packet of them: frames shorter than an Ethernet
//! header and a byte, or than an IPv4 or IPv6 header where the Ethernet type says one; and packets
//! without a socket. Ethernet addresses are never read, and not changed.

use std::collections::BTreeSet;

use netpol_common::Direction;
use netpol_datapath::cases::{self, Case, Host, PacketStep, Step, Subject};

use crate::kernel::Kernel;
use crate::load::{Loaded, Sizes};

const ETHERNET_LENGTH: usize = 14;
const ETHERTYPE: usize = 12;

/// What follows is a payload to everyone: behind the longest headers that are followed, a quote's
/// included, nothing is read.
const HEADERS: usize = 160;

/// Bytes that are added at the end, up to the largest frame of a test run's one page.
const LONGER: [usize; 6] = [1, 2, 8, 46, 1000, 3000];

/// Two subjects in the same state, and what came of it.
struct Both<'a> {
    kernel: &'a mut Kernel,
    host: Host,
    tried: u64,
    refused_by_the_test_run: u64,
}

impl Both<'_> {
    /// Brings both to where a case is before a step.
    fn rewind(&mut self, case: &Case, step: usize) {
        self.host.set_up(&case.setup);
        self.kernel.set_up(&case.setup);
        for step in &case.steps[..step] {
            advance(&mut self.host, step);
            advance(self.kernel, step);
        }
        let _ = (self.host.events(), self.kernel.events());
    }

    /// Judges a frame by both, and says how they differ.
    fn compare(&mut self, direction: Direction, frame: &[u8], mark: u32) -> Result<(), String> {
        let Some(seen) = self.kernel.judge_marked(direction, frame, true, mark) else {
            self.refused_by_the_test_run += 1;
            return Ok(());
        };
        self.tried += 1;
        let expected = self.host.judge_marked(direction, frame, true, mark);
        let events = (self.host.events(), self.kernel.events());
        if expected != Some(seen) || events.0 != events.1 {
            return Err(format!(
                "the host says {expected:?} with {:?}, the kernel {seen:?} with {:?}: {frame:02x?}",
                events.0, events.1
            ));
        }
        Ok(())
    }
}

fn advance<S: Subject>(subject: &mut S, step: &Step) {
    match step {
        Step::Packet(packet) => {
            // A test run gives every packet a socket.
            let _ = subject.judge_marked(packet.direction, &packet.frame, true, packet.mark);
        }
        Step::Switch(entry) => subject.switch(entry),
        Step::ForgetNodes => subject.forget_nodes(),
        Step::Wait(seconds) => subject.wait(*seconds),
        Step::Tracked { .. } => {}
    }
}

/// A frame with one byte changed, in each of four ways.
fn other_values(frame: &[u8], at: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let was = frame[at];
    let values = BTreeSet::from([0, 0xff, was ^ 1, was ^ 0x80]);
    values
        .into_iter()
        .filter(move |value| *value != was)
        .map(move |value| {
            let mut frame = frame.to_vec();
            frame[at] = value;
            frame
        })
}

/// A frame of another length: cut or padded alone, and with its IP header saying so.
fn of_length(frame: &[u8], length: usize) -> Vec<Vec<u8>> {
    let mut other = frame.to_vec();
    other.resize(length, 0);
    let mut all = vec![other.clone()];
    let carried = length.saturating_sub(ETHERNET_LENGTH);
    let field = match frame.get(ETHERTYPE..ETHERNET_LENGTH) {
        Some([0x08, 0x00]) => Some((ETHERNET_LENGTH + 2, carried)),
        Some([0x86, 0xdd]) => Some((ETHERNET_LENGTH + 4, carried.saturating_sub(40))),
        _ => None,
    };
    if let Some((at, says)) = field
        && let Some(place) = other.get_mut(at..at + 2)
    {
        place.copy_from_slice(&(says as u16).to_be_bytes());
        all.push(other);
    }
    all
}

/// Every mutant of a packet, in groups of those that differ at one place.
fn mutants(packet: &PacketStep) -> Vec<Vec<Vec<u8>>> {
    let frame = &packet.frame;
    let bytes = ETHERTYPE..frame.len().min(HEADERS);
    let values = bytes.map(|at| other_values(frame, at).collect());
    let shorter = (1..frame.len()).map(|length| of_length(frame, length));
    let longer = LONGER.map(|more| of_length(frame, frame.len() + more));
    values.chain(shorter).chain(longer).collect()
}

#[test]
fn the_kernel_judges_every_byte_and_length_of_the_table_as_the_host_does() {
    needs_root!();
    let mut kernel = Kernel::new(Loaded::new(&Sizes::default()));
    let mut both = Both {
        kernel: &mut kernel,
        host: Host::default(),
        tried: 0,
        refused_by_the_test_run: 0,
    };
    let mut seen = BTreeSet::new();
    let mut failures = Vec::new();
    for case in &cases::all() {
        for (number, step) in case.steps.iter().enumerate() {
            let Step::Packet(packet) = step else { continue };
            let is_new = seen.insert((packet.direction as u32, packet.mark, packet.frame.clone()));
            // Largest of all: what is longer than the page is a payload.
            if !is_new || packet.frame.len() > 1000 {
                continue;
            }
            if let Err(words) = try_all(&mut both, case, number, packet) {
                failures.push(format!("{}: step {number}: {words}", case.name));
            }
        }
    }
    println!(
        "{} packets, {} mutants, {} that a test run does not make",
        seen.len(),
        both.tried,
        both.refused_by_the_test_run
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Tries every mutant of a packet as the case has it.
fn try_all(
    both: &mut Both<'_>,
    case: &Case,
    number: usize,
    packet: &PacketStep,
) -> Result<(), String> {
    both.rewind(case, number);
    let connections = both.host.connections();
    for group in mutants(packet) {
        for frame in &group {
            both.compare(packet.direction, frame, packet.mark)?;
        }
        let now = both.host.connections();
        if now == connections {
            continue;
        }
        // What one mutant has opened is not to leave the next without room.
        if both.kernel.connections() != now {
            return Err(format!("the tables differ after {:02x?}", group.first()));
        }
        both.rewind(case, number);
    }
    if both.kernel.connections() != connections {
        return Err("the tables differ".into());
    }
    Ok(())
}
