//! Headers: what is understood, and what becomes of the rest.

use std::format;
use std::vec;
use std::vec::Vec;

use netpol_common::counter::{DropReason, NEIGHBOUR, NOT_ISOLATED, SELF};

use super::Case;
use super::step::{Step, from_pod, to_pod};
use super::world::{DENY_OUT, FRIEND_IN, FRIEND_OUT, V4, V6, isolated};
use crate::build::tcp::SYN;
use crate::build::{arp, ethernet, packet};

/// Offset of the IP header.
const IP: usize = 14;

pub(super) fn cases() -> Vec<Case> {
    [
        link_layer(),
        v4_lengths(),
        v4_options(),
        v4_fragments(),
        v6_lengths(),
        v6_extension_headers(),
    ]
    .concat()
}

/// A frame with some bytes overwritten.
fn with(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

fn link_layer() -> Vec<Case> {
    let vlan = || {
        let inner = packet(V4.pod, V4.friend).udp(1, 2);
        ethernet(0x8100, &[&[0, 7][..], &inner[12..]].concat())
    };
    vec![
        Case::new(
            "ARP passes",
            isolated(&V4),
            [
                from_pod(arp()).passes(NEIGHBOUR),
                to_pod(arp()).passes(NEIGHBOUR),
            ],
        ),
        Case::new(
            "ARP of an endpoint that is not isolated passes, uncounted",
            isolated(&V4).not_isolated(),
            [
                from_pod(arp()).passes_unseen(),
                to_pod(arp()).passes_unseen(),
            ],
        ),
        Case::new(
            "other Ethernet types, and VLAN tags inside the frame, are closed",
            isolated(&V4),
            [
                from_pod(vlan()).refused(DropReason::UnknownEtherType),
                to_pod(ethernet(0x88a8, &[0; 60])).refused(DropReason::UnknownEtherType),
                from_pod(ethernet(0x8847, &[0; 60])).refused(DropReason::UnknownEtherType),
                to_pod(ethernet(0x002e, &[0; 46])).refused(DropReason::UnknownEtherType),
            ],
        ),
        Case::new(
            "but only in a direction that is isolated",
            isolated(&V4).ingress_only(),
            [
                from_pod(vlan()).passes(NOT_ISOLATED),
                to_pod(vlan()).refused(DropReason::UnknownEtherType),
            ],
        ),
        Case::new(
            "and not at an endpoint without isolation",
            isolated(&V4).not_isolated(),
            [
                from_pod(vlan()).passes_unseen(),
                to_pod(vlan()).passes_unseen(),
            ],
        ),
    ]
}

fn v4_lengths() -> Vec<Case> {
    let frame = || packet(V4.pod, V4.friend).udp(40_000, 53);
    let refused = |name: &str, offset, bytes: &[u8], reason: DropReason| {
        let name = format!("IPv4: {name}");
        let step = from_pod(with(frame(), IP + offset, bytes)).refused(reason);
        Case::new(&name, isolated(&V4), [step])
    };
    let tcp = packet(V4.pod, V4.friend).tcp(40_000, 80, SYN);
    vec![
        refused("version 6", 0, &[0x65], DropReason::MalformedHeader),
        refused(
            "header of 16 bytes",
            0,
            &[0x44],
            DropReason::MalformedHeader,
        ),
        refused(
            "header beyond the packet",
            0,
            &[0x4f],
            DropReason::MalformedHeader,
        ),
        refused(
            "length below the header's",
            2,
            &[0, 19],
            DropReason::MalformedHeader,
        ),
        refused("length zero", 2, &[0, 0], DropReason::MalformedHeader),
        refused(
            "length beyond the frame",
            2,
            &[0, 29],
            DropReason::Truncated,
        ),
        refused(
            "length without the ports",
            2,
            &[0, 27],
            DropReason::Truncated,
        ),
        Case::new(
            "IPv4: a TCP header that ends before its flags, whatever follows in the frame",
            isolated(&V4),
            [from_pod(with(tcp, IP + 2, &[0, 39])).refused(DropReason::Truncated)],
        ),
        Case::new(
            "IPv4: a frame with padding",
            isolated(&V4),
            [from_pod([frame(), vec![0; 18]].concat()).opens(FRIEND_OUT)],
        ),
        Case::new(
            "IPv4: a malformed header of an endpoint that is not isolated passes",
            isolated(&V4).not_isolated(),
            [from_pod(with(frame(), IP, &[0x44])).passes_unseen()],
        ),
    ]
}

fn v4_options() -> Vec<Case> {
    [0, 1, 10]
        .map(|words| {
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
                    to_pod(packet(V4.friend, V4.pod).options(words).udp(40_000, 53))
                        .opens(FRIEND_IN),
                    from_pod(packet(V4.pod, V4.guest).options(words).tcp(40_000, 81, SYN))
                        .drops(DENY_OUT),
                    // The same connection, without options.
                    from_pod(packet(V4.pod, V4.friend).tcp(40_000, 80, SYN)).passes(FRIEND_OUT),
                ],
            )
        })
        .into()
}

