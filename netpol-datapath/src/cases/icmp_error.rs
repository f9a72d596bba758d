//! ICMP errors: they pass by the connection of the packet that they quote.

mod policies;
mod quoted;

pub(super) use quoted::{v4_cases, v6_cases};

use std::vec;
use std::vec::Vec;

use netpol_common::conntrack::{TIMEOUT_SECONDS, Timeout};
use netpol_common::counter::DropReason;

use super::Case;
use super::setup::{Words, words};
use super::step::{PacketStep, Step, from_pod, to_pod, to_pod_from_node};
use super::tcp::handshake_in;
use super::world::{DENY_IN, DNS, FRIEND_IN, FRIEND_OUT, Net, SIGNAL, WEB, isolated};
use crate::build::tcp::{ACK, PSH, SYN};
use crate::build::{Builder, packet};

const ETHERNET_LENGTH: usize = 14;
/// What a quote has of the packet behind its IP header at least (RFC 792).
const LEAST: usize = 8;
/// Bytes of a TCP header: with the rest of the error they are whole units of a fragment.
const WHOLE_SYN: usize = 20;
/// Generic routing encapsulation: a protocol without ports.
const GRE: u8 = 47;

/// The start of a frame's IP packet: its header, and so many bytes.
fn quote(frame: &[u8], bytes: usize) -> Vec<u8> {
    let packet = &frame[ETHERNET_LENGTH..];
    let header = if packet[0] >> 4 == 4 {
        usize::from(packet[0] & 0x0f) * 4
    } else {
        40
    };
    packet[..(header + bytes).min(packet.len())].to_vec()
}

/// A host is unreachable, in the words of the family.
fn unreachable(packet: Builder, net: &Net, quote: &[u8]) -> Vec<u8> {
    packet.icmp_error(if net.pod.is_ipv4() { 3 } else { 1 }, 1, quote)
}

/// A router, which no policy knows, tells the pod about a packet.
fn router(net: &Net, about: &[u8]) -> PacketStep {
    to_pod(unreachable(
        packet(net.stranger, net.pod),
        net,
        &quote(about, LEAST),
    ))
}

/// The pod tells a host about a packet.
fn pod(net: &Net, host: core::net::IpAddr, about: &[u8]) -> PacketStep {
    from_pod(unreachable(
        packet(net.pod, host),
        net,
        &quote(about, LEAST),
    ))
}

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [
        tracked(net),
        unknown(net),
        quoted::cases(net),
        policies::cases(net),
    ]
    .concat()
}

fn tracked(net: &Net) -> Vec<Case> {
    let syn = packet(net.pod, net.guest).tcp(40_000, 80, SYN);
    let kinds: [(u8, u8); 4] = if net.pod.is_ipv4() {
        [(3, 4), (4, 0), (11, 0), (12, 0)]
    } else {
        [(1, 4), (2, 0), (3, 0), (4, 1)]
    };
    let of_kind = |(kind, code)| {
        let error = packet(net.stranger, net.pod).icmp_error(kind, code, &quote(&syn, LEAST));
        to_pod(error).passes(WEB)
    };
    let all_kinds = [from_pod(syn.clone()).opens(WEB)]
        .into_iter()
        .chain(kinds.map(of_kind));
    // None of them is an answer.
    let all_kinds = all_kinds.chain([Step::Tracked { replied: 0, new: 1 }]);
    let request = packet(net.guest, net.pod).tcp(40_000, 80, PSH | ACK);
    let answer = packet(net.pod, net.guest).tcp(80, 40_000, PSH | ACK);
    let both_ways = [
        router(net, &answer).passes(WEB),
        pod(net, net.guest, &request).passes(WEB),
        Step::Tracked { replied: 1, new: 0 },
    ];
    vec![
        Case::new(
            "an ICMP error about a connection of the pod passes under its rule, whoever sends it",
            isolated(net),
            all_kinds.collect::<Vec<_>>(),
        ),
        Case::new(
            "an ICMP error about a connection to the pod passes either way",
            isolated(net),
            [handshake_in(net), both_ways.into()].concat(),
        ),
        Case::new(
            "an ICMP error quotes UDP, SCTP, a ping, or a protocol without ports",
            isolated(net),
            protocols(net),
        ),
        Case::new(
            "an ICMP error quotes a ping to the pod, or its answer",
            isolated(net),
            pinged(net),
        ),
        Case::new("an ICMP error keeps no connection alive", isolated(net), {
            let query = packet(net.pod, net.guest).udp(40_000, 53);
            let new = TIMEOUT_SECONDS[Timeout::New as usize];
            [
                from_pod(query.clone()).opens(DNS),
                Step::Wait(new - 1),
                router(net, &query).passes(DNS),
                Step::Wait(2),
                router(net, &query).refused(DropReason::QuoteUnknown),
                to_pod(packet(net.guest, net.pod).udp(53, 40_000)).drops(DENY_IN),
            ]
        }),
    ]
}

