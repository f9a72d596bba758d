//! libFuzzer's program for single packets: `cargo xtask fuzz packets`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    |input: &[u8]| if let Err(words) = netpol_fuzz::one::run(input) {
        panic!("{words}");
    }
);
