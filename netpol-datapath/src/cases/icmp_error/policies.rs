//! ICMP errors where policies change, or isolate in one direction alone.

use std::vec;
use std::vec::Vec;

use netpol_common::counter::{DropReason, NOT_ISOLATED};

use super::{pod, router};
use crate::build::packet;
use crate::build::tcp::{ACK, PSH};
use crate::cases::Case;
use crate::cases::step::{PacketStep, Step, from_pod, to_pod};
use crate::cases::tcp::handshake_in;
use crate::cases::world::{DENY_IN, DENY_OUT, NOTHING, Net, WEB, isolated, next};

pub(super) fn cases(net: &Net) -> Vec<Case> {
    [policies(net), directions(net)].concat()
}

/// A change of policy, before the error comes.
fn policies(net: &Net) -> Vec<Case> {
    let setup = isolated(net);
    let closed = next(&setup, |endpoint| endpoint.ingress.set = NOTHING);
    let request = packet(net.guest, net.pod).tcp(40_000, 80, PSH | ACK);
    let answer = packet(net.pod, net.guest).tcp(80, 40_000, PSH | ACK);
    let again = next(&setup, |endpoint| endpoint.generation += 1);
    vec![
        Case::new(
            "an ICMP error about a connection of an older generation is judged by the new policy",
            setup.clone(),
            [
                handshake_in(net),
                vec![
                    Step::Switch(closed),
                    router(net, &answer).drops(DENY_IN),
                    pod(net, net.guest, &request).drops(DENY_IN),
                    // It has cut nothing: the connection was not looked at by a packet of its own.
                    Step::Switch(again),
                    router(net, &answer).passes(WEB),
                    from_pod(answer.clone()).passes(WEB),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "an ICMP error about a connection that was cut is closed as its packets are",
            setup.clone(),
            [
                handshake_in(net),
                vec![
                    Step::Switch(closed),
                    to_pod(request.clone()).cuts(DENY_IN),
                    router(net, &answer).drops(DENY_IN),
                    pod(net, net.guest, &request).drops(DENY_IN),
                    Step::Tracked { replied: 1, new: 0 },
                ],
            ]
            .concat(),
        ),
    ]
}

/// Endpoints that are isolated in one direction.
fn directions(net: &Net) -> Vec<Case> {
    let sent = packet(net.pod, net.stranger).udp(40_000, 53);
    let come = packet(net.stranger, net.pod).udp(40_000, 53);
    let unknown = |step: PacketStep| step.refused(DropReason::QuoteUnknown);
    let setup = isolated(net).ingress_only();
    let too_large = next(&setup, |endpoint| {
        endpoint.ingress.set = NOTHING;
        endpoint.ingress.deny_rule = DropReason::PolicyTooLarge.counter();
    });
    let request = packet(net.guest, net.pod).tcp(40_000, 80, PSH | ACK);
    vec![
        Case::new(
            "a connection that is closed now is spoken of in no direction",
            setup,
            [
                handshake_in(net),
                vec![
                    Step::Switch(too_large),
                    pod(net, net.guest, &request).refused(DropReason::PolicyTooLarge),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "isolated for ingress only, the pod hears of what it sent, and may say what it likes",
            isolated(net).ingress_only(),
            [
                unknown(router(net, &sent)),
                from_pod(sent.clone()).opens(NOT_ISOLATED),
                router(net, &sent).passes(NOT_ISOLATED),
                to_pod(come.clone()).drops(DENY_IN),
                pod(net, net.stranger, &come).passes(NOT_ISOLATED),
                Step::Tracked { replied: 0, new: 1 },
            ],
        ),
        Case::new(
            "isolated for egress only, the pod says what it must of what came, and hears everything",
            isolated(net).egress_only(),
            [
                unknown(pod(net, net.stranger, &come)),
                to_pod(come.clone()).opens(NOT_ISOLATED),
                pod(net, net.stranger, &come).passes(NOT_ISOLATED),
                from_pod(sent.clone()).drops(DENY_OUT),
                router(net, &sent).passes(NOT_ISOLATED),
                Step::Tracked { replied: 0, new: 1 },
            ],
        ),
        Case::new(
            "isolated in no direction, a pod is told and tells everything",
            isolated(net).not_isolated(),
            [
                router(net, &sent).passes_unseen(),
                pod(net, net.stranger, &come).passes_unseen(),
            ],
        ),
    ]
}
