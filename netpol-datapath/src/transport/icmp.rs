//! ICMP and ICMPv6: echoes, errors, and what speaks to the link alone.

use netpol_common::Direction;
use netpol_common::counter::DropReason;
use netpol_common::protocol;

use super::{Kind, Transport};
use crate::Packet;
use crate::family::{Family, Header};
use crate::read::sides;

/// Words that the ICMP messages which are told apart have at least (RFC 792, RFC 4443, RFC 4861,
/// RFC 2710).
pub(crate) const WORDS: usize = 2;

/// Message types of ICMP (RFC 792).
mod v4 {
    pub(super) const ECHO_REPLY: u8 = 0;
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const SOURCE_QUENCH: u8 = 4;
    pub(super) const REDIRECT: u8 = 5;
    pub(super) const ECHO_REQUEST: u8 = 8;
    pub(super) const TIME_EXCEEDED: u8 = 11;
    pub(super) const PARAMETER_PROBLEM: u8 = 12;
}

/// Message types of ICMPv6 (RFC 4443; RFC 2710 from 130 to 132, RFC 4861 from 133 to 137, RFC 3810:
/// 143).
mod v6 {
    pub(super) const UNREACHABLE: u8 = 1;
    pub(super) const PARAMETER_PROBLEM: u8 = 4;
    pub(super) const ECHO_REQUEST: u8 = 128;
    pub(super) const ECHO_REPLY: u8 = 129;
    pub(super) const LISTENER_QUERY: u8 = 130;
    pub(super) const LISTENER_DONE: u8 = 132;
    pub(super) const ROUTER_SOLICITATION: u8 = 133;
    pub(super) const REDIRECT: u8 = 137;
    pub(super) const LISTENER_REPORT_2: u8 = 143;
}

/// An ICMP or ICMPv6 message: type, code, checksum; then, of an echo, identifier and sequence.
#[inline(always)]
pub(super) fn message<F: Family, P: Packet>(
    packet: &P,
    header: &Header,
    words: [u32; WORDS],
) -> Result<Transport, DropReason> {
    let first = u32::from_be(words[0]);
    let kind = (first >> 24) as u8;
    let code = (first >> 16) as u8;
    let v6 = F::ICMP == protocol::ICMPV6;
    if let Some(echo) = echo::<F>(words) {
        return Ok(echo);
    }
    if !v6 && kind == v4::REDIRECT {
        return Err(DropReason::IcmpRedirect);
    }
    let listener = v6
        && is_listener(kind, header.hops)
        && matches!(
            sides::<F, P>(packet, Direction::Egress),
            Ok((source, destination)) if F::speaks_to_link(source, destination)
        );
    let kind = if v6 && is_neighbour(kind, code, header.hops) {
        Kind::NEIGHBOUR
    } else if listener {
        Kind::LISTENER
    } else if is_error(v6, kind) {
        Kind::ERROR
    } else {
        Kind::ICMP_OTHER
    };
    Ok(Transport { ports: 0, kind })
}

/// What an ICMP message is if it is an echo.
#[inline(always)]
pub(crate) fn echo<F: Family>(words: [u32; WORDS]) -> Option<Transport> {
    let kind = (u32::from_be(words[0]) >> 24) as u8;
    let identifier = u32::from_be(words[1]) >> 16;
    let (request, reply) = if F::ICMP == protocol::ICMPV6 {
        (v6::ECHO_REQUEST, v6::ECHO_REPLY)
    } else {
        (v4::ECHO_REQUEST, v4::ECHO_REPLY)
    };
    if kind == request {
        Some(Transport {
            ports: identifier,
            kind: Kind::ECHO_REQUEST,
        })
    } else if kind == reply {
        Some(Transport {
            ports: identifier << 16,
            kind: Kind::ECHO_REPLY,
        })
    } else {
        None
    }
}

/// Whether an ICMP message is about another packet, which follows it.
///
/// Source quench is nothing that a host heeds (RFC 6633), and no other than the rest.
#[inline(always)]
const fn is_error(v6: bool, kind: u8) -> bool {
    if v6 {
        kind >= v6::UNREACHABLE && kind <= v6::PARAMETER_PROBLEM
    } else {
        matches!(
            kind,
            v4::UNREACHABLE | v4::SOURCE_QUENCH | v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM
        )
    }
}

/// Whether an ICMPv6 message is of neighbour discovery, and valid as far as the first bytes tell.
///
/// RFC 4861, 6.1.1 to 8.1, of each of the five messages: "A node MUST silently discard any
/// received ... messages that do not satisfy all of the following validity checks: The IP Hop
/// Limit field has a value of 255, i.e., the packet could not possibly have been forwarded by a
/// router. ... ICMP Code is 0."
#[inline(always)]
const fn is_neighbour(kind: u8, code: u8, hops: u8) -> bool {
    kind >= v6::ROUTER_SOLICITATION && kind <= v6::REDIRECT && code == 0 && hops == 255
}

/// Whether an ICMPv6 message is of multicast listener discovery, and goes no further than the link.
///
/// RFC 2710, 3: "All MLD messages described in this document are sent with a link-local IPv6 Source
/// Address, an IPv6 Hop Limit of 1"; RFC 3810, 5, says the same of its own.
#[inline(always)]
const fn is_listener(kind: u8, hops: u8) -> bool {
    let known =
        kind >= v6::LISTENER_QUERY && kind <= v6::LISTENER_DONE || kind == v6::LISTENER_REPORT_2;
    known && hops == 1
}

#[cfg(test)]
mod tests {
    use super::{is_error, is_listener, is_neighbour};

    #[test]
    fn neighbour_discovery_is_five_types_that_no_router_forwarded() {
        let types: [bool; 256] = core::array::from_fn(|kind| is_neighbour(kind as u8, 0, 255));
        let known = |kind: usize| (133..=137).contains(&kind);
        assert!(
            types
                .iter()
                .enumerate()
                .all(|(kind, is)| *is == known(kind))
        );
        assert!(!is_neighbour(135, 0, 254) && !is_neighbour(135, 1, 255));
    }

    #[test]
    fn errors_are_those_that_quote() {
        for (v6, known) in [(false, [3, 4, 11, 12]), (true, [1, 2, 3, 4])] {
            for kind in 0..=u8::MAX {
                assert_eq!(is_error(v6, kind), known.contains(&kind), "{kind}");
            }
        }
    }

    #[test]
    fn listeners_are_four_types_of_one_hop() {
        for kind in 0..=u8::MAX {
            let known = [130, 131, 132, 143].contains(&kind);
            assert_eq!(is_listener(kind, 1), known, "{kind}");
            assert!(!is_listener(kind, 2) && !is_listener(kind, 255));
        }
    }
}
