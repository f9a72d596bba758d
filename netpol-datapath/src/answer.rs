//! The answer to a refused packet, made of it.
//!
//! ```text
//! TCP right after a plain IP header    RST (RFC 9293, 3.5.2 and 3.10.7.1)
//! everything else                      port unreachable of ICMP or ICMPv6, quoting the IP header
//!                                      and eight bytes (RFC 792, RFC 4443)
//! ```
//!
//! The answer takes the packet's place in its socket buffer, and what the kernel knows of that
//! buffer stays. A packet of a local socket may not have its checksum yet: the buffer says from
//! where on to sum up, and where to put the sum, and a device may do so to the answer. So the
//! transport header of the answer starts where the packet's started, and [`Answer::unfinished`]
//! makes an answer whose checksums are right, whether or not that is done to it:
//!
//! - TCP: the place is the same field's. It holds what it must before it is filled in, the sum of
//!   the pseudo header.
//! - ICMP for UDP: the place is in a field of the ICMP header that means nothing. It is zero, and
//!   the sum over a message with a right checksum is zero too.
//! - ICMPv6 for UDP: as ICMP, but for the pseudo header, which that sum leaves out. Its sum is
//!   there beforehand, and the ICMPv6 checksum counts it.

use netpol_common::{Direction, protocol};

use crate::Packet;
use crate::family::{ETHERNET_LENGTH, Header, V4, V6};
use crate::read::{self, ethertype};
use crate::transport::tcp;

/// Words of the longest answer: an IPv4 header, an ICMP header, an IPv4 header with all its options
/// and two words; or an IPv6 header, an ICMPv6 header, an IPv6 header and two words.
const WORDS: usize = 24;
const _: () = assert!(WORDS == 5 + 2 + 15 + QUOTED);
const _: () = assert!(WORDS == 10 + 2 + 10 + QUOTED);

/// Words that are quoted of what follows the refused packet's IP header: RFC 792, "the first 64
/// bits of the original datagram's data", which hold the ports, or the identifier of an echo.
const QUOTED: usize = 2;

/// Hops of an answer: what RFC 1700 recommended, and everybody uses.
const HOPS: u32 = 64;

/// An answer, in words as they lie in memory. All zeros is an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Answer {
    link: [u32; 3],
    ip: [u32; WORDS],
    /// Bytes of the IP packet.
    length: u32,
    /// Where the refused packet's transport header starts in the frame.
    transport: u32,
    form: Form,
}

/// What is done for a packet whose checksum is still to be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Form {
    /// The checksum's place is not known, or would be in what the answer quotes.
    Unknown = 0,
    Reset4,
    Reset6,
    Udp4,
    Udp6,
}

impl Default for Answer {
    #[inline(always)]
    fn default() -> Self {
        Self {
            link: [0; 3],
            ip: [0; WORDS],
            length: 0,
            transport: 0,
            form: Form::Unknown,
        }
    }
}

impl Answer {
    /// Makes the answer to a packet for which the decision is to reject it. False when it can no
    /// longer be read.
    #[inline(always)]
    pub fn make<P: Packet>(&mut self, packet: &P) -> bool {
        *self = Self::default();
        let (Some([a]), Some([b]), Some([c]), Some([d])) = (
            packet.load(6),
            packet.load(10),
            packet.load(0),
            packet.load(2),
        ) else {
            return false;
        };
        // Six bytes of source, then six of destination, in three words.
        let middle = (u32::from_be(b) & 0xffff_0000) | u32::from_be(c) >> 16;
        self.link = [a, middle.to_be(), d];
        match ethertype(packet) {
            Ok(ethertype::IPV4) => self.make_v4(packet),
            Ok(ethertype::IPV6) => self.make_v6(packet),
            _ => false,
        }
    }

