//! What stands between an IP header and the transport header: IPv4 options, IPv6 extension
//! headers, the place of a fragment in its whole.

use netpol_common::counter::DropReason;

use crate::Tables;

/// The largest packet, in bytes: more than the offset of a fragment can say.
const LARGEST: u32 = 0xffff;

/// Fragment offsets are in units of so many bytes.
const UNIT: u32 = 8;

/// What was found on the way to the transport header.
///
/// In one register, since it is read by functions of their own:
///
/// ```text
/// 63    48 47     32 31    30    24 23        8 7        0
/// | mark   | base   | first reason | payload   | protocol |
/// ```
/// Only a fragment has a mark, and a base: where in the frame its part of the whole begins. A later
/// one has the reason that its first one was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Chain(u64);

impl Chain {
    /// Nothing.
    pub(super) const NOTHING: Self = Self(0);

    const PAYLOAD: u32 = 8;
    const REASON: u32 = 24;
    const BASE: u32 = 32;
    const MARK: u32 = 48;

    /// A bit of [`Chain::word`]: the fragment that holds the transport header.
    pub(super) const FIRST: u32 = 1 << 31;
    const LATER: u32 = (DropReason::FirstFragmentNotSeen as u32) << Self::REASON;

    /// A power of two above every offset here, less one: what the kernel's verifier believes.
    const NEAR: usize = 0xfff;

    /// The field of a fragment: its offset in bytes, and this bit unless it is the last.
    const MORE: u16 = 1;

    /// The transport header of a protocol is at an offset of the frame.
    #[inline(always)]
    pub(super) const fn to(protocol: u8, payload: usize) -> Self {
        Self(protocol as u64 | ((payload & Self::NEAR) as u64) << Self::PAYLOAD)
    }

    /// It could not be reached.
    #[inline(always)]
    pub(super) const fn broken(reason: DropReason) -> Self {
        Self((reason as u64) << Self::REASON)
    }

    /// The same, of a fragment that begins at `base` in the frame and ends at `end`. `field` is
    /// the offset in bytes, with the lowest bit set unless it is the last fragment.
    ///
    /// RFC 8200, 4.5: "If the length of a fragment ... is not a multiple of 8 octets and the M flag
    /// of that fragment is 1, then that fragment must be discarded", and so it must if it goes
    /// "beyond 65,535 octets". RFC 791 has the same units. An empty one fills no gap.
    #[inline(always)]
    pub(super) const fn fragment(self, base: usize, field: u16, end: u32) -> Self {
        let length = end.saturating_sub(base as u32);
        let ends = length + (field & !Self::MORE) as u32;
        if length == 0
            || ends > LARGEST
            || (field & Self::MORE != 0 && !length.is_multiple_of(UNIT))
        {
            return Self::broken(DropReason::Fragment);
        }
        let offset = (field & !Self::MORE) as u32;
        let (part, mark) = if offset == 0 {
            (Self::FIRST, length)
        } else {
            (Self::LATER, offset)
        };
        let base = (base & Self::NEAR) as u64;
        Self(self.0 | part as u64 | base << Self::BASE | (mark as u64) << Self::MARK)
    }

    /// Keeps it until the end of the run, and gives what [`Chain::kept`] does.
    #[inline(always)]
    pub(super) fn keep<T: Tables>(self, tables: &T) -> Self {
        tables.keep([self.0 as u32, (self.0 >> 32) as u32]);
        Self::kept(tables)
    }

    /// The one that was kept last.
    #[inline(always)]
    pub(crate) fn kept<T: Tables>(tables: &T) -> Self {
        let [low, high] = tables.kept();
        Self(low as u64 | (high as u64) << 32)
    }

    /// Why there is no transport header to be read, if so.
    #[inline(always)]
    pub(crate) const fn obstacle(self) -> Option<DropReason> {
        match (self.word() >> Self::REASON) & 0x7f {
            0 => None,
            number => Some(reason(number)),
        }
    }

