//! Frames, read byte by byte.
//!
//! From `docs/design/packets.md` and the RFCs that it names.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netpol_common::counter::DropReason;
use netpol_common::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};

/// What a frame is.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Arp,
    Ip(Box<Packet>),
}

/// An IP packet.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// Whether the transport header follows the IP header at once.
    pub(crate) plain: bool,
    pub(crate) body: Result<Body, DropReason>,
}

/// What is behind the IP header and all that follows it.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Whole(Transport),
    /// A first fragment, and where it ends in the whole.
    First {
        transport: Transport,
        end: usize,
        id: u32,
    },
    /// A later fragment, and where it begins.
    Later {
        begin: usize,
        id: u32,
    },
}

/// A transport header. Of a ping, the identifier stands on the side of who answers.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) kind: Kind,
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP; SCTP by what the chunk would be in TCP.
    Stream(Flags),
    Datagram,
    EchoRequest,
    EchoReply,
    /// An ICMP error, and the packet that it quotes.
    Error(Result<Box<Quote>, DropReason>),
    /// An ICMP message that is nothing of these.
    Message,
    /// What keeps the link going.
    OfLink,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
}

/// The start of a quoted packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quote {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
}

fn be16(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])
}

/// Reads a frame; `tag` is a VLAN tag beside it.
pub(crate) fn frame(bytes: &[u8], tag: bool) -> Result<Frame, DropReason> {
    if bytes.len() < 14 {
        return Err(DropReason::Truncated);
    }
    if tag {
        return Err(DropReason::VlanTag);
    }
    match be16(bytes, 12) {
        0x0800 => Ok(Frame::Ip(Box::new(v4(&bytes[14..])?))),
        0x86dd => Ok(Frame::Ip(Box::new(v6(&bytes[14..])?))),
        0x0806 => Ok(Frame::Arp),
        0x8100 | 0x88a8 => Err(DropReason::VlanTag),
        _ => Err(DropReason::UnknownEtherType),
    }
}

fn v4(ip: &[u8]) -> Result<Packet, DropReason> {
    if ip.len() < 20 {
        return Err(DropReason::Truncated);
    }
    let total = match be16(ip, 2) {
        0 if ip.len() > 0xffff => ip.len(),
        declared => declared,
    };
    let header = usize::from(ip[0] & 15) * 4;
    if ip[0] >> 4 != 4 || header < 20 || total < header {
        return Err(DropReason::MalformedHeader);
    }
    if ip.len() < total {
        return Err(DropReason::Truncated);
    }
    let address = |at: usize| {
        let octets: [u8; 4] = core::array::from_fn(|n| ip[at + n]);
        IpAddr::V4(Ipv4Addr::from(octets))
    };
    let field = be16(ip, 6);
    let (offset, more) = ((field & 0x1fff) * 8, field & 0x2000 != 0);
    let mut packet = Packet {
        source: address(12),
        destination: address(16),
        protocol: ip[9],
        plain: header == 20 && offset == 0 && !more,
        body: Err(DropReason::Truncated),
    };
    packet.body = options(&ip[20..header]).and_then(|()| {
        let upper = Upper {
            bytes: &ip[header..total],
            protocol: ip[9],
            hops: ip[8],
            behind: Behind::Nothing,
            quotable: true,
            v6: false,
        };
        let part = Part {
            offset,
            more,
            length: total - header,
            id: be16(ip, 4) as u32,
        };
        upper.body(&packet, (offset > 0 || more).then_some(part))
    });
    Ok(packet)
}

/// IPv4 options (RFC 791, 3.1).
fn options(mut options: &[u8]) -> Result<(), DropReason> {
    while let Some(&kind) = options.first() {
        let length = match kind {
            0 => return Ok(()),
            1 => 1,
            131 | 137 => return Err(DropReason::SourceRoute),
            _ => match options.get(1) {
                Some(&length) if length >= 2 => usize::from(length),
                _ => return Err(DropReason::MalformedHeader),
            },
        };
        if length > options.len() {
            return Err(DropReason::MalformedHeader);
        }
        options = &options[length..];
    }
    Ok(())
}

fn v6(ip: &[u8]) -> Result<Packet, DropReason> {
    if ip.len() < 40 {
        return Err(DropReason::Truncated);
    }
    if ip[0] >> 4 != 6 {
        return Err(DropReason::MalformedHeader);
    }
    let total = match be16(ip, 4) {
        0 if ip.len() > 0xffff => ip.len(),
        declared => 40 + declared,
    };
    if ip.len() < total {
        return Err(DropReason::Truncated);
    }
    let address = |at: usize| {
        let octets: [u8; 16] = core::array::from_fn(|n| ip[at + n]);
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let mut packet = Packet {
        source: address(8),
        destination: address(24),
        protocol: ip[6],
        plain: [TCP, UDP, SCTP, ICMPV6].contains(&ip[6]),
        body: Err(DropReason::Truncated),
    };
    packet.body = chain(ip[6], &ip[40..total]).and_then(|end| {
        packet.protocol = end.protocol;
        let fragment = end.part.is_some();
        let upper = Upper {
            bytes: end.rest,
            protocol: end.protocol,
            hops: ip[7],
            behind: match end.headers {
                0 => Behind::Nothing,
                _ if fragment => Behind::Fragment,
                _ => Behind::Others,
            },
            quotable: end.headers == 0 || end.headers == 1 && end.has_fragment_header,
            v6: true,
        };
        upper.body(&packet, end.part)
    });
    Ok(packet)
}

/// The end of a chain of extension headers.
struct End<'a> {
    protocol: u8,
    rest: &'a [u8],
    headers: usize,
    has_fragment_header: bool,
    part: Option<Part>,
}

