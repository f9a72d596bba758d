//! libFuzzer's program for sequences of packets: `cargo xtask fuzz sequences`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    |input: &[u8]| if let Err(words) = netpol_fuzz::sequence::run(input) {
        panic!("{words}");
    }
);