    #[inline(always)]
    fn make_v4<P: Packet>(&mut self, packet: &P) -> bool {
        const HEADER: usize = 5;
        let Some(header) = read::near::<V4, P>(packet) else {
            return false;
        };
        let Ok((source, destination)) = read::sides::<V4, P>(packet, Direction::Egress) else {
            return false;
        };
        self.transport = header.payload() as u32;
        let plain = header.payload() == ETHERNET_LENGTH + HEADER * 4;
        let (protocol, length) = if plain && header.protocol == protocol::TCP {
            let Some(reset) = reset(packet, &header) else {
                return false;
            };
            self.form = Form::Reset4;
            self.ip[HEADER..HEADER + tcp::WORDS].copy_from_slice(&reset);
            (protocol::TCP, tcp::WORDS * 4)
        } else {
            if plain && header.protocol == protocol::UDP {
                self.form = Form::Udp4;
            }
            // Destination unreachable, port unreachable (RFC 792).
            self.ip[HEADER] = (3_u32 << 24 | 3 << 16).to_be();
            let mut quoted = 0;
            let mut word = 0;
            while word < 15 + QUOTED {
                let end = ETHERNET_LENGTH + word * 4 + 4;
                let in_quote = end <= header.payload() + QUOTED * 4 && end as u32 <= header.end;
                if in_quote && let Some([loaded]) = packet.load(end - 4) {
                    self.ip[HEADER + 2 + word] = loaded;
                    quoted += 4;
                }
                word += 1;
            }
            (protocol::ICMP, 8 + quoted)
        };
        let length = HEADER * 4 + length;
        self.length = length as u32;
        // "Don't fragment", so that no identification is needed (RFC 6864).
        self.ip[0] = (0x4500_0000 | length as u32).to_be();
        self.ip[1] = 0x4000_u32.to_be();
        self.ip[2] = (HOPS << 24 | u32::from(protocol) << 16).to_be();
        self.ip[3] = destination;
        self.ip[4] = source;
        let checksum = !folded(sum(&self.ip[..HEADER]));
        self.ip[2] |= u32::from(checksum).to_be();
        match self.form {
            Form::Reset4 => self.put_high(HEADER + 4, !folded(self.sum_v4() + self.pseudo_v4())),
            _ => self.put_low(HEADER, !folded(self.sum_v4())),
        }
        true
    }

    #[inline(always)]
    fn make_v6<P: Packet>(&mut self, packet: &P) -> bool {
        const HEADER: usize = 10;
        let Some(header) = read::near::<V6, P>(packet) else {
            return false;
        };
        let Ok((source, destination)) = read::sides::<V6, P>(packet, Direction::Egress) else {
            return false;
        };
        self.transport = header.payload() as u32;
        if header.payload() != ETHERNET_LENGTH + HEADER * 4 {
            return false;
        }
        let (protocol, length) = if header.protocol == protocol::TCP {
            let Some(reset) = reset(packet, &header) else {
                return false;
            };
            self.form = Form::Reset6;
            self.ip[HEADER..HEADER + tcp::WORDS].copy_from_slice(&reset);
            (protocol::TCP, tcp::WORDS * 4)
        } else {
            if header.protocol == protocol::UDP {
                self.form = Form::Udp6;
            }
            // Destination unreachable, port unreachable (RFC 4443, 3.1).
            self.ip[HEADER] = (1_u32 << 24 | 4 << 16).to_be();
            let mut quoted = 0;
            let mut word = 0;
            while word < HEADER + QUOTED {
                let end = ETHERNET_LENGTH + word * 4 + 4;
                if end as u32 <= header.end
                    && let Some([loaded]) = packet.load(end - 4)
                {
                    self.ip[HEADER + 2 + word] = loaded;
                    quoted += 4;
                }
                word += 1;
            }
            (protocol::ICMPV6, 8 + quoted)
        };
        self.length = (HEADER * 4 + length) as u32;
        self.ip[0] = (6_u32 << 28).to_be();
        self.ip[1] = ((length as u32) << 16 | u32::from(protocol) << 8 | HOPS).to_be();
        self.ip[2..6].copy_from_slice(&destination);
        self.ip[6..10].copy_from_slice(&source);
        let checksum = !folded(self.sum_v6() + self.pseudo_v6());
        match self.form {
            Form::Reset6 => self.put_high(HEADER + 4, checksum),
            _ => self.put_low(HEADER, checksum),
        }
        true
    }

    /// Makes the answer one to a packet whose checksum is still to be filled in, by a device or
    /// nobody. False when it cannot be.
    #[inline(always)]
    #[must_use]
    pub fn unfinished(&mut self) -> bool {
        match self.form {
            Form::Reset4 => {
                self.ip[9] &= 0xffff_u32.to_be();
                self.put_high(9, folded(self.pseudo_v4()));
            }
            Form::Reset6 => {
                self.ip[14] &= 0xffff_u32.to_be();
                self.put_high(14, folded(self.pseudo_v6()));
            }
            Form::Udp4 => {}
            Form::Udp6 => {
                self.put_low(11, folded(self.pseudo_v6()));
                self.ip[10] &= 0xffff_0000_u32.to_be();
                self.put_low(10, !folded(self.sum_v6() + self.pseudo_v6()));
            }
            Form::Unknown => return false,
        }
        true
    }

