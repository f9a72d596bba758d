//! Tables that are full, and an endpoint's share of them.

use std::vec;
use std::vec::Vec;

use netpol_common::conntrack::{TIMEOUT_SECONDS, Timeout};
use netpol_common::counter::{CONNTRACK_NOT_PROMOTED, DropReason};

use super::Case;
use super::step::{PacketStep, Step, from_pod, to_pod};
use super::world::{DENY_IN, FRIEND_IN, FRIEND_OUT, NEW_CAPACITY, Net, REPLIED_CAPACITY, isolated};
use crate::build::packet;
use crate::build::tcp::{ACK, FIN, RST, SYN};

/// What one endpoint gets of the table of new connections: it may hold what it leaves free.
const SHARE: usize = NEW_CAPACITY / 2;
/// What one endpoint gets of the other table: eight times what it leaves free.
const REPLIED_SHARE: usize = REPLIED_CAPACITY - 1;

pub(super) fn cases(net: &Net) -> Vec<Case> {
    let traffic = Traffic(*net);
    [new(net, &traffic), replied(net, &traffic)].concat()
}

/// Packets between the pod and its friend.
struct Traffic(Net);

impl Traffic {
    fn out(&self, port: u16, flags: u8) -> PacketStep {
        from_pod(packet(self.0.pod, self.0.friend).tcp(port, 443, flags))
    }

    fn back(&self, port: u16, flags: u8) -> PacketStep {
        to_pod(packet(self.0.friend, self.0.pod).tcp(443, port, flags))
    }

    /// So many connections that nobody answers.
    fn opened(&self, count: usize) -> Vec<Step> {
        let ports = (40_000..).take(count);
        ports
            .map(|port| self.out(port, SYN).opens(FRIEND_OUT))
            .collect()
    }

    /// So many that are answered.
    fn answered(&self, count: usize) -> Vec<Step> {
        let ports = (50_000..).take(count);
        ports
            .flat_map(|port| {
                [
                    self.out(port, SYN).opens(FRIEND_OUT),
                    self.back(port, SYN | ACK).passes(FRIEND_OUT),
                ]
            })
            .collect()
    }
}