/// Follows extension headers (RFC 8200, 4), as far as ADR 26 says.
fn chain(first: u8, bytes: &[u8]) -> Result<End<'_>, DropReason> {
    let mut end = End {
        protocol: first,
        rest: bytes,
        headers: 0,
        has_fragment_header: false,
        part: None,
    };
    let mut overrun = false;
    loop {
        match end.protocol {
            0 if end.headers > 0 => return Err(DropReason::ExtensionHeader),
            135 | 139 | 140 | 253 | 254 => return Err(DropReason::ExtensionHeader),
            0 | 43 | 44 | 51 | 60 => {}
            // A header that says it is longer than the packet.
            _ if overrun && end.part.is_some() => return Err(DropReason::Fragment),
            _ if overrun => return Err(DropReason::Truncated),
            _ => return Ok(end),
        }
        let rest = end.rest;
        if rest.len() < 8 {
            return Err(DropReason::Truncated);
        }
        let length = match end.protocol {
            44 => 8,
            51 => (usize::from(rest[1]) + 2) * 4,
            _ => (usize::from(rest[1]) + 1) * 8,
        };
        match end.protocol {
            43 if rest[2] == 0 || rest[3] != 0 => return Err(DropReason::SourceRoute),
            44 if end.has_fragment_header => return Err(DropReason::ExtensionHeader),
            _ => {}
        }
        end.headers += 1;
        if end.protocol == 44 {
            end.has_fragment_header = true;
            let field = be16(rest, 2);
            let part = Part {
                offset: field & 0xfff8,
                more: field & 1 != 0,
                length: rest.len() - 8,
                id: (be16(rest, 4) << 16 | be16(rest, 6)) as u32,
            };
            if part.offset > 0 {
                end.protocol = rest[0];
                end.rest = &rest[8..];
                end.part = Some(part);
                return Ok(end);
            }
            // All of it: no fragment (RFC 6946).
            end.part = part.more.then_some(part);
        }
        if end.headers > 6 || bytes.len() - rest.len() + length > 256 {
            return Err(DropReason::ExtensionHeader);
        }
        overrun = length > rest.len();
        end.protocol = rest[0];
        end.rest = rest.get(length..).unwrap_or_default();
    }
}

/// The place of a fragment in its whole.
#[derive(Clone, Copy)]
struct Part {
    offset: usize,
    more: bool,
    length: usize,
    id: u32,
}

impl Part {
    fn check(self) -> Result<(), DropReason> {
        let odd = self.more && !self.length.is_multiple_of(8);
        if self.length == 0 || odd || self.offset + self.length > 0xffff {
            return Err(DropReason::Fragment);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    Others,
    Fragment,
}

/// What follows the last header before the transport's.
struct Upper<'a> {
    bytes: &'a [u8],
    protocol: u8,
    hops: u8,
    behind: Behind,
    /// Whether an ICMP error's quote is followed here.
    quotable: bool,
    v6: bool,
}

impl Upper<'_> {
    fn body(&self, packet: &Packet, part: Option<Part>) -> Result<Body, DropReason> {
        let Some(part) = part else {
            return self.transport(packet, false).map(Body::Whole);
        };
        part.check()?;
        if part.offset > 0 {
            return Ok(Body::Later {
                begin: part.offset,
                id: part.id,
            });
        }
        match self.transport(packet, true) {
            Ok(transport) => Ok(Body::First {
                transport,
                end: part.length,
                id: part.id,
            }),
            Err(_) => Err(DropReason::Fragment),
        }
    }

    fn transport(&self, packet: &Packet, first: bool) -> Result<Transport, DropReason> {
        let bytes = self.bytes;
        let need = match self.protocol {
            TCP => 20,
            UDP => 8,
            SCTP => 16,
            ICMP if !self.v6 => 8,
            ICMPV6 if self.v6 => 8,
            _ => 0,
        };
        if bytes.len() < need {
            return Err(DropReason::Truncated);
        }
        let with = |kind| Transport {
            source_port: be16(bytes, 0) as u16,
            destination_port: be16(bytes, 2) as u16,
            kind,
        };
        Ok(match self.protocol {
            TCP => with(Kind::Stream(Flags {
                fin: bytes[13] & 1 != 0,
                syn: bytes[13] & 2 != 0,
                rst: bytes[13] & 4 != 0,
                ack: bytes[13] & 16 != 0,
            })),
            UDP => with(Kind::Datagram),
            SCTP => with(Kind::Stream(chunk(bytes))),
            _ if need == 0 => Transport {
                source_port: 0,
                destination_port: 0,
                kind: Kind::Datagram,
            },
            _ => return self.icmp(packet, first),
        })
    }

