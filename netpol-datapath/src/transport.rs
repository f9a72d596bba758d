//! The transport header: ports, TCP flags, SCTP chunks, kinds of ICMP messages.

pub(crate) mod icmp;
mod kind;
mod sctp;

pub(crate) use kind::Kind;

use netpol_common::Direction;
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
    pub(crate) const WORDS: usize = 5;
    /// The word of the header with the flags: data offset, flags, window.
    const FLAGS_WORD: usize = 3;

    /// What the header says of the segment.
    #[inline(always)]
    pub(crate) const fn kind(header: &[u32; WORDS]) -> super::Kind {
        super::Kind::stream((u32::from_be(header[FLAGS_WORD]) >> 16) as u8)
    }
}

/// Words of the UDP header (RFC 768).
pub(crate) const UDP_WORDS: usize = 2;
/// The word of a TCP, UDP or SCTP header with both ports.
pub(crate) const PORTS_WORD: usize = 0;

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
    header: &Header,
) -> Result<Transport, DropReason> {
    match header.protocol {
        protocol::TCP => {
            let words: [u32; tcp::WORDS] = part(packet, header)?;
            Ok(Transport {
                ports: u32::from_be(words[PORTS_WORD]),
                kind: tcp::kind(&words),
            })
        }
        protocol::UDP => {
            let words: [u32; UDP_WORDS] = part(packet, header)?;
            Ok(datagram(u32::from_be(words[PORTS_WORD])))
        }
        protocol::SCTP => {
            let words: [u32; sctp::WORDS] = part(packet, header)?;
            Ok(Transport {
                ports: u32::from_be(words[PORTS_WORD]),
                kind: Kind::stream(sctp::as_tcp_flags(&words)),
            })
        }
        // The other family's ICMP is a protocol that nobody answers.
        protocol if protocol == F::ICMP => {
            icmp::message::<F, P>(packet, header, part(packet, header)?)
        }
        _ => Ok(datagram(0)),
    }
}

/// The first `N` words after the IP header, inside the IP packet.
#[inline(always)]
fn part<P: Packet, const N: usize>(packet: &P, header: &Header) -> Result<[u32; N], DropReason> {
    // Bytes after the end of the IP packet are padding, and no header.
    if header.payload() as u32 + N as u32 * 4 > header.end {
        return Err(DropReason::Truncated);
    }
    packet.load(header.payload()).ok_or(DropReason::Truncated)
}

/// What has no state beyond "answered".
#[inline(always)]
pub(crate) const fn datagram(ports: u32) -> Transport {
    Transport {
        ports,
        kind: Kind::DATAGRAM,
    }
}

#[cfg(test)]
mod tests {
    use netpol_common::Direction::{Egress, Ingress};

    use super::{Kind, Transport};

    #[test]
    fn ports_are_ordered_remote_then_local() {
        let transport = Transport {
            ports: 40_000 << 16 | 80,
            kind: Kind::DATAGRAM,
        };
        assert_eq!(transport.endpoint_ports(Ingress), 40_000 << 16 | 80);
        assert_eq!(transport.endpoint_ports(Egress), 80 << 16 | 40_000);
    }
}
