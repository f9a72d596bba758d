use std::vec::Vec;

use super::Answer;
use crate::build::{Builder, packet, tcp};
use crate::cases::answer::{check_sums, sum};
use crate::memory::SlicePacket;

fn v4() -> Builder {
    packet([10, 0, 0, 2].into(), [203, 0, 113, 7].into())
}

fn v6() -> Builder {
    packet(
        [0xfd00, 0, 0, 0, 0, 0, 0, 2].into(),
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into(),
    )
}

fn answer(frame: &[u8]) -> Answer {
    let mut answer = Answer::default();
    assert!(answer.make(&SlicePacket::new(frame)), "{frame:02x?}");
    answer
}

/// Sums up as a device does that is told to: from `start` on, into the field at `place`.
fn fill_in(frame: &mut [u8], start: usize, place: usize) {
    let sum = !sum(&frame[start..]);
    let sum = if sum == 0 { 0xffff } else { sum };
    frame[place..place + 2].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn checksums_are_right_whether_or_not_a_device_fills_one_in() {
    for (builder, header) in [(v4 as fn() -> Builder, 34), (v6, 54)] {
        for length in [0, 1, 8, 1000] {
            let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let udp = builder().payload(&payload).udp(40_000, 53);
            let syn = builder().payload(&payload).tcp(40_000, 80, tcp::SYN);
            for (refused, place) in [(udp, header + 6), (syn, header + 16)] {
                let mut answer = answer(&refused);
                check_sums(&answer.frame(&refused)).expect("right before");
                assert!(answer.unfinished());
                assert_eq!(answer.transport() as usize, header);
                assert_eq!(answer.checksum_end() as usize, place + 2);
                let mut frame = answer.frame(&refused);
                let is_reset = place == header + 16;
                // That of TCP is right only then, as that of any segment which waits for it.
                assert_eq!(check_sums(&frame).is_ok(), !is_reset);
                fill_in(&mut frame, header, place);
                check_sums(&frame).expect("right after");
            }
        }
    }
}

#[test]
fn what_a_device_would_fill_in_somewhere_else_has_no_answer() {
    let options = v4().options(1).udp(1, 2);
    let sctp = v4().sctp(1, 2);
    let segment = v4().options(2).tcp(1, 2, tcp::SYN);
    for refused in [options, sctp, segment] {
        let mut answer = answer(&refused);
        assert!(!answer.unfinished());
    }
}

#[test]
fn zeros_follow_the_answer() {
    for frame in [v4().udp(1, 2), v4().tcp(1, 2, 0), v6().tcp(1, 2, 0)] {
        let answer = answer(&frame);
        let words = answer.length() as usize / 4;
        assert!(answer.ip()[words..].iter().all(|word| *word == 0));
    }
}

#[test]
fn every_prefix_has_an_answer_within_bounds_or_none() {
    for frame in [
        v4().options(10).udp(1, 2),
        v6().echo_request(1),
        v4().tcp(1, 2, 2),
    ] {
        for end in 0..frame.len() {
            let mut answer = Answer::default();
            if answer.make(&SlicePacket::new(&frame[..end])) {
                assert!(answer.length() <= 96);
            }
        }
    }
}
