//! Whose addresses a packet may carry.

use core::net::{IpAddr, Ipv6Addr};
use std::vec;
use std::vec::Vec;

use netpol_common::counter::{DropReason, NEIGHBOUR, NOT_ISOLATED, SELF};

use super::Case;
use super::setup::{Setup, Words, words};
use super::step::{Step, from_pod, to_pod};
use super::world::{DENY_IN, FRIEND_OUT, Net, V6, isolated};
use crate::build::tcp::SYN;
use crate::build::{arp, packet};

pub(super) fn cases(net: &Net) -> Vec<Case> {
    let spoofed = || from_pod(packet(net.friend, net.stranger).udp(40_000, 53));
    // Of ICMPv6; to IPv4 it means nothing.
    let solicitation = || packet(net.pod, net.friend).hops(255).icmp(135, 0, 0);
    let unspecified = match net.pod {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0_u8; 16]),
    };
    vec![
        Case::new(
            "an interface without an entry is closed, but for finding the neighbour",
            Setup::default(),
            [
                to_pod(arp()).passes(NEIGHBOUR),
                from_pod(arp()).passes(NEIGHBOUR),
                if net.pod.is_ipv6() {
                    from_pod(solicitation()).passes(NEIGHBOUR)
                } else {
                    from_pod(solicitation()).refused(DropReason::UnknownEndpoint)
                },
                spoofed().refused(DropReason::UnknownEndpoint),
                to_pod(packet(net.stranger, net.pod).udp(1, 2))
                    .refused(DropReason::UnknownEndpoint),
            ],
        ),
        Case::new(
            "a pod sends with its own address only",
            isolated(net),
            [
                spoofed().refused(DropReason::Spoofed),
                from_pod(packet(unspecified, net.stranger).udp(68, 67))
                    .refused(DropReason::Spoofed),
                from_pod(packet(net.friend, net.pod).udp(40_000, 53)).refused(DropReason::Spoofed),
            ],
        ),
        Case::new(
            "also a pod that no policy isolates, of which nothing else is counted",
            isolated(net).not_isolated(),
            [
                spoofed().refused(DropReason::Spoofed),
                from_pod(packet(net.pod, net.stranger).udp(40_000, 53)).passes_unseen(),
                to_pod(packet(net.stranger, net.pod).udp(40_000, 53)).passes_unseen(),
                to_pod(packet(net.stranger, net.other).udp(40_000, 53)).passes_unseen(),
                from_pod(packet(net.pod, net.friend).tcp(1, 2, SYN)).passes_unseen(),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
        Case::new(
            "a pod may have two addresses of a family, and their connections are two",
            isolated(net).with(|endpoint| match words(net.other) {
                Words::V4(word) => endpoint.v4[1] = word,
                Words::V6(words) => endpoint.v6[1] = words,
            }),
            [
                from_pod(packet(net.pod, net.friend).udp(40_000, 53)).opens(FRIEND_OUT),
                from_pod(packet(net.other, net.friend).udp(40_000, 53)).opens(FRIEND_OUT),
                to_pod(packet(net.friend, net.other).udp(53, 40_000)).passes(FRIEND_OUT),
                Step::Tracked { replied: 1, new: 1 },
                from_pod(packet(net.pod, net.other).udp(1, 2)).passes(SELF),
            ],
        ),
        Case::new(
            "what is not addressed to the pod does not reach it",
            isolated(net),
            [to_pod(packet(net.friend, net.other).udp(40_000, 53))
                .refused(DropReason::NotForEndpoint)],
        ),
        Case::new(
            "unless ingress is not isolated",
            isolated(net).egress_only(),
            [
                to_pod(packet(net.friend, net.other).udp(40_000, 53)).passes(NOT_ISOLATED),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
        Case::new(
            "a pod reaches itself, and nobody reaches it under its own address",
            isolated(net),
            [
                from_pod(packet(net.pod, net.pod).tcp(40_000, 80, SYN)).passes(SELF),
                to_pod(packet(net.pod, net.pod).tcp(40_000, 80, SYN)).drops(DENY_IN),
                Step::Tracked { replied: 0, new: 0 },
            ],
        ),
    ]
}

const LINK_LOCAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));
const LINK_LOCAL_PEER: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
const ALL_NODES: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
const UNSPECIFIED: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Neighbour solicitation and advertisement (RFC 4861).
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Link-local addresses and neighbour discovery.
pub(super) fn v6_cases() -> Vec<Case> {
    [link_local(&V6), neighbours(&V6)].concat()
}

fn link_local(net: &Net) -> Vec<Case> {
    let denied = super::world::DENY_OUT;
    vec![
        Case::new(
            "a link-local source stays on the link",
            isolated(net),
            [
                from_pod(packet(LINK_LOCAL, net.friend).udp(1, 2)).refused(DropReason::Spoofed),
                from_pod(packet(LINK_LOCAL, LINK_LOCAL_PEER).udp(1, 2)).drops(denied),
                from_pod(packet(LINK_LOCAL, ALL_NODES).udp(1, 2)).drops(denied),
                to_pod(packet(LINK_LOCAL_PEER, LINK_LOCAL).udp(1, 2)).drops(DENY_IN),
                to_pod(packet(net.friend, LINK_LOCAL).udp(1, 2))
                    .refused(DropReason::NotForEndpoint),
            ],
        ),
        Case::new(
            "answers to a link-local address pass as any",
            isolated(net).ingress_only(),
            [
                from_pod(packet(LINK_LOCAL, LINK_LOCAL_PEER).udp(1, 2)).opens(NOT_ISOLATED),
                to_pod(packet(LINK_LOCAL_PEER, LINK_LOCAL).udp(2, 1)).passes(NOT_ISOLATED),
                to_pod(packet(LINK_LOCAL_PEER, LINK_LOCAL).udp(2, 3)).drops(DENY_IN),
            ],
        ),
        Case::new(
            "link-local sources of a pod that no policy isolates",
            isolated(net).not_isolated(),
            [
                from_pod(packet(LINK_LOCAL, net.friend).udp(1, 2)).refused(DropReason::Spoofed),
                from_pod(packet(LINK_LOCAL, LINK_LOCAL_PEER).udp(1, 2)).passes_unseen(),
                from_pod(packet(UNSPECIFIED, ALL_NODES).protocol(0, &MLD)).passes_unseen(),
                from_pod(packet(UNSPECIFIED, net.friend).udp(1, 2)).refused(DropReason::Spoofed),
            ],
        ),
    ]
}

/// Hop-by-hop options with a router alert, then a multicast listener report (RFC 3810), shortened.
const MLD: [u8; 16] = [58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0];

fn neighbours(net: &Net) -> Vec<Case> {
    let solicit = |source, target| packet(source, target).hops(255).icmp(SOLICITATION, 0, 0);
    vec![
        Case::new(
            "neighbour discovery passes in both directions",
            isolated(net),
            [
                from_pod(solicit(UNSPECIFIED, ALL_NODES)).passes(NEIGHBOUR),
                from_pod(solicit(LINK_LOCAL, ALL_NODES)).passes(NEIGHBOUR),
                from_pod(solicit(net.pod, net.stranger)).passes(NEIGHBOUR),
                to_pod(solicit(net.stranger, ALL_NODES)).passes(NEIGHBOUR),
                to_pod(
                    packet(net.stranger, net.pod)
                        .hops(255)
                        .icmp(ADVERTISEMENT, 0, 0),
                )
                .passes(NEIGHBOUR),
                to_pod(packet(LINK_LOCAL_PEER, ALL_NODES).hops(255).icmp(133, 0, 0))
                    .passes(NEIGHBOUR),
                to_pod(packet(LINK_LOCAL_PEER, net.pod).hops(255).icmp(137, 0, 0))
                    .passes(NEIGHBOUR),
            ],
        ),
        Case::new(
            "what a router has forwarded is no neighbour discovery",
            isolated(net),
            [
                to_pod(
                    packet(net.stranger, net.pod)
                        .hops(254)
                        .icmp(ADVERTISEMENT, 0, 0),
                )
                .drops(DENY_IN),
                to_pod(
                    packet(net.stranger, net.pod)
                        .hops(255)
                        .icmp(ADVERTISEMENT, 1, 0),
                )
                .drops(DENY_IN),
                to_pod(packet(net.stranger, net.pod).hops(255).icmp(138, 0, 0)).drops(DENY_IN),
                to_pod(packet(net.stranger, net.pod).hops(255).icmp(132, 0, 0)).drops(DENY_IN),
                from_pod(
                    packet(net.friend, ALL_NODES)
                        .hops(254)
                        .icmp(SOLICITATION, 0, 0),
                )
                .refused(DropReason::Spoofed),
            ],
        ),
        Case::new(
            "a proxy may advertise for others, isolated or not",
            isolated(net).not_isolated(),
            [
                from_pod(solicit(net.friend, net.stranger)).passes_unseen(),
                from_pod(
                    packet(net.friend, ALL_NODES)
                        .hops(254)
                        .icmp(SOLICITATION, 0, 0),
                )
                .refused(DropReason::Spoofed),
            ],
        ),
    ]
}
