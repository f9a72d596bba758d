//! Every variant of the programs passes the running kernel's verifier, and what each weighs there.
//!
//! Prints rows of the table in docs/kernels.md: kernel, variant, program, instructions, bytes of
//! machine code, instructions that the verifier walked.

#[path = "packets/load.rs"]
mod load;
#[path = "load/verifier.rs"]
mod verifier;

use std::{env, fs, path::Path};

use netpol_agent::bpf::object::OBJECT;
use netpol_common::maps;
use netpol_e2e::lab::{skip, skipped_without_root};

use load::{Loaded, Sizes};

/// Names the object that was built with debug lines.
const LOG_OBJECT: &str = "NETPOL_LOG_OBJECT";

/// The verifier walks a million instructions at most; what comes near is found here first.
const MOST_WALKED: u32 = 500_000;

#[test]
fn the_programs_pass_the_verifier() {
    if skipped_without_root("the_programs_pass_the_verifier") {
        return;
    }
    weigh("plain", OBJECT, &Loaded::new(&Sizes::default()));
}

#[test]
fn the_programs_with_debug_lines_pass_the_verifier() {
    let test = "the_programs_with_debug_lines";
    if skipped_without_root(test) {
        return;
    }
    let Some(path) = env::var_os(LOG_OBJECT) else {
        skip(
            test,
            "NETPOL_LOG_OBJECT names no object: `cargo xtask test --only e2e` builds one",
        );
        return;
    };
    let object = fs::read(Path::new(&path)).expect("read the object with debug lines");
    weigh("log", &object, &Loaded::of(&object, &Sizes::default()));
}

fn weigh(variant: &str, object: &[u8], loaded: &Loaded) {
    let release = nix::sys::utsname::uname().expect("the kernel's name");
    let release = release.release().to_string_lossy().into_owned();
    for name in [maps::FROM_ENDPOINT, maps::TO_ENDPOINT, maps::CLOCK] {
        let info = loaded.program(name).info().expect("program information");
        let walked = verifier::walked(object, loaded, name);
        println!(
            "| {release} | {variant} | {name} | {} | {} | {walked} |",
            info.size_translated().unwrap_or_default() / 8,
            info.size_jitted(),
        );
        // From 5.16 on the kernel tells it of a loaded program, too.
        if let Some(told) = info.verified_instruction_count() {
            assert_eq!(walked, told, "{variant} {name}");
        }
        assert!(walked < MOST_WALKED, "{variant} {name}: {walked}");
    }
}
