//! What fuzzing once found, what it begins with, and some thousand inputs of the same make in every
//! test run.

use std::fs;
use std::path::Path;

use netpol_fuzz::{one, seeds, sequence};

/// Random inputs of each kind.
const RANDOM: usize = 20_000;

fn one_packet(input: &[u8]) -> Result<(), String> {
    one::run(input).map(drop)
}

fn a_sequence(input: &[u8]) -> Result<(), String> {
    sequence::run(input).map(drop)
}

/// Runs inputs, by name, and gives how many there were.
fn all_agree(
    inputs: impl IntoIterator<Item = (String, Vec<u8>)>,
    run: fn(&[u8]) -> Result<(), String>,
) -> usize {
    let mut ran = 0;
    for (name, input) in inputs {
        if let Err(words) = run(&input) {
            panic!("{name}: {words}");
        }
        ran += 1;
    }
    ran
}

fn fixtures(of: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(of);
    let entries = fs::read_dir(&directory).expect("the fixtures are beside this crate");
    let files = entries.map(|entry| entry.expect("a file").path());
    files
        .map(|path| {
            let input = fs::read(&path).expect("a fixture can be read");
            (path.display().to_string(), input)
        })
        .collect()
}

fn numbered(inputs: Vec<Vec<u8>>) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..)
        .zip(inputs)
        .map(|(n, input)| (format!("seed {n}"), input))
}

#[test]
fn what_once_failed_does_not_fail_again() {
    assert!(all_agree(fixtures("packets"), one_packet) > 0);
    assert!(all_agree(fixtures("sequences"), a_sequence) > 0);
}

#[test]
fn the_packet_table_agrees_with_the_model() {
    let packets = all_agree(numbered(seeds::packets()), one_packet);
    let sequences = all_agree(numbered(seeds::sequences()), a_sequence);
    println!("{packets} packets, {sequences} sequences");
}

#[test]
fn random_sequences_agree_with_the_model() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut passed = 0;
    for number in 0..RANDOM {
        let length = 50 + random.next() as usize % 400;
        let input: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        match sequence::run(&input) {
            Ok(decisions) => {
                let next = netpol_datapath::Decision::Next;
                passed += decisions.iter().filter(|d| **d == next).count();
            }
            Err(words) => panic!("sequence {number}: {words}"),
        }
    }
    // Where nothing passes, nothing is tried.
    assert!(passed > RANDOM, "{passed} packets passed");
}

/// Numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 33
    }
}
