//! Echo requests, and what comes back for them.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use socket2::{Protocol, SockAddr, Socket};

use super::outcome::Outcome;

/// Types of ICMP and ICMPv6 messages (RFC 792, RFC 4443).
mod kind {
    pub(super) const V4_REPLY: u8 = 0;
    pub(super) const V4_UNREACHABLE: u8 = 3;
    pub(super) const V4_REQUEST: u8 = 8;
    pub(super) const V6_UNREACHABLE: u8 = 1;
    pub(super) const V6_REQUEST: u8 = 128;
    pub(super) const V6_REPLY: u8 = 129;
}

const PAYLOAD: &[u8] = b"netpol-lab";
const V6_HEADER: usize = 40;

/// ICMP for an IPv4 address, ICMPv6 for an IPv6 address.
pub(crate) fn protocol(to: IpAddr) -> Protocol {
    match to {
        IpAddr::V4(_) => Protocol::ICMPV4,
        IpAddr::V6(_) => Protocol::ICMPV6,
    }
}

/// Sends one echo request on a raw socket and waits for what comes back for it.
pub(crate) fn ping(socket: &Socket, to: IpAddr, timeout: Duration) -> Outcome {
    let id = fastrand::u16(..);
    let exchange = || -> io::Result<Outcome> {
        socket.send_to(&request(to, id), &SockAddr::from(SocketAddr::new(to, 0)))?;
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Outcome::TimedOut);
            }
            socket.set_read_timeout(Some(left))?;
            if let Some(outcome) = judge(&receive(socket)?, to, id) {
                return Ok(outcome);
            }
        }
    };
    exchange().unwrap_or_else(|error| Outcome::of(&error))
}

fn request(to: IpAddr, id: u16) -> Vec<u8> {
    let kind = match to {
        IpAddr::V4(_) => kind::V4_REQUEST,
        IpAddr::V6(_) => kind::V6_REQUEST,
    };
    let mut message = vec![kind, 0, 0, 0];
    message.extend(id.to_be_bytes());
    message.extend([0, 1]);
    message.extend(PAYLOAD);
    // For ICMPv6 the kernel fills in the checksum (RFC 3542, 3.1); for ICMP it is ours.
    if to.is_ipv4() {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

fn receive(mut socket: &Socket) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 2048];
    let length = socket.read(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// What a received packet says about our request; `None` if it is about another.
fn judge(packet: &[u8], to: IpAddr, id: u16) -> Option<Outcome> {
    // A raw IPv4 socket delivers the IP header too, a raw IPv6 socket does not.
    let message = match to {
        IpAddr::V4(_) => packet.get(v4_header(packet)?..)?,
        IpAddr::V6(_) => packet,
    };
    match (to.is_ipv4(), *message.first()?) {
        (true, kind::V4_REPLY) | (false, kind::V6_REPLY) => {
            (echo_id(message)? == id).then_some(Outcome::Reached)
        }
        (v4 @ true, kind::V4_UNREACHABLE) | (v4 @ false, kind::V6_UNREACHABLE) => {
            let inner = message.get(8..)?;
            let header = if v4 { v4_header(inner)? } else { V6_HEADER };
            let ours = echo_id(inner.get(header..)?)? == id;
            ours.then(|| unreachable(v4, message[1]))
        }
        _ => None,
    }
}

/// Host or network unreachable is nobody's decision; port unreachable and "prohibited" are.
fn unreachable(v4: bool, code: u8) -> Outcome {
    let no_way = if v4 {
        matches!(code, 0 | 1)
    } else {
        matches!(code, 0 | 3)
    };
    if no_way {
        Outcome::Unreachable
    } else {
        Outcome::Refused
    }
}

fn v4_header(packet: &[u8]) -> Option<usize> {
    Some(usize::from(packet.first()? & 0x0f) * 4)
}

fn echo_id(message: &[u8]) -> Option<u16> {
    let id = message.get(4..6)?;
    Some(u16::from_be_bytes([id[0], id[1]]))
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn checksum_of_the_rfc_example() {
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
    }

    #[test]
    fn only_the_own_reply_counts() {
        let mut reply = vec![0x45; 20];
        reply.extend(request(V4, 7));
        reply[20] = kind::V4_REPLY;
        assert_eq!(judge(&reply, V4, 7), Some(Outcome::Reached));
        assert_eq!(judge(&reply, V4, 8), None);
    }

    #[test]
    fn an_error_about_our_request_says_no() {
        let mut error = vec![0x45; 20];
        error.extend([kind::V4_UNREACHABLE, 3, 0, 0, 0, 0, 0, 0]);
        error.extend([0x45; 20]);
        error.extend(request(V4, 7));
        assert_eq!(judge(&error, V4, 7), Some(Outcome::Refused));
        assert_eq!(judge(&error, V4, 8), None);
        for length in 0..error.len() {
            // Cut short, it must not be taken for something else, nor panic.
            let outcome = judge(&error[..length], V4, 7);
            assert!(matches!(outcome, None | Some(Outcome::Refused)));
        }
    }
}
