//! Packets whose refusal is answered, and those whose is not.

use core::net::{IpAddr, Ipv4Addr};
use std::vec;
use std::vec::Vec;

use netpol_common::answer::MARK;
use netpol_common::counter::{DropReason, NOT_ISOLATED};
use netpol_common::endpoint::{Endpoint, flags};

use super::Case;
use super::setup::Setup;
use super::step::{Step, from_pod, to_pod};
use super::tcp::{handshake_in, handshake_out};
use super::world::{
    DENY_IN, DENY_OUT, EXPLICIT_DENY, FRIEND_OUT, NOTHING, Net, V4, WEB, isolated, next,
};
use crate::build::packet;
use crate::build::tcp::{ACK, FIN, PSH, RST, SYN};

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [answered(net), silent(net), connections(net), own(net)].concat()
}

fn both(endpoint: &mut Endpoint) {
    endpoint.ingress.flags |= flags::REJECT;
    endpoint.egress.flags |= flags::REJECT;
}

fn rejecting(net: &Net) -> Setup {
    isolated(net).with(both)
}

fn answered(net: &Net) -> Vec<Case> {
    let to = || packet(net.stranger, net.pod);
    let from = || packet(net.pod, net.stranger);
    let mut numbered = to().payload(b"data").tcp(40_000, 80, PSH | ACK);
    let transport = numbered.len() - 24;
    numbered[transport + 4..transport + 12].copy_from_slice(&[0xfe, 2, 3, 4, 0xfd, 6, 7, 0xff]);
    let mut wrapping = to().tcp(40_000, 80, SYN);
    wrapping[transport + 4..transport + 8].copy_from_slice(&[0xff; 4]);
    vec![
        Case::new(
            "what policy refuses is answered in both directions",
            rejecting(net),
            [
                to_pod(to().tcp(40_000, 80, SYN)).rejects(DENY_IN),
                from_pod(from().tcp(40_000, 80, SYN)).rejects(DENY_OUT),
                to_pod(to().udp(40_000, 53)).rejects(DENY_IN),
                from_pod(from().payload(&[7; 99]).udp(40_000, 53)).rejects(DENY_OUT),
                to_pod(to().sctp(40_000, 9)).rejects(DENY_IN),
                from_pod(from().sctp(40_000, 9)).rejects(DENY_OUT),
                to_pod(to().echo_request(77)).rejects(DENY_IN),
                from_pod(from().echo_request(77)).rejects(DENY_OUT),
                from_pod(from().echo_reply(77)).rejects(DENY_OUT),
                to_pod(to().protocol(47, &[1, 2, 3, 4, 5, 6, 7, 8, 9])).rejects(DENY_IN),
                from_pod(from().protocol(47, &[1, 2, 3, 4, 5, 6])).rejects(DENY_OUT),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
        Case::new(
            "segments without a connection are answered by their numbers",
            rejecting(net),
            [
                to_pod(numbered).rejects(DENY_IN),
                to_pod(wrapping).rejects(DENY_IN),
                to_pod(to().payload(&[1; 33]).tcp(40_000, 80, PSH)).rejects(DENY_IN),
                to_pod(to().tcp(40_000, 80, FIN)).rejects(DENY_IN),
                to_pod(to().tcp(40_000, 80, SYN | ACK)).rejects(DENY_IN),
                to_pod(to().tcp(40_000, 80, 0)).rejects(DENY_IN),
            ],
        ),
        Case::new(
            "an explicit deny is answered",
            rejecting(net),
            [from_pod(packet(net.pod, net.nearer).udp(40_000, 443)).rejects(EXPLICIT_DENY)],
        ),
        Case::new(
            "each direction is answered by what applies in it",
            isolated(net).with(|endpoint| endpoint.ingress.flags |= flags::REJECT),
            [
                to_pod(to().tcp(40_000, 80, SYN)).rejects(DENY_IN),
                from_pod(from().tcp(40_000, 80, SYN)).drops(DENY_OUT),
            ],
        ),
    ]
}

fn silent(net: &Net) -> Vec<Case> {
    let to = || packet(net.stranger, net.pod);
    let from = || packet(net.pod, net.stranger);
    let group: IpAddr = match net.pod {
        IpAddr::V4(_) => [224, 0, 1, 7].into(),
        IpAddr::V6(_) => [0xff0e, 0, 0, 0, 0, 0, 0, 7].into(),
    };
    let unspecified: IpAddr = match net.pod {
        IpAddr::V4(_) => [0; 4].into(),
        IpAddr::V6(_) => [0; 16].into(),
    };
    let mut to_all = from().udp(40_000, 53);
    to_all[..6].fill(0xff);
    let mut to_group = from().tcp(40_000, 80, SYN);
    to_group[0] |= 1;
    let closed = |endpoint: &mut Endpoint| {
        both(endpoint);
        endpoint.ingress.set = NOTHING;
        endpoint.ingress.deny_rule = DropReason::PolicyTooLarge.counter();
    };
    let errors: &[u8] = match net.pod {
        IpAddr::V4(_) => &[3, 4, 11, 12],
        IpAddr::V6(_) => &[1, 2, 3, 4],
    };
    let errors = errors
        .iter()
        .map(|kind| from_pod(from().icmp(*kind, 0, 7)).refused(DropReason::QuoteMalformed));
    vec![
        Case::new(
            "a RST is not answered",
            rejecting(net),
            [
                to_pod(to().tcp(40_000, 80, RST)).drops(DENY_IN),
                from_pod(from().tcp(40_000, 80, RST | ACK)).drops(DENY_OUT),
            ],
        ),
        Case::new(
            "errors of ICMP are not answered",
            rejecting(net),
            errors.collect::<Vec<_>>(),
        ),
        Case::new(
            "what is sent to many, or from nobody, is not answered",
            rejecting(net),
            [
                from_pod(packet(net.pod, group).udp(40_000, 53)).drops(DENY_OUT),
                from_pod(to_all).drops(DENY_OUT),
                from_pod(to_group).drops(DENY_OUT),
                to_pod(packet(group, net.pod).udp(40_000, 53)).drops(DENY_IN),
                to_pod(packet(unspecified, net.pod).udp(40_000, 53)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "a pod whose policies do not fit is closed in silence",
            rejecting(net).with(closed),
            [to_pod(to().tcp(40_000, 80, SYN)).refused(DropReason::PolicyTooLarge)],
        ),
        Case::new(
            "what is refused for another reason than policy is not answered",
            rejecting(net),
            [
                from_pod(packet(net.stranger, net.friend).tcp(1, 2, SYN))
                    .refused(DropReason::Spoofed),
                to_pod(packet(net.stranger, net.friend).tcp(1, 2, SYN))
                    .refused(DropReason::NotForEndpoint),
            ],
        ),
    ]
}

fn connections(net: &Net) -> Vec<Case> {
    let setup = rejecting(net);
    let data = || to_pod(packet(net.guest, net.pod).tcp(40_000, 80, PSH | ACK));
    let back = || from_pod(packet(net.pod, net.guest).tcp(80, 40_000, ACK));
    let cut = next(&setup, |endpoint| endpoint.ingress.set = NOTHING);
    let silent_cut = Endpoint {
        generation: cut.generation + 1,
        ..next(&isolated(net), |endpoint| endpoint.ingress.set = NOTHING)
    };
    vec![
        Case::new(
            "both ends of a cut connection are answered",
            setup.clone(),
            [
                handshake_in(net),
                vec![
                    Step::Switch(cut),
                    data().cuts_and_rejects(DENY_IN),
                    back().rejects(DENY_IN),
                    data().rejects(DENY_IN),
                    // The answer to it, on its way.
                    from_pod(packet(net.pod, net.guest).tcp(80, 40_000, RST))
                        .marked(MARK)
                        .answers(),
                    Step::Tracked { replied: 1, new: 0 },
                    back().rejects(DENY_IN),
                    Step::Switch(silent_cut),
                    back().drops(DENY_IN),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "a refused packet between the ports of another connection is not answered",
            setup.with(|endpoint| endpoint.ingress.set = NOTHING),
            [
                handshake_out(net),
                vec![
                    to_pod(packet(net.friend, net.pod).tcp(443, 40_000, SYN)).drops(DENY_IN),
                    from_pod(packet(net.pod, net.friend).tcp(40_000, 443, FIN | ACK))
                        .passes(FRIEND_OUT),
                    to_pod(packet(net.friend, net.pod).tcp(443, 40_000, SYN)).drops(DENY_IN),
                    Step::Tracked { replied: 1, new: 0 },
                ],
            ]
            .concat(),
        ),
    ]
}

/// Our own answers, on their way from the pod's side.
fn own(net: &Net) -> Vec<Case> {
    let reset = || from_pod(packet(net.pod, net.stranger).tcp(80, 40_000, RST | ACK));
    let unreachable = || {
        let kind = if net.pod.is_ipv4() { (3, 3) } else { (1, 4) };
        from_pod(packet(net.pod, net.stranger).icmp(kind.0, kind.1, 0))
    };
    let ingress_only = rejecting(net).ingress_only();
    vec![
        Case::new(
            "an answer passes by its mark, whatever refuses what it looks like",
            rejecting(net),
            [
                reset().drops(DENY_OUT),
                reset().marked(MARK).answers(),
                unreachable().refused(DropReason::QuoteMalformed),
                unreachable().marked(MARK).answers(),
                reset().marked(MARK | 1 << 31).drops(DENY_OUT),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
        Case::new(
            "it is taken for an answer where anything may leave, too",
            ingress_only,
            [
                reset().passes(NOT_ISOLATED),
                reset().marked(MARK).answers(),
                unreachable().marked(MARK).answers(),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
        Case::new(
            "the mark means nothing on the way to the pod",
            rejecting(net),
            [
                to_pod(packet(net.stranger, net.pod).tcp(40_000, 80, RST))
                    .marked(MARK)
                    .drops(DENY_IN),
                to_pod(packet(net.guest, net.pod).tcp(40_000, 80, SYN))
                    .marked(MARK)
                    .opens(WEB),
            ],
        ),
    ]
}

/// What only IPv4 has.
pub(super) fn v4_cases() -> Vec<Case> {
    let net = V4;
    let to = || packet(net.stranger, net.pod);
    let options =
        (1..=10).map(|words| to_pod(to().options(words).udp(40_000, 53)).rejects(DENY_IN));
    let broadcast = Ipv4Addr::BROADCAST.into();
    let loopback = Ipv4Addr::LOCALHOST.into();
    vec![
        Case::new(
            "options are quoted as they are",
            rejecting(&net),
            options.collect::<Vec<_>>(),
        ),
        Case::new(
            "a segment after options is answered by ICMP",
            rejecting(&net),
            [to_pod(to().options(1).tcp(40_000, 80, SYN)).rejects(DENY_IN)],
        ),
        Case::new(
            "fragments are not answered",
            rejecting(&net),
            [
                to_pod(to().fragment(3, false).udp(1, 2)).refused(DropReason::FirstFragmentNotSeen),
                to_pod(to().fragment(0, true).payload(&[0; 8]).udp(1, 2)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "what is sent to everybody, or from no other host, is not answered over IPv4",
            rejecting(&net),
            [
                from_pod(packet(net.pod, broadcast).udp(68, 67)).drops(DENY_OUT),
                to_pod(packet(broadcast, net.pod).udp(68, 67)).drops(DENY_IN),
                to_pod(packet(loopback, net.pod).udp(68, 67)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "a long packet is answered as any other",
            rejecting(&net),
            [to_pod(to().payload(&[3; 400]).udp(40_000, 53)).rejects(DENY_IN)],
        ),
    ]
}
