//! The transport header: ports, TCP flags, ping.

use netpol_common::Direction;
use netpol_common::conntrack::state;
use netpol_common::counter::DropReason;
use netpol_common::protocol;

use crate::Packet;
use crate::family::{Family, Header};

/// Bits of the flags byte of a TCP header (RFC 9293, 3.1).
pub(crate) mod tcp {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;

    /// Words of the header without options.
    pub(super) const WORDS: usize = 5;
    /// The word of the header with the flags: data offset, flags, window.
    pub(super) const FLAGS_WORD: usize = 3;
}

/// Words of the UDP header (RFC 768).
const UDP_WORDS: usize = 2;
/// Words of SCTP's common header (RFC 9260, 3.1).
const SCTP_WORDS: usize = 3;
/// Words that the ICMP messages which are told apart have at least (RFC 792, RFC 4443, RFC 4861).
const ICMP_WORDS: usize = 2;

/// The word of a TCP, UDP or SCTP header with both ports.
const PORTS_WORD: usize = 0;

/// Message types of ICMP (RFC 792).
mod icmp {
    pub(super) const ECHO_REPLY: u8 = 0;
    pub(super) const ECHO_REQUEST: u8 = 8;
}

/// Message types of ICMPv6 (RFC 4443; RFC 4861 from 133 to 137).
mod icmpv6 {
    pub(super) const ECHO_REQUEST: u8 = 128;
    pub(super) const ECHO_REPLY: u8 = 129;
    pub(super) const ROUTER_SOLICITATION: u8 = 133;
    pub(super) const REDIRECT: u8 = 137;
}

/// What kind of message a packet carries, as far as verdicts ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP, with its flags byte.
    Tcp(u8),
    /// UDP, SCTP, or a protocol without ports.
    Datagram,
    EchoRequest,
    EchoReply,
    /// An ICMP message that is no echo.
    IcmpOther,
    /// ICMPv6 of neighbour discovery.
    Neighbour,
}

/// What a transport header says.
#[derive(Clone, Copy)]
pub(crate) struct Transport {
    /// Source port << 16 | destination port. For an echo the identifier, in the place of the port
    /// of who answers.
    pub(crate) ports: u32,
    pub(crate) kind: Kind,
}

impl Transport {
    /// Ports in the order of a conntrack key: remote port << 16 | local port.
    #[inline(always)]
    pub(crate) const fn endpoint_ports(self, direction: Direction) -> u32 {
        match direction {
            Direction::Ingress => self.ports,
            Direction::Egress => self.ports.rotate_left(16),
        }
    }
}

/// Reads the transport header of a packet whose IP header is `header`.
#[inline(always)]
pub(crate) fn read<F: Family, P: Packet>(
    packet: &P,
    header: &Header<F::Address>,
) -> Result<Transport, DropReason> {
    match header.protocol {
        protocol::TCP => {
            let words: [u32; tcp::WORDS] = part(packet, header)?;
            Ok(Transport {
                ports: u32::from_be(words[PORTS_WORD]),
                kind: Kind::Tcp((u32::from_be(words[tcp::FLAGS_WORD]) >> 16) as u8),
            })
        }
        protocol::UDP => {
            let words: [u32; UDP_WORDS] = part(packet, header)?;
            Ok(datagram(u32::from_be(words[PORTS_WORD])))
        }
        protocol::SCTP => {
            let words: [u32; SCTP_WORDS] = part(packet, header)?;
            Ok(datagram(u32::from_be(words[PORTS_WORD])))
        }
        // The other family's ICMP is a protocol that nobody answers.
        protocol if protocol == F::ICMP => {
            let words: [u32; ICMP_WORDS] = part(packet, header)?;
            Ok(message::<F>(words, header.hops))
        }
        _ => Ok(datagram(0)),
    }
}

/// The first `N` words after the IP header, inside the IP packet.
#[inline(always)]
fn part<P: Packet, A, const N: usize>(
    packet: &P,
    header: &Header<A>,
) -> Result<[u32; N], DropReason> {
    // Bytes after the end of the IP packet are padding, and no header.
    if header.payload as u32 + N as u32 * 4 > header.end {
        return Err(DropReason::Truncated);
    }
    packet.load(header.payload).ok_or(DropReason::Truncated)
}

#[inline(always)]
const fn datagram(ports: u32) -> Transport {
    Transport {
        ports,
        kind: Kind::Datagram,
    }
}

