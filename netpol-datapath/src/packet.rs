//! How the packet is read.

/// A packet, link-layer header first.
#[expect(clippy::len_without_is_empty, reason = "a packet is never empty")]
pub trait Packet {
    /// The `N` words of four bytes at `offset`, each as it lies in memory (in network byte order,
    /// that is), or nothing when the packet ends before the last of them.
    ///
    /// Words, since headers are drawn and aligned in words of 32 bits, and a field is cheaper to
    /// shift out of a register than to load.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u32; N]>;

    /// As [`Packet::load`], wherever the words lie: the end of a packet may be out of `load`'s reach.
    fn copy<const N: usize>(&self, offset: usize) -> Option<[u32; N]>;

    /// Makes the first `bytes` bytes loadable, as far as the packet has them, if more than the
    /// usual headers are asked for.
    #[inline(always)]
    fn reach(&self, bytes: usize) {
        let _ = bytes;
    }

    /// Bytes of the packet, the link-layer header included, whether or not they can be loaded.
    fn len(&self) -> u32;

    /// Whether a socket of this node sent the packet. A forwarded packet has none, whatever its
    /// source address was rewritten to.
    fn has_local_socket(&self) -> bool;

    /// Whether the packet has a VLAN tag outside of its bytes, where the kernel keeps the outermost.
    fn has_tag(&self) -> bool;
    /// The packet's mark, which the kernel takes off between network namespaces.
    fn mark(&self) -> u32;
}
