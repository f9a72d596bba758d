//! The `service` map: the address and port that a client of a Service asks for -> the identity that
//! stands for the Service's backends there.
//!
//! A port of every node is one entry for each family, under the address zero ([`NODE_PORT_V4`],
//! [`NODE_PORT_V6`]); which addresses are a node's, the map of nodes says.

use bytemuck::{Pod, Zeroable};

use crate::assert_words;

/// Key of the `service` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct ServiceKey {
    /// The address, an IPv4 one mapped ([`crate::address::v6_words`]).
    pub words: [u32; 4],
    /// Protocol << 16 | port.
    pub port: u32,
}
assert_words!(ServiceKey, 5);

/// The address of a port of every node, for IPv4: `::ffff:0.0.0.0`.
pub const NODE_PORT_V4: [u32; 4] = [0, 0, u32::from_be(0xffff), 0];
/// The address of a port of every node, for IPv6: `::`.
pub const NODE_PORT_V6: [u32; 4] = [0; 4];

impl ServiceKey {
    /// The key of an address, a protocol and a port.
    #[must_use]
    #[inline(always)]
    pub const fn new(words: [u32; 4], protocol: u8, port: u16) -> Self {
        Self {
            words,
            port: (protocol as u32) << 16 | port as u32,
        }
    }

    /// Whether it is the key of a port of every node.
    #[must_use]
    pub fn is_node_port(&self) -> bool {
        self.words == NODE_PORT_V4 || self.words == NODE_PORT_V6
    }
}
