//! Frames for tests and for offline evaluation.
//!
//! ```
//! use netpol_datapath::build::{self, tcp};
//!
//! let from = "10.0.0.1".parse().unwrap();
//! let to = "10.0.0.2".parse().unwrap();
//! let frame = build::packet(from, to).tcp(40_000, 80, tcp::SYN);
//! assert_eq!(frame.len(), 14 + 20 + 20);
//! ```
//!
//! Both addresses must be of one family. Checksums are left zero: nothing here reads them.

use core::net::IpAddr;
use std::vec;
use std::vec::Vec;

use netpol_common::protocol;

/// Flags of a TCP header.
pub mod tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment field is significant.
    pub const ACK: u8 = 0x10;
}

/// Types of SCTP chunks (RFC 9260, 3.2).
pub mod chunk {
    /// User data.
    pub const DATA: u8 = 0;
    /// Opens an association.
    pub const INIT: u8 = 1;
    /// Answers an INIT.
    pub const INIT_ACK: u8 = 2;
    /// Is the other side there?
    pub const HEARTBEAT: u8 = 4;
    /// Ends an association at once.
    pub const ABORT: u8 = 6;
    /// Ends an association in good order.
    pub const SHUTDOWN: u8 = 7;
    /// Answers a SHUTDOWN.
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Answers an INIT ACK.
    pub const COOKIE_ECHO: u8 = 10;
    /// Answers a COOKIE ECHO.
    pub const COOKIE_ACK: u8 = 11;
    /// Answers a SHUTDOWN ACK.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// An IP packet without its payload.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    source: IpAddr,
    destination: IpAddr,
    hops: u8,
    options: Vec<u8>,
    fragment: u16,
    identification: u32,
    extensions: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
}

/// Starts a packet.
///
/// # Panics
///
/// The addresses are of different families.
pub fn packet(source: IpAddr, destination: IpAddr) -> Builder {
    assert_eq!(source.is_ipv4(), destination.is_ipv4(), "one family");
    Builder {
        source,
        destination,
        hops: 64,
        options: Vec::new(),
        fragment: 0,
        identification: 0,
        extensions: Vec::new(),
        payload: Vec::new(),
    }
}

/// A frame of any Ethernet type.
#[must_use]
pub fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An ARP request (RFC 826).
#[must_use]
pub fn arp() -> Vec<u8> {
    let mut payload = vec![0, 1, 8, 0, 6, 4, 0, 1];
    payload.extend([0; 20]);
    ethernet(ARP, &payload)
}

impl Builder {
    /// Time to live, or hop limit; 64 otherwise.
    pub const fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// IPv4 options, in words of four bytes (at most 10), each a "no operation".
    pub fn options(self, words: usize) -> Self {
        self.option(&vec![1; words * 4])
    }

    /// IPv4 options, byte by byte; filled up to whole words with "end of options".
    pub fn option(mut self, bytes: &[u8]) -> Self {
        self.options.extend(bytes);
        let whole = self.options.len().next_multiple_of(4);
        self.options.resize(whole, 0);
        self
    }

    /// What tells fragments of one packet from another's, for [`Builder::fragment`] after it; of
    /// IPv4 the last two bytes. Zero otherwise.
    pub const fn identification(mut self, identification: u32) -> Self {
        self.identification = identification;
        self
    }

