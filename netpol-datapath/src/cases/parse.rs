//! Headers: what is understood, and what becomes of the rest.

use std::format;
use std::vec;
use std::vec::Vec;

use netpol_common::counter::{DropReason, NEIGHBOUR, NOT_ISOLATED};

use super::Case;
use super::step::{from_pod, to_pod};
use super::world::{FRIEND_OUT, V4, V6, isolated};
use crate::build::tcp::SYN;
use crate::build::{arp, ethernet, packet};

/// Offset of the IP header.
const IP: usize = 14;

pub(super) fn cases() -> Vec<Case> {
    [link_layer(), v4_lengths(), v6_lengths()].concat()
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
    let service_tag = ethernet(0x88a8, &[&[0, 9][..], &vlan()[12..]].concat());
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
            "VLAN tags are closed, one or two",
            isolated(&V4),
            [
                from_pod(vlan()).refused(DropReason::VlanTag),
                to_pod(service_tag).refused(DropReason::VlanTag),
            ],
        ),
        Case::new(
            "other Ethernet types are closed",
            isolated(&V4),
            [
                from_pod(ethernet(0x8847, &[0; 60])).refused(DropReason::UnknownEtherType),
                to_pod(ethernet(0x002e, &[0; 46])).refused(DropReason::UnknownEtherType),
            ],
        ),
        Case::new(
            "but only in a direction that is isolated",
            isolated(&V4).ingress_only(),
            [
                from_pod(vlan()).passes(NOT_ISOLATED),
                to_pod(vlan()).refused(DropReason::VlanTag),
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

fn v6_lengths() -> Vec<Case> {
    let frame = || packet(V6.pod, V6.friend).udp(40_000, 53);
    vec![Case::new(
        "IPv6: lengths that contradict themselves",
        isolated(&V6),
        [
            from_pod(with(frame(), IP, &[0x40])).refused(DropReason::MalformedHeader),
            from_pod(with(frame(), IP + 4, &[0, 9])).refused(DropReason::Truncated),
            from_pod(with(frame(), IP + 4, &[0, 7])).refused(DropReason::Truncated),
            from_pod(with(frame(), IP + 4, &[0, 0])).refused(DropReason::Truncated),
            from_pod([frame(), vec![0; 6]].concat()).opens(FRIEND_OUT),
        ],
    )]
}