/// An ICMP or ICMPv6 message: type, code, checksum; then, of an echo, identifier and sequence.
#[inline(always)]
fn message<F: Family>(words: [u32; ICMP_WORDS], hops: u8) -> Transport {
    let first = u32::from_be(words[0]);
    let kind = (first >> 24) as u8;
    let code = (first >> 16) as u8;
    let identifier = u32::from_be(words[1]) >> 16;
    let v6 = F::ICMP == protocol::ICMPV6;
    let (request, reply) = if v6 {
        (icmpv6::ECHO_REQUEST, icmpv6::ECHO_REPLY)
    } else {
        (icmp::ECHO_REQUEST, icmp::ECHO_REPLY)
    };
    if kind == request {
        Transport {
            ports: identifier,
            kind: Kind::EchoRequest,
        }
    } else if kind == reply {
        Transport {
            ports: identifier << 16,
            kind: Kind::EchoReply,
        }
    } else {
        let neighbour = v6 && is_neighbour(kind, code, hops);
        Transport {
            ports: 0,
            kind: if neighbour {
                Kind::Neighbour
            } else {
                Kind::IcmpOther
            },
        }
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
    kind >= icmpv6::ROUTER_SOLICITATION && kind <= icmpv6::REDIRECT && code == 0 && hops == 255
}

impl Kind {
    /// TCP: the first packet of a connection. Of the flags that matter it has SYN alone: a SYN
    /// with FIN or RST is no opening that any host answers.
    #[inline(always)]
    pub(crate) const fn opens_tcp(self) -> bool {
        match self {
            Self::Tcp(flags) => flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::SYN,
            _ => false,
        }
    }

    /// A packet that only the side that opens a connection sends.
    #[inline(always)]
    pub(crate) const fn opens(self) -> bool {
        matches!(self, Self::EchoRequest) || self.opens_tcp()
    }

    /// A TCP reset.
    #[inline(always)]
    pub(crate) const fn resets(self) -> bool {
        matches!(self, Self::Tcp(flags) if flags & tcp::RST != 0)
    }

    /// The state bits that the packet adds to its connection.
    #[inline(always)]
    pub(crate) const fn closing(self, direction: Direction) -> u32 {
        let Self::Tcp(flags) = self else { return 0 };
        let mut bits = 0;
        if flags & tcp::FIN != 0 {
            bits |= match direction {
                Direction::Egress => state::FIN_LOCAL,
                Direction::Ingress => state::FIN_REMOTE,
            };
        }
        if flags & tcp::RST != 0 {
            bits |= state::RESET;
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use netpol_common::Direction::{Egress, Ingress};
    use netpol_common::conntrack::state::{FIN_LOCAL, FIN_REMOTE, RESET};

    use super::tcp::{ACK, FIN, RST, SYN};
    use super::{Kind, Transport, is_neighbour};

    #[test]
    fn ports_are_ordered_remote_then_local() {
        let transport = Transport {
            ports: 40_000 << 16 | 80,
            kind: Kind::Datagram,
        };
        assert_eq!(transport.endpoint_ports(Ingress), 40_000 << 16 | 80);
        assert_eq!(transport.endpoint_ports(Egress), 80 << 16 | 40_000);
    }

    #[test]
    fn a_connection_is_opened_by_a_syn_alone_or_an_echo_request() {
        let urgent_and_push = 0x28;
        assert!(Kind::Tcp(SYN).opens_tcp());
        assert!(Kind::Tcp(SYN | urgent_and_push).opens_tcp());
        for flags in [0, ACK, SYN | ACK, SYN | RST, SYN | FIN, FIN, RST] {
            assert!(!Kind::Tcp(flags).opens(), "{flags:#x}");
        }
        assert!(Kind::EchoRequest.opens() && !Kind::EchoRequest.opens_tcp());
        assert!(!Kind::EchoReply.opens() && !Kind::Datagram.opens());
    }

    #[test]
    fn closing_is_noted_by_side() {
        assert_eq!(Kind::Tcp(FIN | ACK).closing(Egress), FIN_LOCAL);
        assert_eq!(Kind::Tcp(FIN | ACK).closing(Ingress), FIN_REMOTE);
        assert_eq!(Kind::Tcp(RST).closing(Ingress), RESET);
        assert_eq!(Kind::Tcp(RST | FIN).closing(Egress), RESET | FIN_LOCAL);
        assert_eq!(Kind::Tcp(SYN | ACK).closing(Egress), 0);
        assert_eq!(Kind::Datagram.closing(Egress), 0);
    }

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
}
