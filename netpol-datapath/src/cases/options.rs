//! IPv4 options: passed over whatever they are, but for source routes.

use std::format;
use std::vec;
use std::vec::Vec;

use netpol_common::counter::{DropReason, NOT_ISOLATED};

use super::Case;
use super::step::{Step, from_pod, to_pod};
use super::world::{DENY_OUT, FRIEND_IN, FRIEND_OUT, V4, isolated};
use crate::build::packet;
use crate::build::tcp::SYN;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE: u8 = 131;
const STRICT: u8 = 137;
const ROUTER_ALERT: u8 = 148;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = of_each_length();
    cases.extend([others(), source_routes(), malformed()]);
    cases
}

fn of_each_length() -> Vec<Case> {
    let of_length = |words| {
        Case::new(
            &format!("IPv4: {words} words of options"),
            isolated(&V4),
            [
                from_pod(
                    packet(V4.pod, V4.friend)
                        .options(words)
                        .tcp(40_000, 80, SYN),
                )
                .opens(FRIEND_OUT),
                to_pod(packet(V4.friend, V4.pod).options(words).udp(40_000, 53)).opens(FRIEND_IN),
                from_pod(packet(V4.pod, V4.guest).options(words).tcp(40_000, 81, SYN))
                    .drops(DENY_OUT),
                // The same connection, without options.
                from_pod(packet(V4.pod, V4.friend).tcp(40_000, 80, SYN)).passes(FRIEND_OUT),
            ],
        )
    };
    (0..=10).map(of_length).collect()
}

fn with(bytes: &[u8]) -> Vec<u8> {
    packet(V4.pod, V4.friend).option(bytes).udp(40_000, 53)
}

/// An option with its length, and zeros.
fn option(kind: u8, length: u8) -> Vec<u8> {
    let mut bytes = vec![kind, length];
    bytes.resize(usize::from(length.max(2)), 0);
    bytes
}

fn others() -> Case {
    let passes = [
        option(RECORD_ROUTE, 39),
        option(TIMESTAMP, 40),
        [option(ROUTER_ALERT, 4), option(RECORD_ROUTE, 7)].concat(),
        [vec![NO_OPERATION], option(ROUTER_ALERT, 4), vec![END]].concat(),
        // What comes after the end is padding.
        [vec![END], option(LOOSE, 7)].concat(),
        // An option nobody knows, and its length.
        [option(30, 9), vec![NO_OPERATION; 3]].concat(),
    ];
    let mut steps: Vec<Step> = Vec::new();
    for (number, bytes) in passes.into_iter().enumerate() {
        let packet = from_pod(with(&bytes));
        steps.push(match number {
            0 => packet.opens(FRIEND_OUT),
            _ => packet.passes(FRIEND_OUT),
        });
    }
    Case::new(
        "IPv4: options that lead nowhere are passed over",
        isolated(&V4),
        steps,
    )
}

fn source_routes() -> Case {
    let routes = [
        option(LOOSE, 7),
        option(STRICT, 7),
        [vec![NO_OPERATION], option(LOOSE, 39)].concat(),
        [option(ROUTER_ALERT, 4), option(STRICT, 11)].concat(),
        [vec![NO_OPERATION; 37], option(LOOSE, 3)].concat(),
    ];
    let mut steps: Vec<Step> = routes
        .iter()
        .map(|bytes| from_pod(with(bytes)).refused(DropReason::SourceRoute))
        .collect();
    let inwards = packet(V4.friend, V4.pod).option(&routes[0]).udp(1, 2);
    steps.push(to_pod(inwards).refused(DropReason::SourceRoute));
    Case::new("IPv4: source routes are closed", isolated(&V4), steps)
}

fn malformed() -> Case {
    let options = [
        option(ROUTER_ALERT, 1),
        option(ROUTER_ALERT, 0),
        // Beyond the header.
        vec![ROUTER_ALERT, 5, 0, 0],
        [vec![NO_OPERATION; 3], vec![RECORD_ROUTE]].concat(),
        [vec![NO_OPERATION; 38], vec![ROUTER_ALERT, 3]].concat(),
    ];
    let mut steps: Vec<Step> = options
        .iter()
        .map(|bytes| from_pod(with(bytes)).refused(DropReason::MalformedHeader))
        .collect();
    let friend = packet(V4.friend, V4.pod).option(&options[0]).udp(1, 2);
    steps.push(to_pod(friend).passes(NOT_ISOLATED));
    Case::new(
        "IPv4: malformed options are closed in a direction that is isolated",
        isolated(&V4).egress_only(),
        steps,
    )
}