    fn icmp(&self, packet: &Packet, first: bool) -> Result<Transport, DropReason> {
        let bytes = self.bytes;
        if let Some(echo) = echo(bytes, self.v6) {
            return Ok(echo);
        }
        let (kind, code) = (bytes[0], bytes[1]);
        let neighbour = (133..=137).contains(&kind) && code == 0 && self.hops == 255;
        let listener = matches!(kind, 130..=132 | 143)
            && self.hops == 1
            && is_link_local(packet.source)
            && packet.destination.is_multicast();
        let error = if self.v6 {
            matches!(kind, 1..=4)
        } else {
            matches!(kind, 3 | 4 | 11 | 12)
        };
        let kind = match kind {
            // No error is so long that it needs fragments (docs/design/packets.md).
            _ if error && first => return Err(DropReason::Fragment),
            5 if !self.v6 => return Err(DropReason::IcmpRedirect),
            _ if self.v6 && neighbour && self.behind == Behind::Nothing => Kind::OfLink,
            _ if self.v6 && listener && !first => Kind::OfLink,
            _ if error => Kind::Error(self.quote()),
            _ => Kind::Message,
        };
        Ok(Transport {
            source_port: 0,
            destination_port: 0,
            kind,
        })
    }

    fn quote(&self) -> Result<Box<Quote>, DropReason> {
        if !self.quotable {
            return Err(DropReason::QuoteMalformed);
        }
        let quoted = &self.bytes[8..];
        let malformed = Err(DropReason::QuoteMalformed);
        let least = if self.v6 { 40 } else { 20 };
        if quoted.len() < least || quoted[0] >> 4 != if self.v6 { 6 } else { 4 } {
            return malformed;
        }
        let header = if self.v6 {
            40
        } else {
            usize::from(quoted[0] & 15) * 4
        };
        let later = !self.v6 && be16(quoted, 6) & 0x1fff != 0;
        if header < 20 || later {
            return malformed;
        }
        let address = |at: usize| -> IpAddr {
            if self.v6 {
                let octets: [u8; 16] = core::array::from_fn(|n| quoted[at + n]);
                octets.into()
            } else {
                let octets: [u8; 4] = core::array::from_fn(|n| quoted[at + n]);
                octets.into()
            }
        };
        let mut quote = Quote {
            source: address(if self.v6 { 8 } else { 12 }),
            destination: address(if self.v6 { 24 } else { 16 }),
            protocol: quoted[if self.v6 { 6 } else { 9 }],
            source_port: 0,
            destination_port: 0,
        };
        let icmp = quote.protocol == if self.v6 { ICMPV6 } else { ICMP };
        if !icmp && ![TCP, UDP, SCTP].contains(&quote.protocol) {
            return Ok(Box::new(quote));
        }
        let Some(rest) = quoted.get(header..).filter(|rest| rest.len() >= 8) else {
            return malformed;
        };
        let ports = if icmp {
            let echo = echo(rest, self.v6).ok_or(DropReason::QuoteUnknown)?;
            (echo.source_port, echo.destination_port)
        } else {
            (be16(rest, 0) as u16, be16(rest, 2) as u16)
        };
        (quote.source_port, quote.destination_port) = ports;
        Ok(Box::new(quote))
    }
}

/// The chunk of an SCTP packet, in TCP's terms (ADR 28).
fn chunk(bytes: &[u8]) -> Flags {
    let mut flags = Flags {
        ack: true,
        ..Flags::default()
    };
    match bytes[12] {
        1 => {
            flags.ack = false;
            flags.syn = bytes[4..8] == [0; 4];
        }
        2 => flags.syn = true,
        7 | 8 => flags.fin = true,
        6 | 14 => flags.rst = true,
        _ => {}
    }
    flags
}

/// A ping, with its identifier on the side of who answers.
fn echo(bytes: &[u8], v6: bool) -> Option<Transport> {
    let identifier = be16(bytes, 4) as u16;
    let (request, reply) = if v6 { (128, 129) } else { (8, 0) };
    let kind = bytes[0];
    let (source_port, destination_port, kind) = if kind == request {
        (0, identifier, Kind::EchoRequest)
    } else if kind == reply {
        (identifier, 0, Kind::EchoReply)
    } else {
        return None;
    };
    Some(Transport {
        source_port,
        destination_port,
        kind,
    })
}

/// A link-local address, or the unspecified one.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_unspecified(),
    }
}
