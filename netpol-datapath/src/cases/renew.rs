//! A change of policy while connections are open.

use std::vec;
use std::vec::Vec;

use netpol_common::counter::{DropReason, NOT_ISOLATED};
use netpol_common::endpoint::{Endpoint, EndpointDirection, flags};

use super::Case;
use super::step::{Step, from_pod, to_pod};
use super::tcp::{handshake_in, handshake_out};
use super::world::{
    ANYONE_RULE, DENY_IN, DENY_OUT, FRIEND_IN, FRIEND_OUT, NOTHING, Net, WEB, WILDCARDS, isolated,
    next,
};
use crate::build::packet;
use crate::build::tcp::{ACK, FIN, PSH, SYN};

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [tighten(net), relax(net), other(net)].concat()
}

fn close_ingress(endpoint: &mut Endpoint) {
    endpoint.ingress.set = NOTHING;
}

fn close_egress(endpoint: &mut Endpoint) {
    endpoint.egress.set = NOTHING;
}

fn tighten(net: &Net) -> Vec<Case> {
    let setup = isolated(net);
    let in_data = || to_pod(packet(net.guest, net.pod).tcp(40_000, 80, PSH | ACK));
    let in_answer = || from_pod(packet(net.pod, net.guest).tcp(80, 40_000, ACK));
    let out_data = || from_pod(packet(net.pod, net.friend).tcp(40_000, 443, PSH | ACK));
    let closed_in = next(&setup, close_ingress);
    let closed_out = next(&setup, close_egress);
    vec![
        Case::new(
            "the next packet of a connection that is no longer allowed is dropped",
            setup.clone(),
            [
                handshake_in(net),
                vec![
                    Step::Switch(closed_in),
                    in_data().cuts(DENY_IN),
                    in_answer().drops(DENY_IN),
                    in_data().drops(DENY_IN),
                    Step::Tracked { replied: 1, new: 0 },
                ],
            ]
            .concat(),
        ),
        Case::new(
            "also when the next packet is the answer",
            setup.clone(),
            [
                handshake_in(net),
                vec![Step::Switch(closed_in), in_answer().cuts(DENY_IN)],
            ]
            .concat(),
        ),
        Case::new(
            "a connection that the new policy allows lives on, under the rule that allows it now",
            setup.clone(),
            [
                handshake_out(net),
                vec![
                    Step::Switch(next(&setup, |e| {
                        e.ingress.set = NOTHING;
                        e.egress.set = WILDCARDS;
                        e.egress.flags = flags::ISOLATED | flags::ANYONE;
                    })),
                    to_pod(packet(net.friend, net.pod).tcp(443, 40_000, ACK)).passes(ANYONE_RULE),
                    out_data().passes(ANYONE_RULE),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "a connection is judged again in the direction in which it was opened",
            setup.clone(),
            [
                handshake_out(net),
                vec![
                    Step::Switch(closed_in),
                    to_pod(packet(net.friend, net.pod).tcp(443, 40_000, ACK)).passes(FRIEND_OUT),
                    Step::Switch(Endpoint {
                        generation: closed_in.generation + 1,
                        ..closed_out
                    }),
                    to_pod(packet(net.friend, net.pod).tcp(443, 40_000, ACK)).cuts(DENY_OUT),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "a new SYN over a connection that was cut is judged anew",
            setup.clone(),
            [
                handshake_in(net),
                vec![
                    Step::Switch(closed_in),
                    in_data().cuts(DENY_IN),
                    to_pod(packet(net.guest, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN),
                    from_pod(packet(net.pod, net.guest).tcp(80, 40_000, SYN)).drops(DENY_OUT),
                    Step::Tracked { replied: 1, new: 0 },
                ],
            ]
            .concat(),
        ),
        Case::new(
            "a SYN of the other side over a connection that was cut opens a new one",
            setup.clone(),
            [
                to_pod(packet(net.friend, net.pod).tcp(40_000, 80, SYN)).opens(FRIEND_IN),
                from_pod(packet(net.pod, net.friend).tcp(80, 40_000, SYN | ACK)).passes(FRIEND_IN),
                Step::Switch(closed_in),
                to_pod(packet(net.friend, net.pod).tcp(40_000, 80, ACK)).cuts(DENY_IN),
                from_pod(packet(net.pod, net.friend).tcp(80, 40_000, SYN)).opens(FRIEND_OUT),
                Step::Tracked { replied: 0, new: 1 },
            ],
        ),
        Case::new(
            "a datagram's connection is cut too, for as long as anything comes",
            setup.clone(),
            [
                to_pod(packet(net.friend, net.pod).udp(40_000, 53)).opens(FRIEND_IN),
                from_pod(packet(net.pod, net.friend).udp(53, 40_000)).passes(FRIEND_IN),
                Step::Switch(closed_in),
                from_pod(packet(net.pod, net.friend).udp(53, 40_000)).cuts(DENY_IN),
                Step::Wait(100),
                from_pod(packet(net.pod, net.friend).udp(53, 40_000)).drops(DENY_IN),
                Step::Wait(100),
                from_pod(packet(net.pod, net.friend).udp(53, 40_000)).drops(DENY_IN),
            ],
        ),
    ]
}

fn relax(net: &Net) -> Vec<Case> {
    let setup = isolated(net);
    let closed = next(&setup, close_ingress);
    let open_again = Endpoint {
        generation: closed.generation + 1,
        ..setup.endpoint.unwrap_or_default()
    };
    let data = || to_pod(packet(net.guest, net.pod).tcp(40_000, 80, PSH | ACK));
    vec![
        Case::new(
            "a connection that was cut lives again when a later policy allows it",
            setup.clone(),
            [
                handshake_in(net),
                vec![
                    Step::Switch(closed),
                    data().cuts(DENY_IN),
                    Step::Switch(open_again),
                    data().passes(WEB),
                    from_pod(packet(net.pod, net.guest).tcp(80, 40_000, ACK)).passes(WEB),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "a connection is cut once, by the first change that forbids it",
            setup.clone(),
            [
                handshake_in(net),
                vec![
                    Step::Switch(closed),
                    data().cuts(DENY_IN),
                    data().drops(DENY_IN),
                    Step::Switch(Endpoint {
                        generation: closed.generation + 1,
                        ..closed
                    }),
                    data().drops(DENY_IN),
                    Step::Switch(Endpoint {
                        generation: closed.generation + 2,
                        ..open_again
                    }),
                    data().passes(WEB),
                    Step::Switch(Endpoint {
                        generation: closed.generation + 3,
                        ..closed
                    }),
                    data().cuts(DENY_IN),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "without its last policy an endpoint's connections live on, and are judged when one is back",
            setup.clone(),
            [
                handshake_in(net),
                handshake_out(net),
                vec![
                    Step::Switch(next(&setup, |e| {
                        e.ingress = EndpointDirection::default();
                        e.egress = EndpointDirection::default();
                    })),
                    data().passes_unseen(),
                    from_pod(packet(net.pod, net.guest).tcp(80, 40_000, ACK)).passes_unseen(),
                    // Neither is another one tracked meanwhile.
                    to_pod(packet(net.stranger, net.pod).tcp(40_001, 80, SYN)).passes_unseen(),
                    Step::Tracked { replied: 2, new: 0 },
                    Step::Switch(Endpoint {
                        generation: closed.generation + 1,
                        ..closed
                    }),
                    data().cuts(DENY_IN),
                    to_pod(packet(net.stranger, net.pod).tcp(40_001, 80, ACK)).drops(DENY_IN),
                    to_pod(packet(net.friend, net.pod).tcp(443, 40_000, ACK)).passes(FRIEND_OUT),
                    to_pod(packet(net.guest, net.pod).tcp(40_002, 80, SYN)).drops(DENY_IN),
                    from_pod(packet(net.pod, net.friend).tcp(40_003, 443, SYN)).opens(FRIEND_OUT),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "a direction that is no longer isolated renews its connections",
            setup.clone(),
            [
                handshake_in(net),
                vec![
                    Step::Switch(next(&setup, |e| e.ingress = EndpointDirection::default())),
                    data().passes(NOT_ISOLATED),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "a new connection is judged by the new policy at once",
            setup.clone(),
            [
                Step::Switch(closed),
                to_pod(packet(net.guest, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN),
                Step::Switch(open_again),
                to_pod(packet(net.guest, net.pod).tcp(40_000, 80, SYN)).opens(WEB),
            ],
        ),
    ]
}

fn other(net: &Net) -> Vec<Case> {
    let setup = isolated(net);
    let broken = next(&setup, |e| {
        e.ingress.set = NOTHING;
        e.ingress.flags = flags::ISOLATED | flags::ANYONE;
    });
    let data = || to_pod(packet(net.guest, net.pod).tcp(40_000, 80, PSH | ACK));
    vec![
        Case::new(
            "maps that contradict themselves drop the packet, and do not cut the connection",
            setup.clone(),
            [
                handshake_in(net),
                vec![
                    Step::Switch(broken),
                    data().refused(DropReason::Inconsistent),
                    // The maps are repaired; the endpoint's entry need not change for it.
                    Step::Switch(Endpoint {
                        generation: broken.generation,
                        ..setup.endpoint.unwrap_or_default()
                    }),
                    data().passes(WEB),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "a FIN may be the packet at which a connection is judged again",
            setup.clone(),
            [
                handshake_out(net),
                vec![
                    Step::Switch(next(&setup, |_| {})),
                    from_pod(packet(net.pod, net.friend).tcp(40_000, 443, FIN | ACK))
                        .passes(FRIEND_OUT),
                    to_pod(packet(net.friend, net.pod).tcp(443, 40_000, SYN)).opens(FRIEND_IN),
                    from_pod(packet(net.pod, net.friend).tcp(40_000, 443, SYN | ACK))
                        .passes(FRIEND_IN),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "isolated for the first time, an endpoint knows no connection",
            setup.clone().not_isolated(),
            [
                from_pod(packet(net.pod, net.stranger).tcp(40_000, 443, SYN)).passes_unseen(),
                to_pod(packet(net.stranger, net.pod).tcp(443, 40_000, SYN | ACK)).passes_unseen(),
                Step::Tracked { replied: 0, new: 0 },
                Step::Switch(next(&setup, |_| {})),
                to_pod(packet(net.stranger, net.pod).tcp(443, 40_000, ACK)).drops(DENY_IN),
                from_pod(packet(net.pod, net.stranger).tcp(40_000, 443, ACK)).drops(DENY_OUT),
            ],
        ),
    ]
}