    /// The frame of the answer to a packet in a slice.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn frame(&self, refused: &[u8]) -> std::vec::Vec<u8> {
        let mut frame = bytemuck::cast_slice(&self.link).to_vec();
        frame.extend(&refused[12..ETHERNET_LENGTH]);
        let ip: &[u8] = bytemuck::cast_slice(&self.ip);
        frame.extend(&ip[..self.length as usize]);
        frame
    }

    /// The first words of the frame: both Ethernet addresses.
    #[must_use]
    #[inline(always)]
    pub const fn link(&self) -> &[u32; 3] {
        &self.link
    }

    /// What comes from offset 14 of the frame on; zeros after the end of the answer.
    #[must_use]
    #[inline(always)]
    pub const fn ip(&self) -> &[u32; WORDS] {
        &self.ip
    }

    /// Bytes of the IP packet.
    #[must_use]
    #[inline(always)]
    pub const fn length(&self) -> u32 {
        self.length
    }

    /// Where the refused packet's transport header starts in the frame.
    #[must_use]
    #[inline(always)]
    pub const fn transport(&self) -> u32 {
        self.transport
    }

    /// Where the refused packet's checksum ends in the frame, if it is one that a device fills in.
    #[must_use]
    #[inline(always)]
    pub const fn checksum_end(&self) -> u32 {
        self.transport
            + match self.form {
                Form::Reset4 | Form::Reset6 => 18,
                Form::Udp4 | Form::Udp6 => 8,
                Form::Unknown => 0,
            }
    }

    /// The words after the plain IPv4 header, zeros included.
    #[inline(always)]
    fn sum_v4(&self) -> u32 {
        sum(&self.ip[5..])
    }

    #[inline(always)]
    fn sum_v6(&self) -> u32 {
        sum(&self.ip[10..])
    }

    /// RFC 9293, 3.1: addresses, protocol and length.
    #[inline(always)]
    fn pseudo_v4(&self) -> u32 {
        sum(&self.ip[3..5]) + u32::from(protocol::TCP) + self.length - 20
    }

    /// RFC 8200, 8.1.
    #[inline(always)]
    fn pseudo_v6(&self) -> u32 {
        let next = (u32::from_be(self.ip[1]) >> 8) & 0xff;
        sum(&self.ip[2..10]) + next + self.length - 40
    }

    /// Writes the first half of a word, which is zero there.
    #[inline(always)]
    fn put_high(&mut self, word: usize, half: u16) {
        self.ip[word] |= (u32::from(half) << 16).to_be();
    }

    /// Writes the second half of a word, which is zero there.
    #[inline(always)]
    fn put_low(&mut self, word: usize, half: u16) {
        self.ip[word] |= u32::from(half).to_be();
    }
}

/// The RST that answers a segment.
///
/// RFC 9293, 3.5.2: "If the incoming segment has the ACK bit set, the reset takes its sequence
/// number from the ACK field of the segment; otherwise, the reset has sequence number zero and the
/// ACK field is set to the sum of the sequence number and segment length of the incoming segment."
#[inline(always)]
fn reset<P: Packet>(packet: &P, header: &Header) -> Option<[u32; tcp::WORDS]> {
    let segment: [u32; tcp::WORDS] = packet.load(header.payload())?;
    let words = segment.map(u32::from_be);
    let [ports, sequence, acknowledged, control, _] = words;
    let flags = (control >> 16) as u8;
    let (sequence, acknowledged, flags) = if flags & tcp::ACK != 0 {
        (acknowledged, 0, tcp::RST)
    } else {
        let payload = header.end - header.payload() as u32;
        let data = payload.saturating_sub((control >> 28) * 4);
        // SYN and FIN take a number each (RFC 9293, 3.4).
        let length = data + u32::from(flags & tcp::SYN != 0) + u32::from(flags & tcp::FIN != 0);
        (0, sequence.wrapping_add(length), tcp::RST | tcp::ACK)
    };
    let control = (tcp::WORDS as u32) << 28 | u32::from(flags) << 16;
    let answer = [ports.rotate_left(16), sequence, acknowledged, control, 0];
    Some(answer.map(u32::to_be))
}

/// The sum of the halves of some words, not yet folded.
#[inline(always)]
fn sum(words: &[u32]) -> u32 {
    let mut sum = 0;
    let mut index = 0;
    while index < words.len() {
        let word = u32::from_be(words[index]);
        sum += (word >> 16) + (word & 0xffff);
        index += 1;
    }
    sum
}

/// RFC 1071: a sum in ones' complement.
#[inline(always)]
const fn folded(sum: u32) -> u16 {
    let once = (sum >> 16) + (sum & 0xffff);
    ((once >> 16) + (once & 0xffff)) as u16
}

#[cfg(all(test, feature = "cases"))]
mod tests;