fn protocols(net: &Net) -> Vec<Step> {
    let to_guest = || packet(net.pod, net.guest);
    let to_friend = || packet(net.pod, net.friend);
    let opened = [
        (to_guest().udp(40_000, 53), DNS),
        (to_guest().sctp(40_000, 9), SIGNAL),
        (to_friend().echo_request(77), FRIEND_OUT),
        (to_friend().protocol(GRE, &[0; 8]), FRIEND_OUT),
    ];
    let steps = opened.into_iter().flat_map(|(frame, rule)| {
        let error = router(net, &frame).passes(rule);
        [from_pod(frame).opens(rule), error]
    });
    steps
        .chain([Step::Tracked { replied: 0, new: 4 }])
        .collect()
}

fn pinged(net: &Net) -> Vec<Step> {
    let ping = packet(net.friend, net.pod).echo_request(9);
    let answer = packet(net.pod, net.friend).echo_reply(9);
    vec![
        to_pod(ping.clone()).opens(FRIEND_IN),
        router(net, &answer).passes(FRIEND_IN),
        pod(net, net.friend, &ping).passes(FRIEND_IN),
        Step::Tracked { replied: 0, new: 1 },
    ]
}

/// What an error must not be about.
fn unknown(net: &Net) -> Vec<Case> {
    let syn = || packet(net.pod, net.guest).tcp(40_000, 80, SYN);
    let opened = || from_pod(syn()).opens(WEB);
    let back = packet(net.guest, net.pod).tcp(80, 40_000, SYN | ACK);
    let unknown = |step: PacketStep| step.refused(DropReason::QuoteUnknown);
    vec![
        Case::new(
            "an ICMP error about no connection of the pod is closed, also where all is allowed",
            isolated(net),
            [
                opened(),
                unknown(router(
                    net,
                    &packet(net.pod, net.guest).tcp(40_001, 80, SYN),
                )),
                unknown(router(
                    net,
                    &packet(net.pod, net.guest).tcp(40_000, 81, SYN),
                )),
                unknown(router(
                    net,
                    &packet(net.pod, net.friend).tcp(40_000, 80, SYN),
                )),
                unknown(router(net, &packet(net.pod, net.guest).udp(40_000, 80))),
                unknown(to_pod(unreachable(
                    packet(net.friend, net.pod),
                    net,
                    &quote(&packet(net.pod, net.friend).udp(1, 2), LEAST),
                ))),
                unknown(pod(net, net.friend, &packet(net.friend, net.pod).udp(1, 2))),
            ],
        ),
        Case::new(
            "an ICMP error in fragments is closed",
            isolated(net),
            [
                opened(),
                to_pod(unreachable(
                    packet(net.guest, net.pod).fragment(0, true),
                    net,
                    &quote(&syn(), WHOLE_SYN),
                ))
                .refused(DropReason::Fragment),
                router(net, &syn()).passes(WEB),
            ],
        ),
        Case::new(
            "an ICMP error about a connection of others is closed",
            isolated(net),
            [
                opened(),
                unknown(router(
                    net,
                    &packet(net.other, net.guest).tcp(40_000, 80, SYN),
                )),
                unknown(pod(
                    net,
                    net.guest,
                    &packet(net.guest, net.other).tcp(80, 40_000, ACK),
                )),
            ],
        ),
        Case::new(
            "an ICMP error about a packet that went its own way is closed",
            isolated(net),
            [
                opened(),
                unknown(router(net, &back)),
                unknown(pod(net, net.guest, &syn())),
            ],
        ),
        Case::new(
            "the pod tells nobody of a connection but its peer",
            isolated(net),
            [
                opened(),
                unknown(pod(net, net.stranger, &back)),
                unknown(pod(net, net.friend, &back)),
                pod(net, net.guest, &back).passes(WEB),
            ],
        ),
        Case::new(
            "an ICMP error goes to the address that the connection has",
            isolated(net).with(|endpoint| match words(net.other) {
                Words::V4(word) => endpoint.v4[1] = word,
                Words::V6(words) => endpoint.v6[1] = words,
            }),
            [
                opened(),
                unknown(to_pod(unreachable(
                    packet(net.stranger, net.other),
                    net,
                    &quote(&syn(), LEAST),
                ))),
                router(net, &syn()).passes(WEB),
            ],
        ),
        Case::new(
            "an ICMP error about an error, or about no ping, is closed",
            isolated(net),
            {
                let error = unreachable(packet(net.pod, net.guest), net, &quote(&back, LEAST));
                let other = if net.pod.is_ipv4() { 13 } else { 139 };
                [
                    opened(),
                    unknown(router(net, &error)),
                    unknown(router(net, &packet(net.pod, net.friend).icmp(other, 0, 0))),
                ]
            },
        ),
        Case::new(
            "what the node says of a connection is true of no other",
            isolated(net),
            [
                opened(),
                to_pod_from_node(unreachable(
                    packet(net.node, net.pod),
                    net,
                    &quote(&syn(), LEAST),
                ))
                .passes(WEB),
                unknown(to_pod_from_node(unreachable(
                    packet(net.node, net.pod),
                    net,
                    &quote(&packet(net.pod, net.guest).udp(1, 2), LEAST),
                ))),
            ],
        ),
        Case::new(
            "an ICMP error with another's address is that first",
            isolated(net),
            [
                opened(),
                from_pod(unreachable(
                    packet(net.other, net.guest),
                    net,
                    &quote(&back, LEAST),
                ))
                .refused(DropReason::Spoofed),
            ],
        ),
    ]
}
