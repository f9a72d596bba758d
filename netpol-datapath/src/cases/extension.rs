//! IPv6 extension headers: walked, within a bound.

use core::net::{IpAddr, Ipv6Addr};
use std::vec;
use std::vec::Vec;

use netpol_common::counter::{DropReason, NEIGHBOUR, NOT_ISOLATED};
use netpol_common::protocol::UDP;

use super::Case;
use super::setup::Setup;
use super::step::{Step, from_pod, to_pod};
use super::world::{DENY_IN, DENY_OUT, DNS, FRIEND_OUT, V6, WEB, isolated};
use crate::build::tcp::SYN;
use crate::build::{Builder, packet};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const ESP: u8 = 50;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION: u8 = 60;

/// Eight bytes less one: no options but padding.
const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
/// A routing header of type 2 (RFC 6275) with no segment left, and its one address.
const ARRIVED: [u8; 23] = {
    let mut rest = [0; 23];
    rest[0] = 2;
    rest[1] = 2;
    rest
};
/// An authentication header of six words (RFC 4302): its length says four.
const SIGNED: [u8; 23] = {
    let mut rest = [0; 23];
    rest[0] = 4;
    rest
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        judged_by_ports(),
        whole_chains(),
        too_long(),
        source_routes(),
        not_followed(),
        protocols(),
        cut_short(),
        of_one_direction(),
        neighbours(),
        listeners(),
    ]
}

fn out() -> Builder {
    packet(V6.pod, V6.guest)
}

fn both() -> Setup {
    isolated(&V6)
}

fn judged_by_ports() -> Case {
    let mut steps: Vec<Step> = vec![
        from_pod(out().udp(40_000, 53)).opens(DNS),
        from_pod(out().tcp(40_000, 80, SYN)).opens(WEB),
    ];
    for (kind, rest) in [
        (HOP_BY_HOP, &PADDING[..]),
        (DESTINATION, &PADDING),
        (ROUTING, &ARRIVED),
        (AUTHENTICATION, &SIGNED),
    ] {
        let with = || out().extension(kind, rest);
        steps.extend([
            from_pod(with().udp(40_000, 53)).passes(DNS),
            from_pod(with().udp(40_000, 54)).drops(DENY_OUT),
            from_pod(with().tcp(40_000, 80, SYN)).passes(WEB),
            from_pod(with().tcp(40_000, 81, SYN)).drops(DENY_OUT),
        ]);
        let inwards = packet(V6.guest, V6.pod).extension(kind, rest);
        steps.push(to_pod(inwards.udp(40_000, 54)).drops(DENY_IN));
    }
    Case::new(
        "IPv6: what follows an extension header is judged as if it were not there",
        both(),
        steps,
    )
}

fn whole_chains() -> Case {
    // RFC 8200, 4.1: the order in which they should come.
    let chain = || {
        out()
            .extension(HOP_BY_HOP, &PADDING)
            .extension(DESTINATION, &PADDING)
            .extension(ROUTING, &ARRIVED)
            .fragment(0, false)
            .extension(AUTHENTICATION, &SIGNED)
            .extension(DESTINATION, &PADDING)
    };
    Case::new(
        "IPv6: six extension headers are followed, and no seventh",
        both(),
        [
            from_pod(chain().udp(40_000, 53)).opens(DNS),
            from_pod(chain().udp(40_000, 54)).drops(DENY_OUT),
            from_pod(chain().extension(DESTINATION, &PADDING).udp(40_000, 53))
                .refused(DropReason::ExtensionHeader),
        ],
    )
}

fn too_long() -> Case {
    let long = |units: u8| {
        let mut rest = vec![0; (usize::from(units) + 1) * 8 - 1];
        rest[0] = units;
        rest
    };
    Case::new(
        "IPv6: 256 bytes of extension headers are followed, and no more",
        both(),
        [
            from_pod(out().extension(DESTINATION, &long(31)).udp(40_000, 53)).opens(DNS),
            from_pod(
                out()
                    .extension(HOP_BY_HOP, &long(15))
                    .extension(DESTINATION, &long(15))
                    .udp(40_000, 53),
            )
            .passes(DNS),
            from_pod(out().extension(DESTINATION, &long(32)).udp(40_000, 53))
                .refused(DropReason::ExtensionHeader),
            from_pod(out().extension(HOP_BY_HOP, &long(48)).udp(40_000, 53))
                .refused(DropReason::ExtensionHeader),
        ],
    )
}

fn source_routes() -> Case {
    let route = |kind: u8, left: u8| {
        let mut rest = ARRIVED;
        rest[1] = kind;
        rest[2] = left;
        out().extension(ROUTING, &rest).udp(40_000, 53)
    };
    let inwards = packet(V6.guest, V6.pod).extension(ROUTING, &[2, 4, 1]);
    Case::new(
        "IPv6: a routing header with a segment left, or of type 0, is closed",
        both(),
        [
            from_pod(route(0, 0)).refused(DropReason::SourceRoute),
            from_pod(route(0, 1)).refused(DropReason::SourceRoute),
            from_pod(route(2, 1)).refused(DropReason::SourceRoute),
            from_pod(route(4, 255)).refused(DropReason::SourceRoute),
            to_pod(inwards.protocol(UDP, &[0; 40])).refused(DropReason::SourceRoute),
            from_pod(route(4, 0)).opens(DNS),
        ],
    )
}

