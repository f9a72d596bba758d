//! Packets from few bytes: of every kind there is, between addresses and ports that policies name.

use core::net::{IpAddr, Ipv6Addr};

use netpol_common::Direction;
use netpol_datapath::build::{self, Builder, chunk, tcp};

use crate::bytes::Bytes;
use crate::node::{V4, V6};

/// Ports that mean something to policies, or to who opened a connection, and their neighbours.
const PORTS: [u16; 12] = [
    80, 443, 53, 5060, 8080, 8095, 8096, 40_000, 40_001, 32_767, 32_768, 0,
];

const TCP_FLAGS: [u8; 12] = [
    tcp::SYN,
    tcp::SYN | tcp::ACK,
    tcp::ACK,
    tcp::PSH | tcp::ACK,
    tcp::FIN | tcp::ACK,
    tcp::RST,
    tcp::RST | tcp::ACK,
    tcp::FIN,
    tcp::SYN | tcp::FIN,
    tcp::SYN | tcp::RST,
    0,
    0xff,
];

const CHUNKS: [u8; 10] = [
    chunk::INIT,
    chunk::INIT_ACK,
    chunk::COOKIE_ECHO,
    chunk::COOKIE_ACK,
    chunk::DATA,
    chunk::SHUTDOWN,
    chunk::SHUTDOWN_ACK,
    chunk::SHUTDOWN_COMPLETE,
    chunk::ABORT,
    chunk::HEARTBEAT,
];

/// Protocols without ports, extension headers among them where they are none.
const PROTOCOLS: [u8; 8] = [47, 50, 59, 1, 58, 0, 44, 255];

/// Types of extension headers.
const EXTENSIONS: [u8; 8] = [0, 60, 43, 51, 44, 135, 253, 60];

/// A packet at a pod.
pub(crate) struct Crafted {
    pub(crate) pod: usize,
    pub(crate) direction: Direction,
    pub(crate) local_socket: bool,
    pub(crate) frame: Vec<u8>,
}

/// Who speaks with whom.
#[derive(Clone, Copy)]
struct Ends {
    pod: usize,
    direction: Direction,
    local: IpAddr,
    remote: IpAddr,
}

impl Ends {
    fn read(bytes: &mut Bytes<'_>) -> (Self, bool) {
        let bits = bytes.byte();
        let pod = usize::from(bits & 1);
        let direction = if bits & 2 == 0 {
            Direction::Egress
        } else {
            Direction::Ingress
        };
        let net = if bits & 4 == 0 { &V4 } else { &V6 };
        let remotes = [
            net.friend,
            net.guest,
            net.other,
            net.near,
            net.nearer,
            net.stranger,
            net.node,
            net.pod,
        ];
        let ends = Self {
            pod,
            direction,
            local: if pod == 0 { net.pod } else { net.friend },
            remote: remotes[usize::from(bits >> 4) % remotes.len()],
        };
        (ends, bits & 8 != 0)
    }

    const fn source_and_destination(self) -> (IpAddr, IpAddr) {
        match self.direction {
            Direction::Egress => (self.local, self.remote),
            Direction::Ingress => (self.remote, self.local),
        }
    }

    const fn turned(self) -> Self {
        Self {
            direction: self.direction.opposite(),
            ..self
        }
    }
}

/// Reads a packet of any kind.
pub(crate) fn packet(bytes: &mut Bytes<'_>) -> Crafted {
    let (ends, local_socket) = Ends::read(bytes);
    Crafted {
        pod: ends.pod,
        direction: ends.direction,
        local_socket,
        frame: frame(bytes, ends),
    }
}

/// Reads an ICMP error, and the packet that it quotes.
pub(crate) fn error(bytes: &mut Bytes<'_>) -> Crafted {
    let (ends, local_socket) = Ends::read(bytes);
    let (quoted, _) = match bytes.byte() % 4 {
        // Of the same two, which is what errors are about.
        0..=2 => (ends.turned(), false),
        _ => Ends::read(bytes),
    };
    let quote = frame(bytes, quoted);
    let quote = &quote[14..];
    let cut = usize::from(bytes.byte());
    let quote = &quote[..quote.len().min(if cut == 0 { usize::MAX } else { cut })];
    let (source, destination) = ends.source_and_destination();
    let kind = bytes.pick(&[3, 1, 11, 2, 12, 4]);
    // A router on the way may be anyone.
    let source = match (ends.direction, bytes.byte() % 2) {
        (Direction::Ingress, 0) if source.is_ipv4() => V4.stranger,
        (Direction::Ingress, 0) => V6.stranger,
        _ => source,
    };
    let builder = shaped(bytes, build::packet(source, destination));
    Crafted {
        pod: ends.pod,
        direction: ends.direction,
        local_socket,
        frame: builder.icmp_error(kind, 0, quote),
    }
}

