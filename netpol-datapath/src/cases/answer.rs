//! Whether an answer is one to its packet: read byte by byte, and summed up as RFC 1071 says, by
//! code that shares nothing with what makes answers.

use std::format;
use std::string::String;
use std::vec::Vec;

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What is read of an IP packet.
struct Ip<'a> {
    v6: bool,
    source: &'a [u8],
    destination: &'a [u8],
    protocol: u8,
    header: usize,
    payload: &'a [u8],
}

fn ip(frame: &[u8]) -> Ip<'_> {
    let packet = &frame[14..];
    let v6 = packet[0] >> 4 == 6;
    let word = |at: usize| usize::from(packet[at]) << 8 | usize::from(packet[at + 1]);
    let (header, end, protocol, addresses) = if v6 {
        (
            40,
            40 + word(4),
            packet[6],
            (&packet[8..24], &packet[24..40]),
        )
    } else {
        let header = usize::from(packet[0] & 15) * 4;
        (
            header,
            word(2),
            packet[9],
            (&packet[12..16], &packet[16..20]),
        )
    };
    Ip {
        v6,
        source: addresses.0,
        destination: addresses.1,
        protocol,
        header,
        payload: &packet[header..end],
    }
}

/// The ones' complement sum of some bytes: all ones when they hold their own checksum.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let halves = bytes.chunks(2).map(|half| {
        let low = half.get(1).copied().unwrap_or(0);
        u32::from(half[0]) << 8 | u32::from(low)
    });
    let mut sum: u32 = halves.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// What stands before the transport header when it is summed up, if anything.
fn pseudo(ip: &Ip<'_>) -> Vec<u8> {
    if !ip.v6 && ip.protocol == ICMP {
        return Vec::new();
    }
    let length = ip.payload.len() as u32;
    let mut bytes = [ip.source, ip.destination].concat();
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0, 0, ip.protocol]);
    bytes
}

/// Whether the checksums of an answer are right.
pub(crate) fn check_sums(answer: &[u8]) -> Result<(), String> {
    let answer_ip = ip(answer);
    if !answer_ip.v6 && sum(&answer[14..34]) != 0xffff {
        return Err(format!("the IP header's checksum is wrong: {answer:02x?}"));
    }
    let summed = [pseudo(&answer_ip).as_slice(), answer_ip.payload].concat();
    if sum(&summed) != 0xffff {
        return Err(format!("the checksum is wrong: {answer:02x?}"));
    }
    Ok(())
}

/// Whether an answer is right.
pub(super) fn check(refused: &[u8], answer: &[u8]) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {answer:02x?} to {refused:02x?}"));
    if answer[..6] != refused[6..12] || answer[6..12] != refused[..6] {
        return wrong("the Ethernet addresses are not exchanged");
    }
    if answer[12..14] != refused[12..14] {
        return wrong("the Ethernet type is another");
    }
    let (asked, answered) = (ip(refused), ip(answer));
    if answered.source != asked.destination || answered.destination != asked.source {
        return wrong("the IP addresses are not exchanged");
    }
    if answered.header + answered.payload.len() + 14 != answer.len() {
        return wrong("the length is not the frame's");
    }
    check_sums(answer)?;
    let plain = asked.v6 || asked.header == 20;
    if asked.protocol == TCP && plain {
        return match reset(&asked, &answered) {
            true => Ok(()),
            false => wrong("no RST to the segment"),
        };
    }
    let (protocol, kind) = if asked.v6 {
        (ICMPV6, [1, 4])
    } else {
        (ICMP, [3, 3])
    };
    if answered.protocol != protocol || answered.payload[..2] != kind {
        return wrong("no port unreachable");
    }
    let quoted = (asked.header + asked.payload.len()).min(asked.header + 8) & !3;
    if answered.payload[4..8] != [0; 4] || answered.payload[8..] != refused[14..14 + quoted] {
        return wrong("the packet is not quoted");
    }
    Ok(())
}

fn reset(asked: &Ip<'_>, answered: &Ip<'_>) -> bool {
    let number = |bytes: &[u8], at: usize| {
        let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        u32::from_be_bytes(four)
    };
    let (segment, rst) = (asked.payload, answered.payload);
    let flags = segment[13];
    let expected = if flags & 0x10 != 0 {
        (number(segment, 8), 0, 0x04)
    } else {
        let data = segment.len() - usize::from(segment[12] >> 4) * 4;
        let length = data as u32 + u32::from(flags >> 1 & 1) + u32::from(flags & 1);
        (0, number(segment, 4).wrapping_add(length), 0x14)
    };
    answered.protocol == TCP
        && rst.len() == 20
        && rst[..2] == segment[2..4]
        && rst[2..4] == segment[..2]
        && (number(rst, 4), number(rst, 8), rst[13]) == expected
        && rst[12] == 5 << 4
}
