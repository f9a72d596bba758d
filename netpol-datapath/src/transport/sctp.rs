//! SCTP (RFC 9260): what a packet means to the association.

use super::tcp;

/// Words of the common header (3.1), and of the first chunk's header. A packet without a chunk
/// says nothing.
pub(super) const WORDS: usize = 4;
/// The word of the verification tag.
const TAG_WORD: usize = 1;
/// The word that begins with the first chunk's type.
const CHUNK_WORD: usize = 3;

/// Chunk types (3.2).
mod chunk {
    pub(super) const INIT: u8 = 1;
    pub(super) const INIT_ACK: u8 = 2;
    pub(super) const ABORT: u8 = 6;
    pub(super) const SHUTDOWN: u8 = 7;
    pub(super) const SHUTDOWN_ACK: u8 = 8;
    pub(super) const SHUTDOWN_COMPLETE: u8 = 14;
}

/// The TCP flags that mean to a connection what the first chunk of a packet means to an
/// association. Associations are then followed as connections are.
#[inline(always)]
pub(super) const fn as_tcp_flags(words: &[u32; WORDS]) -> u8 {
    match (u32::from_be(words[CHUNK_WORD]) >> 24) as u8 {
        // 3.1: "A packet containing an INIT chunk MUST have a zero Verification Tag." Any other is
        // nobody's opening.
        chunk::INIT if words[TAG_WORD] == 0 => tcp::SYN,
        chunk::INIT => 0,
        chunk::INIT_ACK => tcp::SYN | tcp::ACK,
        chunk::SHUTDOWN | chunk::SHUTDOWN_ACK => tcp::FIN | tcp::ACK,
        chunk::ABORT | chunk::SHUTDOWN_COMPLETE => tcp::RST | tcp::ACK,
        _ => tcp::ACK,
    }
}

#[cfg(test)]
mod tests {
    use netpol_common::Direction::{Egress, Ingress};
    use netpol_common::conntrack::state::FIN_LOCAL;

    use super::as_tcp_flags;
    use crate::transport::Kind;

    fn kind(chunk: u8, tag: u32) -> Kind {
        Kind::stream(as_tcp_flags(&[0, tag, 0, (u32::from(chunk) << 24).to_be()]))
    }

    #[test]
    fn of_all_chunks_an_init_without_a_tag_opens() {
        let chunks = |is: fn(Kind) -> bool| (0..=u8::MAX).filter(move |chunk| is(kind(*chunk, 0)));
        assert!(chunks(Kind::opens).eq([1]));
        assert!(chunks(Kind::resets).eq([6, 14]));
        assert!(chunks(|kind| kind.closing(Egress) == FIN_LOCAL).eq([7, 8]));
        assert_eq!(chunks(Kind::goes_on).count(), 256 - 5);
        let tagged = kind(1, 7);
        assert!(!tagged.opens() && !tagged.goes_on() && tagged.closing(Ingress) == 0);
    }
}
