//! How much of a packet is quoted, and how.

use std::vec;
use std::vec::Vec;

use netpol_common::counter::{DropReason, NOT_ISOLATED};

use super::{LEAST, quote, unreachable};
use crate::build::tcp::SYN;
use crate::build::{Builder, packet};
use crate::cases::Case;
use crate::cases::step::{from_pod, to_pod};
use crate::cases::world::{Net, V4, V6, WEB, isolated};

pub(super) fn cases(net: &Net) -> Vec<Case> {
    let syn = packet(net.pod, net.guest).tcp(40_000, 80, SYN);
    let error = |quote: &[u8]| to_pod(unreachable(packet(net.stranger, net.pod), net, quote));
    let malformed = |quote: &[u8]| error(quote).refused(DropReason::QuoteMalformed);
    let whole = quote(&syn, usize::MAX / 2);
    let mut other_version = quote(&syn, LEAST);
    other_version[0] ^= 0x20;
    let lengths = (0..whole.len() + 1).map(|length| {
        let header = whole.len() - 20;
        let quote = &whole[..length.min(whole.len())];
        if length < header + LEAST {
            malformed(quote)
        } else {
            error(quote).passes(WEB)
        }
    });
    vec![
        Case::new(
            "a quote is followed if it has the IP header and eight bytes",
            isolated(net),
            [from_pod(syn.clone()).opens(WEB)]
                .into_iter()
                .chain(lengths)
                .collect::<Vec<_>>(),
        ),
        Case::new(
            "a quote of another version is not followed",
            isolated(net),
            [
                from_pod(syn.clone()).opens(WEB),
                malformed(&other_version),
                malformed(&[0; 60]),
            ],
        ),
        Case::new(
            "bytes behind the IP packet are no part of a quote",
            isolated(net),
            [from_pod(syn.clone()).opens(WEB), {
                let mut frame =
                    unreachable(packet(net.stranger, net.pod), net, &quote(&syn, LEAST - 4));
                frame.extend(&syn[syn.len() - 16..]);
                to_pod(frame).refused(DropReason::QuoteMalformed)
            }],
        ),
    ]
}

/// What only IPv4 has: options, fragments of the header's own, redirects.
/// What ICMPv6 stands behind: an error is followed behind a fragment header alone.
pub(in crate::cases) fn v6_cases() -> Vec<Case> {
    let net = &V6;
    let syn = || packet(net.pod, net.guest).tcp(40_000, 80, SYN);
    let outer = || packet(net.stranger, net.pod);
    let about = |outer: Builder, quote: &[u8]| to_pod(unreachable(outer, net, quote));
    let elsewhere = packet(net.pod, net.friend).tcp(40_000, 80, SYN);
    // Padding with a quote in it, at the place where one is behind a fragment header.
    let mut options = vec![6];
    options.extend([1, 52, 0, 0, 0, 0]);
    options.extend(quote(&syn(), LEAST));
    options.resize(7 * 8 - 1, 0);
    vec![Case::new(
        "IPv6: an error is followed behind a fragment header, and behind nothing else",
        isolated(net),
        [
            from_pod(syn()).opens(WEB),
            about(outer().fragment(0, false), &quote(&syn(), LEAST)).passes(WEB),
            about(outer().extension(60, &[0; 7]), &quote(&syn(), LEAST))
                .refused(DropReason::QuoteMalformed),
            about(
                outer().fragment(0, false).extension(60, &options),
                &quote(&elsewhere, LEAST),
            )
            .refused(DropReason::QuoteMalformed),
        ],
    )]
}

pub(in crate::cases) fn v4_cases() -> Vec<Case> {
    let net = &V4;
    let error = |quote: &[u8]| to_pod(unreachable(packet(net.stranger, net.pod), net, quote));
    let syn = || packet(net.pod, net.guest).tcp(40_000, 80, SYN);
    let options = |words| {
        packet(net.pod, net.guest)
            .options(words)
            .tcp(40_000, 80, SYN)
    };
    let fragment = |offset, more| {
        let frame = packet(net.pod, net.guest)
            .fragment(offset, more)
            .tcp(40_000, 80, SYN);
        quote(&frame, LEAST)
    };
    let mut short_header = quote(&syn(), LEAST);
    short_header[0] = 0x44;
    let redirect = |packet: Builder, about: &[u8]| packet.icmp_error(5, 1, &quote(about, LEAST));
    vec![
        Case::new(
            "a quote has options, of any length",
            isolated(net),
            [
                from_pod(syn()).opens(WEB),
                error(&quote(&options(1), LEAST)).passes(WEB),
                error(&quote(&options(10), LEAST)).passes(WEB),
                error(&quote(&options(10), LEAST - 1)).refused(DropReason::QuoteMalformed),
                error(&quote(&options(10), 0)[..40]).refused(DropReason::QuoteMalformed),
                error(&short_header).refused(DropReason::QuoteMalformed),
                to_pod(unreachable(
                    packet(net.stranger, net.pod).options(10),
                    net,
                    &quote(&options(10), LEAST),
                ))
                .passes(WEB),
            ],
        ),
        Case::new(
            "a quote of a first fragment is followed, one of a later fragment is not",
            isolated(net),
            [
                from_pod(syn()).opens(WEB),
                error(&fragment(0, true)).passes(WEB),
                error(&fragment(1, true)).refused(DropReason::QuoteMalformed),
                error(&fragment(0x1fff, false)).refused(DropReason::QuoteMalformed),
            ],
        ),
        Case::new(
            "a redirect is closed, whatever it quotes",
            isolated(net),
            [
                from_pod(syn()).opens(WEB),
                to_pod(redirect(packet(net.friend, net.pod), &syn()))
                    .refused(DropReason::IcmpRedirect),
                from_pod(redirect(packet(net.pod, net.friend), &syn()))
                    .refused(DropReason::IcmpRedirect),
            ],
        ),
        Case::new(
            "a redirect passes in a direction that is not isolated",
            isolated(net).ingress_only(),
            [
                from_pod(redirect(packet(net.pod, net.friend), &syn())).passes(NOT_ISOLATED),
                to_pod(redirect(packet(net.friend, net.pod), &syn()))
                    .refused(DropReason::IcmpRedirect),
            ],
        ),
    ]
}