fn frame(bytes: &mut Bytes<'_>, ends: Ends) -> Vec<u8> {
    let (mut source, mut destination) = ends.source_and_destination();
    let what = bytes.byte();
    let (local, remote) = (bytes.pick(&PORTS), bytes.pick(&PORTS));
    let (from, to) = match ends.direction {
        Direction::Egress => (local, remote),
        Direction::Ingress => (remote, local),
    };
    let detail = bytes.byte();
    if what & 0x80 != 0 && source.is_ipv6() {
        (source, destination) = on_link(detail, source, destination, ends.direction);
    }
    let payload = &[0x5a; 64][..usize::from(detail % 8) * 8];
    let builder = shaped(bytes, build::packet(source, destination)).payload(payload);
    let of = |list: &[u8]| list[usize::from(detail) % list.len()];
    match what % 16 {
        0..=5 => builder.tcp(from, to, of(&TCP_FLAGS)),
        6..=8 => builder.udp(from, to),
        9 | 10 => {
            let chunk = of(&CHUNKS);
            let tag = u32::from(chunk != chunk::INIT || detail >= 200);
            builder.sctp_chunk(from, to, tag, chunk)
        }
        11 => builder.echo_request(from.min(1)),
        12 => builder.echo_reply(to.min(1)),
        13 => builder.protocol(of(&PROTOCOLS), &[0; 8]),
        14 => {
            let hops = bytes.pick(&[255, 1, 64]);
            builder.hops(hops).icmp(128 + detail % 16, 0, 0)
        }
        _ => builder.icmp(detail % 16, 0, 0),
    }
}

/// Addresses that no router forwards.
fn on_link(
    detail: u8,
    source: IpAddr,
    destination: IpAddr,
    direction: Direction,
) -> (IpAddr, IpAddr) {
    const NEIGHBOUR: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    const OWN: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));
    const GROUP: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16));
    const NOBODY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let (local, remote) = match detail % 6 {
        0 => (OWN, NEIGHBOUR),
        1 => (OWN, GROUP),
        2 => (NOBODY, GROUP),
        3 => (NOBODY, NEIGHBOUR),
        4 => (OWN, V6.stranger),
        _ => return (source, destination),
    };
    match direction {
        Direction::Egress => (local, remote),
        Direction::Ingress => (remote, local),
    }
}

/// Options, extension headers, fragments: mostly none.
fn shaped(bytes: &mut Bytes<'_>, builder: Builder) -> Builder {
    let shape = bytes.byte();
    match shape % 16 {
        8 => builder.options(usize::from(shape >> 4) % 11),
        9 => builder.option(bytes.take(usize::from(shape >> 4))),
        10 | 11 => {
            let offset = u16::from(shape >> 6) * 4;
            let more = shape & 0x20 != 0;
            let id = u32::from(bytes.byte());
            builder.identification(id).fragment(offset, more)
        }
        12 => {
            let id = u32::from(bytes.byte() % 2);
            builder.identification(id).fragment(0, true)
        }
        13 => {
            let id = u32::from(bytes.byte() % 2);
            let offset = bytes.word() % 0x1fff;
            builder.identification(id).fragment(offset, false)
        }
        14 | 15 => {
            let mut builder = builder;
            for _ in 0..=shape >> 5 {
                let kind = bytes.pick(&EXTENSIONS);
                let units = usize::from(bytes.byte() % 4);
                let mut rest = vec![units as u8];
                rest.resize(units * 8 + 7, 0);
                if bytes.byte().is_multiple_of(4) {
                    let at = usize::from(bytes.byte()) % rest.len();
                    rest[at] = bytes.byte();
                }
                builder = builder.extension(kind, &rest);
            }
            builder
        }
        _ => builder,
    }
}
