//! Fragments: later ones pass after their first one, and only then.

use std::vec;
use std::vec::Vec;

use netpol_common::counter::{DropReason, NOT_ISOLATED, SELF};
use netpol_common::fragment::SECONDS;
use netpol_common::protocol::{SCTP, TCP, UDP};

use super::Case;
use super::setup::Setup;
use super::step::{PacketStep, Step, from_pod, to_pod};
use super::world::{
    DENY_OUT, DNS, FRIEND_IN, FRIEND_OUT, NOTHING, Net, SIGNAL, V4, V6, WEB, isolated, next,
};
use crate::build::tcp::SYN;
use crate::build::{Builder, packet};

/// Of the packets of a case, where it does not matter.
const ID: u32 = 0x1234;
/// Data of a first fragment: with a UDP header it is three units.
const DATA: [u8; 16] = [7; 16];

pub(super) fn cases(net: &Net) -> Vec<Case> {
    let mut cases = vec![
        verdicts(net),
        denied(net),
        every_protocol(net),
        identified(net),
        aged(net),
        of_a_generation(net),
        cut(net),
        overlapping(net),
        tiny(net),
        malformed(net),
        flooded(net),
    ];
    cases.extend(directions(net));
    cases
}

/// What only one of the families has.
pub(super) fn family_cases() -> Vec<Case> {
    vec![
        protocols_apart(),
        protocols_alike(),
        whole(),
        behind_headers(),
    ]
}

fn out(net: &Net) -> Builder {
    packet(net.pod, net.guest).identification(ID)
}

fn back(net: &Net) -> Builder {
    packet(net.guest, net.pod).identification(ID)
}

/// The first fragment of a datagram to a port.
fn first(builder: Builder, port: u16) -> Vec<u8> {
    builder.fragment(0, true).payload(&DATA).udp(40_000, port)
}

/// A later fragment of a datagram.
fn later(builder: Builder, offset: u16, more: bool) -> Vec<u8> {
    builder.fragment(offset, more).protocol(UDP, &[9; 8])
}

fn unseen(step: PacketStep) -> Step {
    step.refused(DropReason::FirstFragmentNotSeen)
}

fn verdicts(net: &Net) -> Case {
    let last = || from_pod(later(out(net), 4, false));
    Case::new(
        "later fragments take the verdict of the first, and none before it",
        isolated(net),
        [
            unseen(last()),
            from_pod(first(out(net), 53)).opens(DNS),
            from_pod(later(out(net), 3, true)).passes(DNS),
            last().passes(DNS),
            // Sent again, or in another order.
            last().passes(DNS),
            from_pod(first(out(net), 53)).passes(DNS),
            last().passes(DNS),
            Step::Tracked { replied: 0, new: 1 },
            // The answer, of the same identification.
            unseen(to_pod(later(back(net), 3, false))),
            to_pod(back(net).fragment(0, true).payload(&DATA).udp(53, 40_000)).passes(DNS),
            to_pod(later(back(net), 3, false)).passes(DNS),
            Step::Tracked { replied: 1, new: 0 },
        ],
    )
}

fn denied(net: &Net) -> Case {
    Case::new(
        "later fragments of a first one that was denied are closed",
        isolated(net),
        [
            from_pod(first(out(net), 54)).drops(DENY_OUT),
            unseen(from_pod(later(out(net), 3, true))),
            // Nor does a denied one take anything from one that passed.
            from_pod(first(out(net), 53)).opens(DNS),
            from_pod(first(out(net), 54)).drops(DENY_OUT),
            from_pod(later(out(net), 3, false)).passes(DNS),
        ],
    )
}

fn every_protocol(net: &Net) -> Case {
    let begin = |id| out(net).identification(id).fragment(0, true);
    let end = |id, protocol| {
        let builder = out(net).identification(id).fragment(8, false);
        from_pod(builder.protocol(protocol, &[9; 5]))
    };
    let friend = |builder: Builder| builder.identification(4);
    let ping = friend(packet(net.pod, net.friend)).fragment(0, true);
    let ping_end = friend(packet(net.pod, net.friend)).fragment(8, false);
    let icmp = if net.pod.is_ipv4() { 1 } else { 58 };
    Case::new(
        "fragments of every protocol are judged",
        isolated(net),
        [
            from_pod(begin(1).payload(&[0; 4]).tcp(40_000, 80, SYN)).opens(WEB),
            end(1, TCP).passes(WEB),
            from_pod(begin(2).udp(40_000, 53)).opens(DNS),
            end(2, UDP).passes(DNS),
            from_pod(begin(3).sctp(40_000, 9)).opens(SIGNAL),
            end(3, SCTP).passes(SIGNAL),
            from_pod(ping.payload(&DATA).echo_request(7)).opens(FRIEND_OUT),
            from_pod(ping_end.protocol(icmp, &[9; 8])).passes(FRIEND_OUT),
        ],
    )
}