    /// The half with the bit [`Chain::FIRST`].
    #[inline(always)]
    pub(super) const fn word(self) -> u32 {
        self.0 as u32
    }

    /// The protocol at the end.
    #[inline(always)]
    pub(crate) const fn protocol(self) -> u8 {
        self.0 as u8
    }

    /// Offset in the frame of the transport header.
    #[inline(always)]
    pub(crate) const fn payload(self) -> usize {
        (self.0 >> Self::PAYLOAD) as usize & Self::NEAR
    }

    /// Where in the frame the fragment's part of the whole begins.
    #[inline(always)]
    pub(crate) const fn base(self) -> u32 {
        (self.0 >> Self::BASE) as u32 & Self::NEAR as u32
    }

    /// In bytes of the whole: where the first fragment ends, or where a later one begins.
    #[inline(always)]
    pub(crate) const fn mark(self) -> u32 {
        (self.0 >> Self::MARK) as u32
    }
}

/// The reason of a number. Every number has its own, so that nothing but the number is left of
/// this, and the verifier does not walk what follows for each by itself.
#[inline(always)]
const fn reason(number: u32) -> DropReason {
    match number {
        1 => DropReason::Truncated,
        2 => DropReason::UnknownEtherType,
        3 => DropReason::MalformedHeader,
        4 => DropReason::Fragment,
        6 => DropReason::Spoofed,
        7 => DropReason::NotForEndpoint,
        8 => DropReason::ConntrackFull,
        9 => DropReason::PolicyTooLarge,
        10 => DropReason::Inconsistent,
        11 => DropReason::UnknownEndpoint,
        12 => DropReason::TooManyAddresses,
        13 => DropReason::FirstFragmentNotSeen,
        14 => DropReason::SourceRoute,
        15 => DropReason::VlanTag,
        _ => DropReason::ExtensionHeader,
    }
}

#[cfg(test)]
mod tests {
    use netpol_common::counter::DropReason;

    use super::Chain;

    const UNSEEN: Option<DropReason> = Some(DropReason::FirstFragmentNotSeen);

    #[test]
    fn what_is_packed_comes_out_again() {
        let chain = Chain::to(17, 94);
        assert_eq!((chain.protocol(), chain.payload()), (17, 94));
        assert_eq!((chain.obstacle(), chain.word() & Chain::FIRST), (None, 0));
        let first = chain.fragment(62, 1, 70);
        assert_eq!((first.protocol(), first.payload()), (17, 94));
        assert_eq!((first.base(), first.mark()), (62, 8));
        assert!(first.obstacle().is_none() && first.word() & Chain::FIRST != 0);
        let later = chain.fragment(34, 1480 | 1, 34 + 1480);
        assert_eq!((later.mark(), later.obstacle()), (1480, UNSEEN));
        assert_eq!(later.word() & Chain::FIRST, 0);
    }

    #[test]
    fn fragments_are_of_whole_units_but_the_last_and_end_within_the_largest_packet() {
        let obstacle = |field, end| Chain::to(17, 34).fragment(34, field, end).obstacle();
        let malformed = Some(DropReason::Fragment);
        assert_eq!(obstacle(8, 34 + 7), UNSEEN);
        assert_eq!(obstacle(8 | 1, 34 + 7), malformed);
        assert_eq!(obstacle(8, 34), malformed);
        assert_eq!(obstacle(65_528, 34 + 7), UNSEEN);
        assert_eq!(obstacle(65_528, 34 + 8), malformed);
    }

    #[test]
    fn every_reason_of_a_walk_comes_out_again() {
        for reason in [
            DropReason::Truncated,
            DropReason::MalformedHeader,
            DropReason::Fragment,
            DropReason::ExtensionHeader,
            DropReason::SourceRoute,
        ] {
            assert_eq!(Chain::broken(reason).obstacle(), Some(reason));
        }
        assert_eq!(Chain::NOTHING.obstacle(), None);
        for number in 1..=15 {
            assert_eq!(super::reason(number).counter(), number);
        }
    }
}