fn v4_fragments() -> Vec<Case> {
    let fragment = |offset, more| {
        packet(V4.pod, V4.friend)
            .fragment(offset, more)
            .udp(40_000, 53)
    };
    let whole = with(
        packet(V4.pod, V4.friend).udp(40_000, 53),
        IP + 6,
        &[0x40, 0],
    );
    vec![
        Case::new(
            "IPv4: fragments are closed, first ones and later ones",
            isolated(&V4),
            [
                from_pod(fragment(0, true)).refused(DropReason::Fragment),
                from_pod(fragment(1, false)).refused(DropReason::Fragment),
                from_pod(fragment(0x1fff, true)).refused(DropReason::Fragment),
                from_pod(whole).opens(FRIEND_OUT),
            ],
        ),
        Case::new(
            "IPv4: fragments pass in a direction that is not isolated",
            isolated(&V4).ingress_only(),
            [
                from_pod(fragment(1, false)).passes(NOT_ISOLATED),
                to_pod(packet(V4.friend, V4.pod).fragment(1, false).udp(1, 2))
                    .refused(DropReason::Fragment),
            ],
        ),
        Case::new(
            "IPv4: a fragment with another's address is that first",
            isolated(&V4).ingress_only(),
            [
                from_pod(packet(V4.friend, V4.guest).fragment(1, false).udp(1, 2))
                    .refused(DropReason::Spoofed),
                from_pod(packet(V4.pod, V4.pod).fragment(1, false).udp(1, 2)).passes(SELF),
            ],
        ),
    ]
}

fn v6_lengths() -> Vec<Case> {
    let frame = || packet(V6.pod, V6.friend).udp(40_000, 53);
    vec![
        Case::new(
            "IPv6: lengths that contradict themselves",
            isolated(&V6),
            [
                from_pod(with(frame(), IP, &[0x40])).refused(DropReason::MalformedHeader),
                from_pod(with(frame(), IP + 4, &[0, 9])).refused(DropReason::Truncated),
                from_pod(with(frame(), IP + 4, &[0, 7])).refused(DropReason::Truncated),
                from_pod(with(frame(), IP + 4, &[0, 0])).refused(DropReason::Truncated),
                from_pod([frame(), vec![0; 6]].concat()).opens(FRIEND_OUT),
            ],
        ),
        Case::new(
            "IPv6: no next header",
            isolated(&V6),
            [from_pod(packet(V6.pod, V6.friend).protocol(59, &[])).opens(FRIEND_OUT)],
        ),
    ]
}

fn v6_extension_headers() -> Vec<Case> {
    let headers = [0, 43, 51, 60, 135, 139, 140, 253, 254];
    let from = |protocol| from_pod(packet(V6.pod, V6.friend).protocol(protocol, &[6; 40]));
    vec![
        Case::new(
            "IPv6: extension headers are closed",
            isolated(&V6),
            headers
                .map(|header| from(header).refused(DropReason::ExtensionHeader))
                .into_iter()
                .chain([
                    from(44).refused(DropReason::Fragment),
                    to_pod(packet(V6.friend, V6.pod).protocol(60, &[6; 40]))
                        .refused(DropReason::ExtensionHeader),
                ])
                .collect::<Vec<Step>>(),
        ),
        Case::new(
            "IPv6: extension headers pass in a direction that is not isolated",
            isolated(&V6).ingress_only(),
            [
                from(0).passes(NOT_ISOLATED),
                from(44).passes(NOT_ISOLATED),
                to_pod(packet(V6.friend, V6.pod).protocol(44, &[6; 40]))
                    .refused(DropReason::Fragment),
            ],
        ),
        Case::new(
            "IPv6: one with another's address is that first",
            isolated(&V6).ingress_only(),
            [from_pod(packet(V6.friend, V6.guest).protocol(60, &[6; 40]))
                .refused(DropReason::Spoofed)],
        ),
    ]
}