fn identified(net: &Net) -> Case {
    let end = |builder| from_pod(later(builder, 3, false));
    Case::new(
        "a later fragment of another packet, peer or direction is closed",
        isolated(net),
        [
            from_pod(first(out(net), 53)).opens(DNS),
            unseen(end(out(net).identification(ID + 1))),
            unseen(end(packet(net.pod, net.friend).identification(ID))),
            unseen(to_pod(later(back(net), 3, false))),
            end(out(net)).passes(DNS),
        ],
    )
}

fn aged(net: &Net) -> Case {
    let end = || from_pod(later(out(net), 3, false));
    Case::new(
        "a later fragment passes for some seconds",
        isolated(net),
        [
            from_pod(first(out(net), 53)).opens(DNS),
            Step::Wait(SECONDS - 1),
            end().passes(DNS),
            Step::Wait(2),
            unseen(end()),
        ],
    )
}

fn of_a_generation(net: &Net) -> Case {
    let setup = isolated(net);
    let end = || from_pod(later(out(net), 3, false));
    Case::new(
        "after a change of policy the first fragment is judged again",
        setup.clone(),
        [
            from_pod(first(out(net), 53)).opens(DNS),
            end().passes(DNS),
            Step::Switch(next(&setup, |_| {})),
            unseen(end()),
            from_pod(first(out(net), 53)).passes(DNS),
            end().passes(DNS),
        ],
    )
}

fn cut(net: &Net) -> Case {
    let setup = isolated(net);
    Case::new(
        "fragments of a connection that is cut are closed",
        setup.clone(),
        [
            from_pod(first(out(net), 53)).opens(DNS),
            Step::Switch(next(&setup, |endpoint| endpoint.egress.set = NOTHING)),
            unseen(from_pod(later(out(net), 3, false))),
            from_pod(first(out(net), 53)).cuts(DENY_OUT),
            unseen(from_pod(later(out(net), 3, false))),
        ],
    )
}

fn overlapping(net: &Net) -> Case {
    let at = |offset, more| from_pod(later(out(net), offset, more));
    let tcp = || out(net).identification(9);
    let tcp_at = |offset| from_pod(tcp().fragment(offset, false).protocol(TCP, &[9; 16]));
    Case::new(
        "a later fragment that begins inside the first one is closed",
        isolated(net),
        [
            from_pod(first(out(net), 53)).opens(DNS),
            at(1, true).refused(DropReason::Fragment),
            at(2, true).refused(DropReason::Fragment),
            at(2, false).refused(DropReason::Fragment),
            at(3, false).passes(DNS),
            // RFC 1858: it would write over the flags.
            from_pod(
                tcp()
                    .fragment(0, true)
                    .payload(&[0; 4])
                    .tcp(40_000, 80, SYN),
            )
            .opens(WEB),
            tcp_at(1).refused(DropReason::Fragment),
            tcp_at(2).refused(DropReason::Fragment),
            tcp_at(3).passes(WEB),
        ],
    )
}

fn tiny(net: &Net) -> Case {
    let begin = |protocol, bytes: usize| {
        let builder = packet(net.pod, net.friend).identification(ID);
        let header = vec![0; bytes];
        from_pod(builder.fragment(0, true).protocol(protocol, &header))
            .refused(DropReason::Fragment)
    };
    let end = packet(net.pod, net.friend).identification(ID);
    Case::new(
        "a first fragment without the whole transport header is closed, and so is what follows",
        isolated(net),
        [
            begin(TCP, 8),
            begin(TCP, 16),
            begin(SCTP, 8),
            unseen(from_pod(end.fragment(2, false).protocol(TCP, &[0; 24]))),
        ],
    )
}

fn malformed(net: &Net) -> Case {
    let refused = |offset, more, bytes: usize| {
        let builder = out(net).fragment(offset, more);
        from_pod(builder.protocol(UDP, &vec![0; bytes])).refused(DropReason::Fragment)
    };
    Case::new(
        "fragments that are empty, of odd length or beyond the largest packet are closed",
        isolated(net),
        [
            from_pod(first(out(net), 53)).opens(DNS),
            refused(0, true, 0),
            refused(4, false, 0),
            refused(0, true, 21),
            refused(4, true, 20),
            refused(0x1fff, false, 8),
            refused(0x1ffe, false, 16),
            from_pod(out(net).fragment(0x1fff, false).protocol(UDP, &[0; 7])).passes(DNS),
        ],
    )
}

