//! One frame of any bytes, at a node on which something happened before.

use netpol_datapath::Decision;

use crate::bytes::Bytes;
use crate::pair::Pair;
use crate::sequence::{at, node, told};

/// What happened before: connections that a frame may be a part of, or that it may quote; and
/// first fragments that it may follow.
fn before() -> Vec<(u8, Vec<u8>)> {
    use netpol_datapath::build::{packet, tcp};

    use crate::node::{V4, V6};
    use crate::sequence::about::INGRESS;

    let mut frames = Vec::new();
    for net in [&V4, &V6] {
        let out = |to| packet(net.pod, to);
        let back = |from| packet(from, net.pod);
        frames.extend([
            (0, out(net.friend).tcp(40_000, 80, tcp::SYN)),
            (
                INGRESS,
                back(net.friend).tcp(80, 40_000, tcp::SYN | tcp::ACK),
            ),
            (INGRESS, back(net.guest).tcp(40_000, 80, tcp::SYN)),
            (0, out(net.guest).udp(40_000, 53)),
            (0, out(net.near).echo_request(1)),
            (INGRESS, back(net.friend).udp(53, 53)),
            (
                0,
                out(net.friend)
                    .identification(7)
                    .fragment(0, true)
                    .payload(&[0; 8])
                    .udp(53, 53),
            ),
            (
                INGRESS,
                back(net.friend)
                    .identification(7)
                    .fragment(0, true)
                    .payload(&[0; 8])
                    .udp(53, 53),
            ),
        ]);
    }
    frames
}

/// Judges a frame: after the bytes of a node one that says where it is, one for its mark, and the
/// frame.
///
/// # Errors
///
/// The packet path and the model do not agree: how, in words.
pub fn run(input: &[u8]) -> Result<Decision, String> {
    let mut bytes = Bytes::new(input);
    let (node, room) = node(&mut bytes);
    let mut story = format!("{node:?} {room:?}\n");
    let mut pair = Pair::new(node, room);
    for (bits, frame) in before() {
        let _ = told(&mut pair, at(bits, &frame), 0, &mut story)?;
    }
    let bits = bytes.byte();
    let mark = if bytes.byte() == MARKED {
        netpol_common::answer::MARK
    } else {
        0
    };
    let frame = bytes.rest();
    let decision = told(&mut pair, at(bits, frame), mark, &mut story)
        .map_err(|words| format!("{story}{words}"))?;
    Ok(decision)
}

/// The byte that says that a frame carries the mark of our own answers.
pub(crate) const MARKED: u8 = 0xff;
