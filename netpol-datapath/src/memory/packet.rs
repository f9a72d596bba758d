//! A packet in a slice.

use crate::{Packet, Stages};

/// A frame in memory.
#[derive(Clone, Copy, Debug)]
pub struct SlicePacket<'a> {
    /// The frame, Ethernet header first.
    pub bytes: &'a [u8],
    /// Whether a socket of this node sent it.
    pub local_socket: bool,
    /// Whether it has a VLAN tag outside of these bytes.
    pub tag: bool,
    /// Its mark.
    pub mark: u32,
}

impl<'a> SlicePacket<'a> {
    /// A frame that no local socket sent.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            local_socket: false,
            tag: false,
            mark: 0,
        }
    }

    /// A frame that a socket of this node sent.
    #[must_use]
    pub const fn from_local_socket(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            local_socket: true,
            tag: false,
            mark: 0,
        }
    }
}

impl Stages for SlicePacket<'_> {}

impl Packet for SlicePacket<'_> {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let bytes = self.bytes.get(offset..)?.get(..N * 4)?;
        let mut words = [0; N];
        bytemuck::bytes_of_mut(&mut words).copy_from_slice(bytes);
        Some(words)
    }

    fn copy<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        self.load(offset)
    }

    fn len(&self) -> u32 {
        // No frame is larger; the kernel counts in the same type.
        self.bytes.len() as u32
    }

    fn has_local_socket(&self) -> bool {
        self.local_socket
    }

    fn has_tag(&self) -> bool {
        self.tag
    }

    fn mark(&self) -> u32 {
        self.mark
    }
}
