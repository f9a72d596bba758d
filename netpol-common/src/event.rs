//! The `events` ring buffer: denies and new connections.

use bytemuck::{Pod, Zeroable};

use crate::assert_words;

/// A record of the ring buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Event {
    /// Host interface index of the endpoint.
    pub endpoint: u32,
    /// [`crate::Direction`] of the packet.
    pub direction: u32,
    /// [`ALLOWED`], [`DENIED`] or [`REJECTED`].
    pub verdict: u32,
    /// The counter the verdict was counted under: a rule, a default deny, a drop reason.
    pub counter: u32,
    /// IP protocol number; zero when the packet could not be read so far.
    pub protocol: u32,
    /// Remote port << 16 | local port, as in [`crate::conntrack::Key4::ports`] (so an echo has its
    /// identifier here); zero for protocols without ports.
    pub ports: u32,
    /// Bytes of the packet, link-layer header included.
    pub length: u32,
    /// 4 or 6; zero when the packet could not be read so far.
    pub family: u32,
    /// The endpoint's address; an IPv4 address is in the first word.
    pub local: [u32; 4],
    /// The peer's address; an IPv4 address is in the first word.
    pub remote: [u32; 4],
}
assert_words!(Event, 16);

/// [`Event::verdict`]: a new connection was allowed.
pub const ALLOWED: u32 = 1;
/// [`Event::verdict`]: a packet was dropped.
pub const DENIED: u32 = 2;
/// [`Event::verdict`]: a packet was refused, and its sender is told so.
pub const REJECTED: u32 = 3;
