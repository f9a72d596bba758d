//! Multicast listener discovery (RFC 2710, RFC 3810).

use core::net::IpAddr;
use std::vec;
use std::vec::Vec;

use netpol_common::counter::{DropReason, NEIGHBOUR, NOT_ISOLATED};

use super::Case;
use super::step::{PacketStep, from_pod, to_pod};
use super::world::{DENY_OUT, V4, V6, isolated};
use crate::build::packet;

const QUERY: u8 = 130;
const REPORT: u8 = 131;
const DONE: u8 = 132;
const REPORT_2: u8 = 143;
const IGMP: u8 = 2;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn message(source: &str, destination: &str, hops: u8, kind: u8) -> Vec<u8> {
    packet(address(source), address(destination))
        .hops(hops)
        .payload(&[0; 16])
        .icmp(kind, 0, 0)
}

pub(super) fn cases() -> Vec<Case> {
    let report = |source, hops| message(source, "ff02::16", hops, REPORT_2);
    let igmp = |source, destination| {
        packet(source, address(destination))
            .hops(1)
            .options(1)
            .protocol(IGMP, &[0x22, 0, 0, 0, 0, 0, 0, 0])
    };
    let refused = |step: PacketStep, reason| step.refused(reason);
    vec![
        Case::new(
            "multicast listener discovery passes",
            isolated(&V6),
            [
                from_pod(report("fe80::2", 1)).passes(NEIGHBOUR),
                from_pod(report("::", 1)).passes(NEIGHBOUR),
                from_pod(message("fe80::2", "ff02::1:ff00:2", 1, REPORT)).passes(NEIGHBOUR),
                from_pod(message("fe80::2", "ff05::2", 1, REPORT)).passes(NEIGHBOUR),
                from_pod(message("fe80::2", "ff02::2", 1, DONE)).passes(NEIGHBOUR),
                to_pod(message("fe80::1", "ff02::1", 1, QUERY)).passes(NEIGHBOUR),
                to_pod(report("fe80::9", 1)).passes(NEIGHBOUR),
            ],
        ),
        Case::new(
            "what a router may have forwarded is no listener discovery",
            isolated(&V6),
            [
                from_pod(report("fe80::2", 2)).drops(DENY_OUT),
                from_pod(report("fe80::2", 255)).drops(DENY_OUT),
                refused(from_pod(report("fd00::9", 1)), DropReason::Spoofed),
                from_pod(report("fd00::2", 1)).drops(DENY_OUT),
                from_pod(message("fe80::2", "fe80::1", 1, REPORT_2)).drops(DENY_OUT),
                refused(
                    to_pod(message("2001:db8::1", "ff02::1", 1, QUERY)),
                    DropReason::NotForEndpoint,
                ),
            ],
        ),
        Case::new(
            "IGMP is a protocol without ports: nothing of IPv4 needs it",
            isolated(&V4),
            [
                from_pod(igmp(V4.pod, "224.0.0.22")).drops(DENY_OUT),
                refused(
                    to_pod(igmp(V4.node, "224.0.0.1")),
                    DropReason::NotForEndpoint,
                ),
            ],
        ),
        Case::new(
            "and passes where egress is not isolated",
            isolated(&V4).ingress_only(),
            [from_pod(igmp(V4.pod, "224.0.0.22")).opens(NOT_ISOLATED)],
        ),
    ]
}
