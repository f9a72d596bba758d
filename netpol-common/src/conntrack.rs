//! The conntrack maps: one key for both directions of a connection, scoped to an endpoint.
//!
//! ```text
//! conntrack_v4, conntrack_v6           connections that have seen a reply
//! conntrack_new_v4, conntrack_new_v6   connections that have not: a SYN flood fills these,
//!                                      never the others
//! ```

use bytemuck::{Pod, Zeroable};

use crate::{Direction, assert_words, protocol};

/// Key of an IPv4 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Key4 {
    /// Host interface index of the endpoint.
    pub endpoint: u32,
    /// The peer's address.
    pub remote: u32,
    /// Remote port << 16 | local port. For an echo (ping): the identifier, on the side of the
    /// port of who answers; the other half is zero.
    pub ports: u32,
    /// [`selector`] of protocol and local address.
    pub selector: u32,
}
assert_words!(Key4, 4);

/// Key of an IPv6 connection; fields as in [`Key4`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Key6 {
    /// Host interface index of the endpoint.
    pub endpoint: u32,
    /// The peer's address.
    pub remote: [u32; 4],
    /// Remote port << 16 | local port.
    pub ports: u32,
    /// [`selector`] of protocol and local address.
    pub selector: u32,
}
assert_words!(Key6, 7);

/// The last word of a key: the IP protocol, and which of the endpoint's addresses of that family
/// is the local one ([`crate::endpoint::ADDRESSES`] for a link-local address, which stands in no
/// entry).
#[must_use]
#[inline(always)]
pub const fn selector(protocol: u8, local_index: u32) -> u32 {
    protocol as u32 | local_index << 8
}

/// The IP protocol of a [`selector`].
#[must_use]
#[inline(always)]
pub const fn selector_protocol(selector: u32) -> u8 {
    selector as u8
}

/// Value of the conntrack maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Connection {
    /// Bits of [`state`].
    pub state: u32,
    /// The endpoint's generation when the connection was last judged.
    pub generation: u32,
    /// The rule that allowed it, or denied it when [`state::CUT`].
    pub rule: u32,
    /// Kernel ticks (low half of `jiffies`) of the last packet.
    pub last_seen: u32,
}
assert_words!(Connection, 4);

/// Bits of [`Connection::state`].
pub mod state {
    /// The endpoint opened the connection (egress); without it, the peer did (ingress).
    pub const FROM_ENDPOINT: u32 = 1 << 0;
    /// The other side has answered.
    pub const REPLIED: u32 = 1 << 1;
    /// The endpoint has sent a FIN (SCTP: SHUTDOWN or its acknowledgment).
    pub const FIN_LOCAL: u32 = 1 << 2;
    /// The peer has sent one.
    pub const FIN_REMOTE: u32 = 1 << 3;
    /// One side has sent a RST (SCTP: ABORT or SHUTDOWN COMPLETE).
    pub const RESET: u32 = 1 << 4;
    /// Judged again after a policy change and no longer allowed: every packet is dropped, until
    /// a later generation allows it again or a new SYN starts over.
    pub const CUT: u32 = 1 << 5;
    /// UDP and protocols without ports: who opened it has spoken again after an answer.
    pub const STREAM: u32 = 1 << 6;
    /// The peer is a Service that may lead back to the endpoint.
    pub const OWN_SERVICE: u32 = 1 << 7;
    /// Any bit of a connection that is ending; none but TCP and SCTP have them.
    pub const CLOSING: u32 = FIN_LOCAL | FIN_REMOTE | RESET;
}

impl Connection {
    /// The direction of the connection's first packet.
    #[must_use]
    #[inline(always)]
    pub const fn initiator(&self) -> Direction {
        if self.state & state::FROM_ENDPOINT != 0 {
            Direction::Egress
        } else {
            Direction::Ingress
        }
    }
}

/// Classes of idle time-outs, an index into [`TIMEOUT_SECONDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Timeout {
    /// No reply yet, any protocol.
    New = 0,
    /// TCP, both sides have spoken.
    TcpEstablished = 1,
    /// TCP, one side has sent a FIN; SCTP, a SHUTDOWN.
    TcpFin = 2,
    /// TCP, both sides have sent a FIN, or one a RST; SCTP, the association's end.
    TcpClosed = 3,
    /// UDP, replied and gone on. (One question and one answer time out as [`Timeout::New`]: a
    /// resolver's queries must not fill the table.)
    Udp = 4,
    /// Ping, replied.
    Echo = 5,
    /// Every other protocol, replied.
    Other = 6,
}

/// Idle time-outs in seconds, by [`Timeout`]. The numbers are the Linux defaults of
/// `net.netfilter.nf_conntrack_*_timeout*` (`tcp_timeout_fin_wait` 120, `tcp_timeout_close` 10,
/// `udp_timeout` 30, `udp_timeout_stream` 120, `icmp_timeout` 30, `generic_timeout` 600), but for
/// established TCP: 6 hours rather than 5 days (Cilium had 21,600 s as its default for years): a
/// peer that vanished without a RST must not hold an entry for days.
pub const TIMEOUT_SECONDS: [u32; 7] = [30, 21_600, 120, 10, 120, 30, 600];

/// The time-out class of a connection.
#[must_use]
#[inline(always)]
pub const fn timeout_class(selector: u32, state: u32) -> Timeout {
    let protocol = selector_protocol(selector);
    if state & state::CLOSING != 0 {
        let both = state::FIN_LOCAL | state::FIN_REMOTE;
        if state & state::RESET != 0 || state & both == both {
            return Timeout::TcpClosed;
        }
        return Timeout::TcpFin;
    }
    if state & state::REPLIED == 0
        || (protocol == protocol::UDP && state & (state::STREAM | state::CUT) == 0)
    {
        return Timeout::New;
    }
    match protocol {
        protocol::TCP => Timeout::TcpEstablished,
        protocol::UDP => Timeout::Udp,
        protocol::ICMP | protocol::ICMPV6 => Timeout::Echo,
        _ => Timeout::Other,
    }
}
