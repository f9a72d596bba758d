//! Sequences: packets of two pods, with policy changes and time between them.

use core::fmt::Write as _;

use netpol_common::Direction;
use netpol_datapath::Decision;

use crate::bytes::Bytes;
use crate::craft::{self, Crafted};
use crate::model::{At, Room};
use crate::node::{Node, Pod};
use crate::pair::Pair;
use crate::policy::Rules;

/// What happens, by the first byte of a step.
pub(crate) mod step {
    pub(crate) const FRAME: u8 = 0;
    pub(crate) const WAIT: u8 = 1;
    pub(crate) const CHANGE: u8 = 2;
    pub(crate) const NODE: u8 = 3;
    pub(crate) const ERROR: u8 = 4;
    pub(crate) const SPOILT: u8 = 5;
    // Those between are crafted packets.
    pub(crate) const COUNT: u8 = 12;
}

/// Waiting times about which something ends, in seconds.
pub(crate) const WAITS: [u32; 16] = [
    0, 1, 5, 6, 10, 11, 29, 30, 31, 119, 120, 121, 600, 601, 21_600, 21_601,
];

/// Bits of the byte before a raw frame.
pub(crate) mod about {
    pub(crate) const POD: u8 = 1;
    pub(crate) const INGRESS: u8 = 2;
    pub(crate) const LOCAL_SOCKET: u8 = 4;
    pub(crate) const TAG: u8 = 8;
}

/// Bytes of a node: [`node`].
pub(crate) const NODE_BYTES: usize = 11;

/// More steps show nothing new, and cost time.
const MOST_STEPS: usize = 200;

/// Runs a sequence.
///
/// # Errors
///
/// The packet path and the model do not agree: what happened until then, in words.
pub fn run(input: &[u8]) -> Result<Vec<Decision>, String> {
    let mut story = String::new();
    let mut bytes = Bytes::new(input);
    let (node, room) = node(&mut bytes);
    let _ = writeln!(story, "{node:?} {room:?}");
    let mut pair = Pair::new(node, room);
    let mut decisions = Vec::new();
    for _ in 0..MOST_STEPS {
        if bytes.is_empty() {
            break;
        }
        match one_step(&mut bytes, &mut pair, &mut story) {
            Ok(decision) => decisions.extend(decision),
            Err(words) => return Err(format!("{story}{words}")),
        }
    }
    Ok(decisions)
}

fn one_step(
    bytes: &mut Bytes<'_>,
    pair: &mut Pair,
    story: &mut String,
) -> Result<Option<Decision>, String> {
    match bytes.byte() % step::COUNT {
        step::FRAME => raw(bytes, pair, story).map(Some),
        step::WAIT => {
            let (seconds, ticks) = (bytes.pick(&WAITS), u32::from(bytes.byte() % 3));
            let _ = writeln!(story, "wait {seconds} s, {ticks} ticks");
            pair.wait(seconds, ticks);
            Ok(None)
        }
        step::CHANGE => {
            let number = usize::from(bytes.byte() % 2);
            let changed = pod(bytes, pair.node().pods[number].generation + 1);
            let _ = writeln!(story, "pod {number}: {changed:?}");
            pair.change(|node| node.pods[number] = changed);
            Ok(None)
        }
        step::NODE => {
            let _ = writeln!(story, "the node's addresses come or go");
            pair.change(|node| node.knows_itself = !node.knows_itself);
            Ok(None)
        }
        step::ERROR => {
            let crafted = craft::error(bytes);
            judge(pair, &crafted, story).map(Some)
        }
        step::SPOILT => {
            let mut crafted = craft::packet(bytes);
            let at = 12 + usize::from(bytes.byte()) % (crafted.frame.len() - 12);
            crafted.frame[at] = bytes.byte();
            judge(pair, &crafted, story).map(Some)
        }
        _ => {
            let crafted = craft::packet(bytes);
            judge(pair, &crafted, story).map(Some)
        }
    }
}

fn judge(pair: &mut Pair, crafted: &Crafted, story: &mut String) -> Result<Decision, String> {
    let at = At {
        pod: crafted.pod,
        direction: crafted.direction,
        bytes: &crafted.frame,
        local_socket: crafted.local_socket,
        tag: false,
    };
    told(pair, at, 0, story)
}

fn raw(bytes: &mut Bytes<'_>, pair: &mut Pair, story: &mut String) -> Result<Decision, String> {
    let bits = bytes.byte();
    let length = usize::from(bytes.word() % 2048);
    let at = at(bits, bytes.take(length));
    told(pair, at, 0, story)
}

/// A raw frame, by [`about`].
pub(crate) fn at(bits: u8, bytes: &[u8]) -> At<'_> {
    At {
        pod: usize::from(bits & about::POD),
        direction: if bits & about::INGRESS == 0 {
            Direction::Egress
        } else {
            Direction::Ingress
        },
        bytes,
        local_socket: bits & about::LOCAL_SOCKET != 0,
        tag: bits & about::TAG != 0,
    }
}

/// Judges a packet, and writes it down.
pub(crate) fn told(
    pair: &mut Pair,
    at: At<'_>,
    mark: u32,
    story: &mut String,
) -> Result<Decision, String> {
    let _ = write!(story, "{:?} of pod {}", at.direction, at.pod);
    if at.local_socket {
        let _ = write!(story, ", from a socket of the node");
    }
    if at.tag {
        let _ = write!(story, ", tagged");
    }
    let _ = write!(story, ": {:02x?} -> ", at.bytes);
    let decision = pair.judge(at, mark)?;
    let _ = writeln!(story, "{decision:?}");
    Ok(decision)
}

/// Reads a node.
pub(crate) fn node(bytes: &mut Bytes<'_>) -> (Node, Room) {
    let bits = bytes.byte();
    let pods = [pod(bytes, 5), pod(bytes, 5)];
    let node = Node {
        pods,
        knows_itself: bits & 1 == 0,
    };
    let room = if bits & 2 == 0 {
        Room {
            replied: 4096,
            new: 4096,
        }
    } else {
        Room {
            replied: 12,
            new: 8,
        }
    };
    (node, room)
}

/// Reads the policies of a pod.
fn pod(bytes: &mut Bytes<'_>, generation: u32) -> Pod {
    let bits = bytes.byte();
    let (ingress, egress) = (bytes.word(), bytes.word());
    let rules = |isolated: u8, mask: u16, reject: u8| Rules {
        isolated: bits & isolated == 0,
        mask,
        reject: bits & reject != 0,
    };
    Pod {
        generation,
        ingress: rules(1, ingress, 4),
        egress: rules(2, egress, 8),
    }
}
