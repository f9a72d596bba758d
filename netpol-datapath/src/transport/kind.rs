//! What kind of message a packet carries.

use netpol_common::Direction;
use netpol_common::conntrack::state;

use super::tcp;

/// What kind of message a packet carries, as far as verdicts ask.
///
/// A word of bits rather than an enum: what is asked of every packet is then one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Kind(u32);

impl Kind {
    /// What is opened and closed; with flags in the lowest byte.
    const STREAM: u32 = 1 << 8;
    /// UDP, or a protocol without ports.
    pub(crate) const DATAGRAM: Self = Self(1 << 9);
    /// The question of a ping.
    pub(crate) const ECHO_REQUEST: Self = Self(1 << 10);
    /// The answer of a ping.
    pub(crate) const ECHO_REPLY: Self = Self(1 << 11);
    /// An ICMP error: about another packet, which it quotes.
    pub(crate) const ERROR: Self = Self(1 << 12);
    /// Another ICMP message.
    pub(crate) const ICMP_OTHER: Self = Self(1 << 13);
    /// ICMPv6 of neighbour discovery.
    pub(crate) const NEIGHBOUR: Self = Self(1 << 14);
    /// ICMPv6 of multicast listener discovery. Hosts send it behind a hop-by-hop header, with a
    /// router alert.
    pub(crate) const LISTENER: Self = Self(1 << 15);

    /// TCP, with its flags byte; SCTP, with the flags that would mean the same in TCP.
    #[inline(always)]
    pub(crate) const fn stream(flags: u8) -> Self {
        Self(Self::STREAM | flags as u32)
    }

    /// Whether it is what is opened and closed.
    #[inline(always)]
    pub(crate) const fn is_stream(self) -> bool {
        self.0 & Self::STREAM != 0
    }

    /// Whether it is an ICMP message that is no ping.
    #[inline(always)]
    pub(crate) const fn is_message(self) -> bool {
        self.0 & (Self::ERROR.0 | Self::ICMP_OTHER.0) != 0
    }

    /// Whether it keeps the link going, and passes whatever policies say.
    #[inline(always)]
    pub(crate) const fn is_of_link(self) -> bool {
        self.0 & (Self::NEIGHBOUR.0 | Self::LISTENER.0) != 0
    }

    /// The first packet of a connection that has an opening. Of the flags that matter it has SYN
    /// alone: a SYN with FIN or RST is no opening that any host answers.
    #[inline(always)]
    pub(crate) const fn opens_stream(self) -> bool {
        self.flags(tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::SYN as u32
    }

    /// A packet that only the side that opens a connection sends.
    #[inline(always)]
    pub(crate) const fn opens(self) -> bool {
        self.0 == Self::ECHO_REQUEST.0 || self.opens_stream()
    }

    /// A packet as it comes between opening and end.
    ///
    /// RFC 9293, 3.1, of the acknowledgment number: "Once a connection is established, this is
    /// always sent."
    #[inline(always)]
    pub(crate) const fn goes_on(self) -> bool {
        self.flags(tcp::ACK | tcp::RST | tcp::FIN) == tcp::ACK as u32
    }

    /// A reset.
    #[inline(always)]
    pub(crate) const fn resets(self) -> bool {
        self.flags(tcp::RST) != 0
    }

    /// Whether it opens or closes a stream, or seems to.
    #[inline(always)]
    pub(crate) const fn turns(self) -> bool {
        self.flags(tcp::SYN | tcp::RST | tcp::FIN) != 0
    }

    /// Those of some flags that are set; what is no stream has none.
    #[inline(always)]
    const fn flags(self, of: u8) -> u32 {
        self.0 & of as u32
    }

    /// The state bits that the packet adds to its connection.
    #[inline(always)]
    pub(crate) const fn closing(self, direction: Direction) -> u32 {
        let mut bits = 0;
        if self.flags(tcp::FIN) != 0 {
            bits |= match direction {
                Direction::Egress => state::FIN_LOCAL,
                Direction::Ingress => state::FIN_REMOTE,
            };
        }
        if self.resets() {
            bits |= state::RESET;
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use netpol_common::Direction::{Egress, Ingress};
    use netpol_common::conntrack::state::{FIN_LOCAL, FIN_REMOTE, RESET};

    use super::Kind;
    use crate::transport::tcp::{ACK, FIN, RST, SYN};

    #[test]
    fn a_connection_is_opened_by_a_syn_alone_or_an_echo_request() {
        let urgent_and_push = 0x28;
        assert!(Kind::stream(SYN).opens_stream());
        assert!(Kind::stream(SYN | urgent_and_push).opens_stream());
        for flags in [0, ACK, SYN | ACK, SYN | RST, SYN | FIN, FIN, RST] {
            assert!(!Kind::stream(flags).opens(), "{flags:#x}");
        }
        assert!(Kind::ECHO_REQUEST.opens() && !Kind::ECHO_REQUEST.opens_stream());
        assert!(!Kind::ECHO_REPLY.opens() && !Kind::DATAGRAM.opens());
    }

    #[test]
    fn a_connection_goes_on_with_acknowledgments_alone() {
        for flags in [ACK, SYN | ACK, ACK | 0x08] {
            assert!(Kind::stream(flags).goes_on(), "{flags:#x}");
        }
        for flags in [0, SYN, 0x08, FIN | ACK, RST | ACK, SYN | FIN, 0xff] {
            assert!(!Kind::stream(flags).goes_on(), "{flags:#x}");
        }
    }

    #[test]
    fn closing_is_noted_by_side() {
        assert_eq!(Kind::stream(FIN | ACK).closing(Egress), FIN_LOCAL);
        assert_eq!(Kind::stream(FIN | ACK).closing(Ingress), FIN_REMOTE);
        assert_eq!(Kind::stream(RST).closing(Ingress), RESET);
        assert_eq!(Kind::stream(RST | FIN).closing(Egress), RESET | FIN_LOCAL);
        assert_eq!(Kind::stream(SYN | ACK).closing(Egress), 0);
        assert_eq!(Kind::DATAGRAM.closing(Egress), 0);
    }
}
