//! UDP, other protocols; time-outs.

use std::vec;
use std::vec::Vec;

use netpol_common::conntrack::{TIMEOUT_SECONDS, Timeout};

use super::Case;
use super::step::{Step, from_pod, to_pod};
use super::world::{DENY_IN, DENY_OUT, DNS, FRIEND_OUT, Net, SIGNAL, isolated};
use crate::build::packet;

/// Generic routing encapsulation: a protocol without ports.
const GRE: u8 = 47;
/// Encapsulating security payload.
const ESP: u8 = 50;

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [udp(net), others(net)].concat()
}

fn udp(net: &Net) -> Vec<Case> {
    let query = || from_pod(packet(net.pod, net.guest).udp(40_000, 53));
    let answer = || to_pod(packet(net.guest, net.pod).udp(53, 40_000));
    let new = TIMEOUT_SECONDS[Timeout::New as usize];
    let replied = TIMEOUT_SECONDS[Timeout::Udp as usize];
    vec![
        Case::new(
            "an answer to an allowed query passes, another datagram does not",
            isolated(net),
            [
                query().opens(DNS),
                answer().passes(DNS),
                to_pod(packet(net.guest, net.pod).udp(53, 40_001)).drops(DENY_IN),
                to_pod(packet(net.friend, net.pod).udp(53, 40_000)).opens(super::world::FRIEND_IN),
                Step::Tracked { replied: 1, new: 1 },
            ],
        ),
        Case::new(
            "an answer that comes too late is no answer",
            isolated(net),
            [
                query().opens(DNS),
                Step::Wait(new + 1),
                answer().drops(DENY_IN),
                query().opens(DNS),
                Step::Wait(new - 1),
                answer().passes(DNS),
            ],
        ),
        Case::new(
            "each packet keeps a connection for as long as its time-out",
            isolated(net),
            [
                query().opens(DNS),
                answer().passes(DNS),
                query().passes(DNS),
                Step::Wait(replied - 1),
                query().passes(DNS),
                Step::Wait(replied - 1),
                answer().passes(DNS),
                Step::Wait(replied + 1),
                answer().drops(DENY_IN),
                // The expired entry is gone, so a new one of the same ports is found.
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
        Case::new(
            "one question and one answer are no stream, and soon forgotten",
            isolated(net),
            [
                query().opens(DNS),
                answer().passes(DNS),
                Step::Wait(new + 1),
                answer().drops(DENY_IN),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
        Case::new(
            "a port of one protocol says nothing about another",
            isolated(net),
            [
                from_pod(packet(net.pod, net.guest).udp(40_000, 80)).drops(DENY_OUT),
                from_pod(packet(net.pod, net.guest).sctp(40_000, 53)).drops(DENY_OUT),
                query().opens(DNS),
                to_pod(packet(net.guest, net.pod).sctp(53, 40_000)).drops(DENY_IN),
            ],
        ),
    ]
}

fn others(net: &Net) -> Vec<Case> {
    vec![
        Case::new(
            "SCTP has ports",
            isolated(net),
            [
                from_pod(packet(net.pod, net.guest).sctp(40_000, 9)).opens(SIGNAL),
                to_pod(packet(net.guest, net.pod).sctp_chunk(9, 40_000, 7, 2)).passes(SIGNAL),
                from_pod(packet(net.pod, net.guest).sctp(40_000, 10)).drops(DENY_OUT),
            ],
        ),
        Case::new(
            "a protocol without ports passes by a rule without ports, and is tracked",
            isolated(net),
            [
                from_pod(packet(net.pod, net.friend).protocol(GRE, &[0; 8])).opens(FRIEND_OUT),
                to_pod(packet(net.friend, net.pod).protocol(GRE, &[0; 8])).passes(FRIEND_OUT),
                from_pod(packet(net.pod, net.friend).protocol(ESP, &[0; 8])).opens(FRIEND_OUT),
                Step::Tracked { replied: 1, new: 1 },
            ],
        ),
        Case::new(
            "a protocol without ports passes by no rule with ports",
            isolated(net),
            [
                from_pod(packet(net.pod, net.guest).protocol(GRE, &[0; 8])).drops(DENY_OUT),
                to_pod(packet(net.guest, net.pod).protocol(ESP, &[0; 8])).drops(DENY_IN),
            ],
        ),
        Case::new(
            "the other family's ICMP is a protocol like any other",
            isolated(net),
            {
                let other = if net.pod.is_ipv4() { 58 } else { 1 };
                // A neighbour advertisement, by its first bytes.
                let advertisement = [136, 0, 0, 0, 0, 0, 0, 0];
                [from_pod(
                    packet(net.pod, net.stranger)
                        .hops(255)
                        .protocol(other, &advertisement),
                )
                .drops(DENY_OUT)]
            },
        ),
    ]
}
