//! Tables that are full.

use std::vec;
use std::vec::Vec;

use netpol_common::counter::{CONNTRACK_NOT_PROMOTED, DropReason};

use super::Case;
use super::step::{Step, from_pod, to_pod};
use super::world::{FRIEND_OUT, NEW_CAPACITY, Net, REPLIED_CAPACITY, isolated};
use crate::build::packet;
use crate::build::tcp::{ACK, SYN};

pub(super) fn cases(net: &Net) -> Vec<Case> {
    let out = |port, flags| from_pod(packet(net.pod, net.friend).tcp(port, 443, flags));
    let back = |port, flags| to_pod(packet(net.friend, net.pod).tcp(443, port, flags));
    let new: Vec<_> = (40_000..).take(NEW_CAPACITY).collect();
    let replied: Vec<_> = (50_000..).take(REPLIED_CAPACITY).collect();
    let handshake = |port: &u16| {
        [
            out(*port, SYN).opens(FRIEND_OUT),
            back(*port, SYN | ACK).passes(FRIEND_OUT),
        ]
    };
    let full = Step::Tracked {
        replied: REPLIED_CAPACITY,
        new: NEW_CAPACITY,
    };
    vec![
        Case::new(
            "new connections that find no room are closed, established ones live on",
            isolated(net),
            [
                replied.iter().flat_map(handshake).collect(),
                new.iter()
                    .map(|port| out(*port, SYN).opens(FRIEND_OUT))
                    .collect(),
                vec![
                    full,
                    out(60_000, SYN).refused(DropReason::ConntrackFull),
                    out(replied[0], ACK).passes(FRIEND_OUT),
                    out(new[0], SYN).passes(FRIEND_OUT),
                ],
            ]
            .concat(),
        ),
        Case::new(
            "a connection that finds no room among the replied ones stays where it is",
            isolated(net),
            [
                replied.iter().flat_map(handshake).collect(),
                vec![
                    out(40_000, SYN).opens(FRIEND_OUT),
                    back(40_000, SYN | ACK).passes_noting(FRIEND_OUT, CONNTRACK_NOT_PROMOTED),
                    out(40_000, ACK).passes(FRIEND_OUT),
                    back(40_000, ACK).passes(FRIEND_OUT),
                    Step::Tracked {
                        replied: REPLIED_CAPACITY,
                        new: 1,
                    },
                    // It has the time of an established one.
                    Step::Wait(3600),
                    back(40_000, ACK).passes(FRIEND_OUT),
                ],
            ]
            .concat(),
        ),
    ]
}