    /// A fragment: offset in units of eight bytes, and whether more follow. Of IPv6 an extension
    /// header, at this place among them.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        if self.source.is_ipv4() {
            self.fragment = offset | u16::from(more) << 13;
            return self;
        }
        let mut rest = vec![0];
        rest.extend((offset << 3 | u16::from(more)).to_be_bytes());
        rest.extend(self.identification.to_be_bytes());
        self.extension(44, &rest)
    }

    /// An IPv6 extension header of a type, after those before: its bytes from the length on.
    pub fn extension(mut self, kind: u8, rest: &[u8]) -> Self {
        self.extensions.push((kind, rest.to_vec()));
        self
    }

    /// Data after the transport header.
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }

    /// TCP, with [`tcp`] flags.
    #[must_use]
    pub fn tcp(self, source: u16, destination: u16, flags: u8) -> Vec<u8> {
        let mut header = ports(source, destination);
        header.extend([0; 8]);
        // Data offset: five words.
        header.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        self.protocol(protocol::TCP, &header)
    }

    /// UDP.
    #[must_use]
    pub fn udp(self, source: u16, destination: u16) -> Vec<u8> {
        let mut header = ports(source, destination);
        let length = 8 + self.payload.len() as u16;
        header.extend(length.to_be_bytes());
        header.extend([0; 2]);
        self.protocol(protocol::UDP, &header)
    }

    /// SCTP's common header, and an INIT chunk's.
    #[must_use]
    pub fn sctp(self, source: u16, destination: u16) -> Vec<u8> {
        self.sctp_chunk(source, destination, 0, chunk::INIT)
    }

    /// SCTP's common header, with a verification tag, and a [`chunk`]'s.
    #[must_use]
    pub fn sctp_chunk(self, source: u16, destination: u16, tag: u32, chunk: u8) -> Vec<u8> {
        let mut header = ports(source, destination);
        header.extend(tag.to_be_bytes());
        header.extend([0; 4]);
        header.extend([chunk, 0, 0, 4]);
        self.protocol(protocol::SCTP, &header)
    }

    /// An ICMP or ICMPv6 error, by the packet's family, about an IP packet or the start of one.
    #[must_use]
    pub fn icmp_error(mut self, kind: u8, code: u8, quote: &[u8]) -> Vec<u8> {
        self.payload = quote.to_vec();
        self.icmp(kind, code, 0)
    }

    /// An echo request of the packet's family.
    #[must_use]
    pub fn echo_request(self, identifier: u16) -> Vec<u8> {
        let kind = if self.source.is_ipv4() { 8 } else { 128 };
        self.icmp(kind, 0, identifier)
    }

    /// An echo reply of the packet's family.
    #[must_use]
    pub fn echo_reply(self, identifier: u16) -> Vec<u8> {
        let kind = if self.source.is_ipv4() { 0 } else { 129 };
        self.icmp(kind, 0, identifier)
    }

    /// An ICMP or ICMPv6 message, by the packet's family.
    #[must_use]
    pub fn icmp(self, kind: u8, code: u8, identifier: u16) -> Vec<u8> {
        let protocol = if self.source.is_ipv4() {
            protocol::ICMP
        } else {
            protocol::ICMPV6
        };
        let [high, low] = identifier.to_be_bytes();
        self.protocol(protocol, &[kind, code, 0, 0, high, low, 0, 1])
    }

    /// Any protocol, with a header of its own before the payload.
    #[must_use]
    pub fn protocol(self, protocol: u8, header: &[u8]) -> Vec<u8> {
        let mut body = header.to_vec();
        body.extend(&self.payload);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let words = 5 + self.options.len() / 4;
                let length = (words * 4 + body.len()) as u16;
                let [length_high, length_low] = length.to_be_bytes();
                let [fragment_high, fragment_low] = self.fragment.to_be_bytes();
                let mut packet = vec![4 << 4 | words as u8, 0, length_high, length_low];
                packet.extend((self.identification as u16).to_be_bytes());
                packet.extend([fragment_high, fragment_low, self.hops, protocol, 0, 0]);
                packet.extend(source.octets());
                packet.extend(destination.octets());
                packet.extend(&self.options);
                packet.extend(body);
                ethernet(IPV4, &packet)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut next = protocol;
                for (kind, rest) in self.extensions.iter().rev() {
                    body = [&[next][..], rest, &body].concat();
                    next = *kind;
                }
                let mut packet = vec![6 << 4, 0, 0, 0];
                packet.extend((body.len() as u16).to_be_bytes());
                packet.extend([next, self.hops]);
                packet.extend(source.octets());
                packet.extend(destination.octets());
                packet.extend(body);
                ethernet(IPV6, &packet)
            }
            _ => unreachable!("`packet` has compared the families"),
        }
    }
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::{Builder, packet, tcp};

    fn v4() -> Builder {
        packet(IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]))
    }

    #[test]
    fn lengths_in_the_headers_are_those_of_the_frame() {
        let frame = v4().options(2).payload(&[7; 5]).tcp(1, 2, tcp::SYN);
        assert_eq!(frame.len(), 14 + 28 + 20 + 5);
        assert_eq!(frame[14], 0x47);
        assert_eq!(frame[16..18], 53_u16.to_be_bytes());
        let addresses = (IpAddr::from([1_u16; 8]), IpAddr::from([2_u16; 8]));
        let frame = packet(addresses.0, addresses.1).payload(&[7; 5]).udp(1, 2);
        assert_eq!(frame.len(), 14 + 40 + 8 + 5);
        assert_eq!(frame[18..20], 13_u16.to_be_bytes());
        assert_eq!(frame[58..60], 13_u16.to_be_bytes());
    }

    #[test]
    fn extension_headers_are_chained() {
        let addresses = (IpAddr::from([1_u16; 8]), IpAddr::from([2_u16; 8]));
        let frame = packet(addresses.0, addresses.1)
            .extension(60, &[0; 7])
            .identification(7)
            .fragment(3, true)
            .udp(1, 2);
        assert_eq!(frame.len(), 14 + 40 + 8 + 8 + 8);
        assert_eq!(frame[18..21], [0, 24, 60]);
        assert_eq!(frame[54..62], [44, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(frame[62..70], [17, 0, 0, 25, 0, 0, 0, 7]);
    }

    #[test]
    fn fragments_carry_offset_and_flag() {
        let frame = v4().identification(7).fragment(3, true).udp(1, 2);
        assert_eq!(frame[18..22], [0, 7, 0x20, 3]);
    }
}
