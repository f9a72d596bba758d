//! Every prefix of every packet.
//!
//! A prefix never passes at an isolated endpoint in an isolated direction, unless the whole of the
//! IP packet is in it (what follows is Ethernet's padding), or the packet is ARP; nor where there
//! is no endpoint. And it never changes a connection. So no shortened packet is taken for anything but what it is.

use std::collections::BTreeSet;
use std::string::String;

use netpol_common::counter::{DropReason, NEIGHBOUR, NOT_ISOLATED};
use netpol_common::endpoint::Endpoint;

use super::run::{Subject, counters, moved};
use super::step::PacketStep;
use crate::Decision;

const ETHERNET_LENGTH: usize = 14;
const ETHERTYPE: usize = 12;
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// Runs every prefix of a packet on a subject as it is before the packet.
pub(super) fn check<S: Subject>(
    subject: &mut S,
    endpoint: Option<&Endpoint>,
    packet: &PacketStep,
    numbers: &BTreeSet<u32>,
) -> Result<(), String> {
    let connections = subject.connections();
    let before = counters(subject, numbers);
    let decision = expected(endpoint, packet);
    let end = whole(&packet.frame).min(packet.frame.len());
    let mut tried = 0;
    for length in 0..end {
        let prefix = &packet.frame[..length];
        let Some(seen) = subject.judge(packet.direction, prefix, packet.local_socket) else {
            continue;
        };
        if length > ETHERTYPE + 1 && seen != decision {
            return Err(std::format!(
                "the first {length} bytes: expected {decision:?}, saw {seen:?}"
            ));
        }
        tried += 1;
    }
    let _ = subject.events();
    if subject.connections() != connections {
        return Err("a prefix has changed a connection".into());
    }
    let allowed = allowed_counters(endpoint, packet);
    let moved = moved(&before, &counters(subject, numbers));
    let packets: u64 = moved.iter().map(|(_, by)| by.packets).sum();
    let stray = moved.iter().any(|(number, _)| !allowed.contains(number));
    let counted = endpoint.is_none_or(Endpoint::judged);
    if stray || packets != if counted { tried } else { 0 } {
        return Err(std::format!(
            "{tried} prefixes moved the counters {moved:?}"
        ));
    }
    Ok(())
}

/// What must become of a prefix that does not hold the whole IP packet.
fn expected(endpoint: Option<&Endpoint>, packet: &PacketStep) -> Decision {
    let closed = endpoint.is_none_or(|entry| entry.direction(packet.direction).isolated());
    if closed && ethertype(&packet.frame) != ARP {
        Decision::Drop
    } else {
        Decision::Next
    }
}

/// What prefixes may be counted under.
fn allowed_counters(endpoint: Option<&Endpoint>, packet: &PacketStep) -> BTreeSet<u32> {
    let Some(endpoint) = endpoint else {
        return BTreeSet::from([DropReason::UnknownEndpoint.counter(), NEIGHBOUR]);
    };
    let closed = endpoint.direction(packet.direction).isolated();
    let reasons = [
        DropReason::Truncated,
        DropReason::UnknownEtherType,
        DropReason::MalformedHeader,
        DropReason::VlanTag,
    ];
    let mut allowed = BTreeSet::new();
    if closed {
        allowed.extend(reasons.map(DropReason::counter));
    } else {
        allowed.insert(NOT_ISOLATED);
    }
    if ethertype(&packet.frame) == ARP {
        allowed.insert(NEIGHBOUR);
    }
    allowed
}

/// How many bytes of a frame its IP packet needs. Of what is no IP packet, all of them.
fn whole(frame: &[u8]) -> usize {
    let at = |offset: usize| usize::from(frame[ETHERNET_LENGTH + offset]);
    match ethertype(frame) {
        IPV4 if frame.len() >= ETHERNET_LENGTH + 4 => ETHERNET_LENGTH + at(2) * 256 + at(3),
        IPV6 if frame.len() >= ETHERNET_LENGTH + 6 => ETHERNET_LENGTH + 40 + at(4) * 256 + at(5),
        _ => frame.len(),
    }
}

fn ethertype(frame: &[u8]) -> [u8; 2] {
    frame
        .get(ETHERTYPE..)
        .and_then(|rest| rest.first_chunk().copied())
        .unwrap_or_default()
}