/// More first fragments than there are places.
fn flooded(net: &Net) -> Case {
    let from_friend = |id: u32| {
        let builder = packet(net.friend, net.pod).identification(id);
        to_pod(first(builder, 53))
    };
    let mut steps = vec![
        from_pod(first(out(net), 53)).opens(DNS),
        from_friend(0).opens(FRIEND_IN),
    ];
    steps.extend((1..150).map(|id| from_friend(id).passes(FRIEND_IN)));
    steps.push(from_pod(later(out(net), 3, false)).passes(DNS));
    let last = packet(net.friend, net.pod).identification(149);
    steps.push(to_pod(later(last, 3, false)).passes(FRIEND_IN));
    Case::new(
        "a flood of fragments takes no place of the other direction",
        isolated(net),
        steps,
    )
}

fn directions(net: &Net) -> Vec<Case> {
    let ingress: Setup = isolated(net).ingress_only();
    let to_itself = packet(net.pod, net.pod).fragment(1, false).udp(1, 2);
    let spoofed = packet(net.friend, net.guest).fragment(1, false).udp(1, 2);
    vec![
        Case::new(
            "fragments pass in a direction that is not isolated",
            ingress.clone(),
            [
                from_pod(later(out(net), 3, false)).passes(NOT_ISOLATED),
                from_pod(first(out(net), 54)).opens(NOT_ISOLATED),
                from_pod(later(out(net), 3, false)).passes(NOT_ISOLATED),
                unseen(to_pod(later(back(net), 3, false))),
                to_pod(back(net).fragment(0, true).payload(&DATA).udp(54, 40_000))
                    .passes(NOT_ISOLATED),
                to_pod(later(back(net), 3, false)).passes(NOT_ISOLATED),
            ],
        ),
        Case::new(
            "a fragment with another's address is that first, and one to itself passes",
            ingress,
            [
                from_pod(spoofed).refused(DropReason::Spoofed),
                from_pod(to_itself).passes(SELF),
            ],
        ),
        Case::new(
            "fragments of an endpoint without isolation pass, uncounted",
            isolated(net).not_isolated(),
            [
                from_pod(later(out(net), 3, false)).passes_unseen(),
                to_pod(later(back(net), 3, false)).passes_unseen(),
            ],
        ),
    ]
}

fn protocols_apart() -> Case {
    Case::new(
        "IPv4: fragments of another protocol are of another packet",
        isolated(&V4),
        [
            from_pod(first(out(&V4), 53)).opens(DNS),
            unseen(from_pod(out(&V4).fragment(3, false).protocol(TCP, &[9; 8]))),
            from_pod(later(out(&V4), 3, false)).passes(DNS),
            // Don't fragment, and a fragment all the same: Linux sends such to find the path's MTU.
            from_pod({
                let mut frame = later(out(&V4), 3, false);
                frame[20] |= 0x40;
                frame
            })
            .passes(DNS),
        ],
    )
}

fn protocols_alike() -> Case {
    Case::new(
        // RFC 8200, 4.5: of the later fragments "the Next Header values ... may differ".
        "IPv6: what later fragments say of their protocol means nothing",
        isolated(&V6),
        [
            from_pod(first(out(&V6), 53)).opens(DNS),
            from_pod(out(&V6).fragment(3, false).protocol(TCP, &[9; 8])).passes(DNS),
            from_pod(out(&V6).fragment(2, false).protocol(TCP, &[9; 8]))
                .refused(DropReason::Fragment),
        ],
    )
}

fn whole() -> Case {
    let whole = || out(&V6).fragment(0, false);
    Case::new(
        // RFC 6946: "isolated from any other fragments".
        "IPv6: a fragment that is the whole packet is judged as that",
        isolated(&V6),
        [
            from_pod(whole().udp(40_000, 53)).opens(DNS),
            from_pod(whole().payload(&[1; 3]).udp(40_000, 53)).passes(DNS),
            from_pod(whole().udp(40_000, 54)).drops(DENY_OUT),
            from_pod(whole().protocol(TCP, &[0; 19])).refused(DropReason::Truncated),
            // It is no first one.
            unseen(from_pod(later(out(&V6), 1, false))),
        ],
    )
}

fn behind_headers() -> Case {
    const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
    let with = || out(&V6).extension(0, &PADDING);
    Case::new(
        "IPv6: extension headers before and after the fragment header",
        isolated(&V6),
        [
            from_pod(
                with()
                    .fragment(0, true)
                    .extension(60, &PADDING)
                    .payload(&DATA)
                    .udp(40_000, 53),
            )
            .opens(DNS),
            // The first one has four units of the whole: the destination options are of it.
            from_pod(with().fragment(3, true).protocol(60, &[9; 8])).refused(DropReason::Fragment),
            from_pod(with().fragment(4, false).protocol(60, &[9; 8])).passes(DNS),
            // The chain has to be in the first one (RFC 7112).
            from_pod(
                with()
                    .identification(5)
                    .fragment(0, true)
                    .protocol(60, &[17, 1, 0, 0, 0, 0, 0, 0]),
            )
            .refused(DropReason::Fragment),
        ],
    )
}
