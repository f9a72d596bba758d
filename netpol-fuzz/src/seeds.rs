//! Inputs to begin with: the packet table, and a few sequences of what it does not have.

use netpol_common::Direction;
use netpol_datapath::cases::{self, Case, PacketStep, Step};

use crate::sequence::{NODE_BYTES, WAITS, about, step};

/// A policy that lets some pass and not others, as the packet table's does.
const POLICY: [u8; NODE_BYTES] = [0, 0, 0x0d, 0x3d, 0x0d, 0x3d, 0, 0x0d, 0x3d, 0x0d, 0x3d];

/// Inputs of [`crate::one`]: every frame of the packet table, no two the same.
#[must_use]
pub fn packets() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for case in cases::all() {
        for step in &case.steps {
            let Step::Packet(packet) = step else { continue };
            let seed = [&POLICY[..], &[bits(packet), 0], &packet.frame].concat();
            if packet.frame.len() < 512 && !seeds.contains(&seed) {
                seeds.push(seed);
            }
        }
    }
    seeds
}

/// Inputs of [`crate::sequence`]: every case of the packet table.
#[must_use]
pub fn sequences() -> Vec<Vec<u8>> {
    cases::all().iter().map(sequence).collect()
}

fn sequence(case: &Case) -> Vec<u8> {
    let mut seed = POLICY.to_vec();
    for happened in &case.steps {
        match happened {
            Step::Packet(packet) => {
                let length = packet.frame.len().min(2047) as u16;
                seed.extend([step::FRAME, bits(packet)]);
                seed.extend(length.to_be_bytes());
                seed.extend(&packet.frame[..usize::from(length)]);
            }
            Step::Wait(seconds) => {
                let longer = WAITS.iter().position(|wait| wait >= seconds);
                seed.extend([step::WAIT, longer.unwrap_or(WAITS.len() - 1) as u8, 0]);
            }
            Step::Switch(_) => {
                seed.extend([step::CHANGE, 0]);
                seed.extend(&POLICY[1..6]);
            }
            Step::ForgetNodes => seed.push(step::NODE),
            Step::Tracked { .. } => {}
        }
    }
    seed
}

fn bits(packet: &PacketStep) -> u8 {
    let ingress = match packet.direction {
        Direction::Egress => 0,
        Direction::Ingress => about::INGRESS,
    };
    let socket = if packet.local_socket {
        about::LOCAL_SOCKET
    } else {
        0
    };
    ingress | socket
}