fn new(net: &Net, traffic: &Traffic) -> Vec<Case> {
    let setup = isolated(net);
    let closed = TIMEOUT_SECONDS[Timeout::TcpClosed as usize];
    let unanswered = TIMEOUT_SECONDS[Timeout::New as usize];
    vec![
        Case::new(
            "an endpoint opens as many connections as it leaves free, and keeps what it has",
            setup.clone(),
            [
                traffic.answered(1),
                traffic.opened(SHARE),
                vec![
                    Step::Tracked {
                        replied: 1,
                        new: SHARE,
                    },
                    traffic
                        .out(60_000, SYN)
                        .finds_no_room(DropReason::EndpointShare),
                    // Opened by others, they would be its own all the same.
                    to_pod(packet(net.friend, net.pod).tcp(60_000, 80, SYN))
                        .finds_no_room(DropReason::EndpointShare),
                    traffic.out(50_000, ACK).passes(FRIEND_OUT),
                    traffic.out(40_000, SYN).passes(FRIEND_OUT),
                    // Nor does what is allowed pass without an entry in the middle of a connection.
                    traffic
                        .back(60_000, ACK)
                        .finds_no_room(DropReason::EndpointShare),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "the more others hold the less is one endpoint's share",
            setup.clone().others(net.pod, 0, 4),
            [
                traffic.opened(2),
                vec![
                    traffic
                        .out(60_000, SYN)
                        .finds_no_room(DropReason::EndpointShare),
                    Step::Tracked { replied: 0, new: 6 },
                ],
            ]
            .concat(),
        ),
        Case::new(
            "new connections that find no room are closed, established ones live on",
            setup.clone().others(net.pod, 1, NEW_CAPACITY - 1),
            [
                traffic.answered(1),
                traffic.opened(1),
                vec![
                    traffic
                        .out(60_000, SYN)
                        .finds_no_room(DropReason::ConntrackFull),
                    traffic.out(50_000, ACK).passes(FRIEND_OUT),
                    traffic.out(40_000, SYN).passes(FRIEND_OUT),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "an answer makes room for the next connection",
            setup.clone(),
            [
                traffic.opened(SHARE),
                vec![
                    traffic
                        .out(60_000, SYN)
                        .finds_no_room(DropReason::EndpointShare),
                    traffic.back(40_000, SYN | ACK).passes(FRIEND_OUT),
                    traffic.out(60_000, SYN).opens(FRIEND_OUT),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "a connection that is over makes room when its ports are used again",
            setup.clone(),
            [
                traffic.opened(SHARE),
                vec![
                    Step::Wait(unanswered + 1),
                    traffic.back(40_001, FIN | ACK).passes(FRIEND_IN),
                    Step::Tracked {
                        replied: 0,
                        new: SHARE - 1,
                    },
                    traffic.out(60_000, SYN).opens(FRIEND_OUT),
                    traffic
                        .out(60_001, SYN)
                        .finds_no_room(DropReason::EndpointShare),
                    traffic.out(40_000, SYN).opens(FRIEND_OUT),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "ports that are used again need no further room",
            setup.clone(),
            [
                traffic.answered(1),
                traffic.opened(SHARE),
                vec![
                    traffic.out(40_000, RST).passes(FRIEND_OUT),
                    traffic.out(40_000, SYN).opens(FRIEND_OUT),
                    // It would have to leave the other table.
                    traffic.out(50_000, RST).passes(FRIEND_OUT),
                    traffic
                        .out(50_000, SYN)
                        .finds_no_room(DropReason::EndpointShare),
                    Step::Wait(closed + 1),
                    traffic
                        .out(50_000, SYN)
                        .finds_no_room(DropReason::EndpointShare),
                    Step::Tracked {
                        replied: 0,
                        new: SHARE,
                    },
                ],
            ]
            .concat(),
        ),
        Case::new(
            "what policy denies takes no room",
            setup.clone(),
            [
                to_pod(packet(net.stranger, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
    ]
}

fn replied(net: &Net, traffic: &Traffic) -> Vec<Case> {
    let setup = isolated(net);
    let closed = TIMEOUT_SECONDS[Timeout::TcpClosed as usize];
    let stays = |port| {
        [
            traffic.out(port, SYN).opens(FRIEND_OUT),
            traffic
                .back(port, SYN | ACK)
                .passes_noting(FRIEND_OUT, CONNTRACK_NOT_PROMOTED),
        ]
    };
    vec![
        Case::new(
            "a connection that finds no room among the replied ones stays where it is",
            setup.clone(),
            [
                traffic.answered(REPLIED_SHARE),
                stays(40_000).to_vec(),
                vec![
                    traffic.out(40_000, ACK).passes(FRIEND_OUT),
                    traffic.back(40_000, ACK).passes(FRIEND_OUT),
                    Step::Tracked {
                        replied: REPLIED_SHARE,
                        new: 1,
                    },
                    // It has the time of an established one.
                    Step::Wait(3600),
                    traffic.back(40_000, ACK).passes(FRIEND_OUT),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "it moves there as soon as there is room",
            setup.clone(),
            [
                traffic.answered(REPLIED_SHARE),
                stays(40_000).to_vec(),
                vec![
                    traffic.out(50_000, RST).passes(FRIEND_OUT),
                    Step::Wait(closed + 1),
                    traffic.back(40_000, ACK).passes(FRIEND_OUT),
                    Step::Tracked {
                        replied: REPLIED_SHARE,
                        new: 1,
                    },
                    // Removes the one that is over.
                    traffic.back(50_000, FIN | ACK).passes(FRIEND_IN),
                    Step::Wait(1),
                    traffic.back(40_000, ACK).passes(FRIEND_OUT),
                    Step::Tracked {
                        replied: REPLIED_SHARE,
                        new: 0,
                    },
                    traffic.out(40_000, ACK).passes(FRIEND_OUT),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "where others have filled that table, what stays behind uses up its endpoint's share",
            setup.clone().others(net.pod, REPLIED_CAPACITY, 0),
            [
                (40_000..).take(SHARE).flat_map(stays).collect(),
                vec![
                    traffic
                        .out(60_000, SYN)
                        .finds_no_room(DropReason::EndpointShare),
                    traffic.back(40_000, ACK).passes(FRIEND_OUT),
                    Step::Tracked {
                        replied: REPLIED_CAPACITY,
                        new: SHARE,
                    },
                ],
            ]
            .concat(),
        ),
    ]
}