fn not_followed() -> Case {
    let kinds = [135, 139, 140, 253, 254];
    let from = |kind| from_pod(out().extension(kind, &PADDING).udp(40_000, 53));
    let mut steps: Vec<Step> = kinds
        .map(|kind| from(kind).refused(DropReason::ExtensionHeader))
        .into();
    let after = |builder: Builder| from_pod(builder.extension(HOP_BY_HOP, &PADDING).udp(1, 53));
    steps.extend([
        // RFC 8200, 4.1: hop-by-hop options are "restricted to appear immediately after an IPv6
        // header only".
        after(out().extension(DESTINATION, &PADDING)).refused(DropReason::ExtensionHeader),
        after(out().extension(HOP_BY_HOP, &PADDING)).refused(DropReason::ExtensionHeader),
        from_pod(out().fragment(0, false).fragment(0, false).udp(1, 53))
            .refused(DropReason::ExtensionHeader),
        from_pod(out().fragment(0, true).fragment(0, true).udp(1, 53))
            .refused(DropReason::ExtensionHeader),
    ]);
    Case::new(
        "IPv6: extension headers that are not followed are closed",
        both(),
        steps,
    )
}

fn protocols() -> Case {
    let friend = || packet(V6.pod, V6.friend);
    let behind = || friend().extension(DESTINATION, &PADDING);
    Case::new(
        "IPv6: ESP, no next header and unknown numbers are protocols without ports",
        both(),
        [
            from_pod(friend().protocol(ESP, &[7; 16])).opens(FRIEND_OUT),
            from_pod(behind().protocol(ESP, &[7; 16])).passes(FRIEND_OUT),
            from_pod(friend().protocol(NO_NEXT_HEADER, &[])).opens(FRIEND_OUT),
            from_pod(behind().protocol(NO_NEXT_HEADER, &[])).passes(FRIEND_OUT),
            from_pod(friend().protocol(200, &[7; 16])).opens(FRIEND_OUT),
            from_pod(out().protocol(ESP, &[7; 16])).drops(DENY_OUT),
            from_pod(out().protocol(NO_NEXT_HEADER, &[])).drops(DENY_OUT),
            from_pod(out().protocol(200, &[7; 16])).drops(DENY_OUT),
        ],
    )
}

fn cut_short() -> Case {
    let declares = |units: u8| {
        let mut rest = PADDING;
        rest[0] = units;
        from_pod(out().extension(DESTINATION, &rest).udp(40_000, 53))
    };
    let beyond = |builder: Builder| from_pod(builder.protocol(ESP, &[]));
    Case::new(
        "IPv6: an extension header that ends beyond the packet is closed",
        both(),
        [
            // Behind it nothing, or less than a header: what it says of itself is taken for true.
            declares(1).refused(DropReason::Truncated),
            declares(2).refused(DropReason::Truncated),
            declares(30).refused(DropReason::Truncated),
            from_pod(out().protocol(DESTINATION, &[17, 0, 1, 4])).refused(DropReason::Truncated),
            from_pod(out().protocol(HOP_BY_HOP, &[])).refused(DropReason::Truncated),
            // A protocol without ports would not be asked for its header.
            beyond(out().extension(DESTINATION, &[1, 1, 4, 0, 0, 0, 0]))
                .refused(DropReason::Truncated),
            beyond(
                out()
                    .fragment(0, true)
                    .extension(DESTINATION, &[1, 1, 4, 0, 0, 0, 0]),
            )
            .refused(DropReason::Fragment),
        ],
    )
}

fn of_one_direction() -> Case {
    let strange = |builder: Builder| builder.extension(135, &PADDING).udp(1, 2);
    Case::new(
        "IPv6: a chain that is not followed is closed in a direction that is isolated, and spoofed \
         is spoofed",
        both().ingress_only(),
        [
            from_pod(strange(out())).passes(NOT_ISOLATED),
            to_pod(strange(packet(V6.guest, V6.pod))).refused(DropReason::ExtensionHeader),
            from_pod(strange(packet(V6.friend, V6.guest))).refused(DropReason::Spoofed),
            from_pod(
                packet(V6.friend, V6.guest)
                    .extension(DESTINATION, &PADDING)
                    .udp(1, 2),
            )
            .refused(DropReason::Spoofed),
        ],
    )
}

fn neighbours() -> Case {
    let solicitation = |builder: Builder| from_pod(builder.hops(255).icmp(135, 0, 0));
    Case::new(
        "IPv6: neighbour discovery behind an extension header is no such",
        both(),
        [
            solicitation(out().extension(DESTINATION, &PADDING)).drops(DENY_OUT),
            solicitation(out().fragment(0, false)).drops(DENY_OUT),
            solicitation(out().fragment(0, true)).drops(DENY_OUT),
        ],
    )
}

fn listeners() -> Case {
    // A router alert (RFC 2711), and padding.
    const ALERT: [u8; 7] = [0, 5, 2, 0, 0, 1, 0];
    let source = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));
    let routers = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16));
    let report = || packet(source, routers).hops(1);
    Case::new(
        "IPv6: multicast listeners report behind hop-by-hop options, and not in fragments",
        both(),
        [
            from_pod(report().extension(HOP_BY_HOP, &ALERT).icmp(143, 0, 0)).passes(NEIGHBOUR),
            from_pod(report().fragment(0, true).icmp(143, 0, 0)).drops(DENY_OUT),
        ],
    )
}
