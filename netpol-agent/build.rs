//! Builds the BPF programs and leaves the object file in `OUT_DIR`, for `src/bpf/object.rs`.

use std::env;

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain};

/// The crate of the programs and those that are compiled into it: a change in any builds anew.
const SOURCES: [&str; 3] = ["netpol-ebpf", "netpol-datapath", "netpol-common"];

fn main() -> Result<()> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={root}/{source}/src");
        println!("cargo::rerun-if-changed={root}/{source}/Cargo.toml");
    }
    // The library `core` is compiled for the BPF target, which stable Rust does when told that it
    // bootstraps itself.
    // SAFETY: nothing else runs in this process yet.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    // The toolchain that runs this script, where rustup runs it (rust-toolchain.toml names it).
    let toolchain = env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "1.95.0".to_owned());
    let package = Package {
        name: "netpol-ebpf",
        root_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/../netpol-ebpf"),
        features: features(&env::var("PROFILE")?),
        ..Package::default()
    };
    aya_build::build_ebpf([package], Toolchain::Custom(&toolchain)).context(
        "cannot build the BPF programs; `cargo xtask setup` installs what that needs \
         (bpf-linker, and the rust-src component)",
    )
}

/// Debug lines of each verdict in a debug build, or where the feature `bpf-log` asks for them.
fn features(profile: &str) -> &'static [&'static str] {
    if profile == "debug" || env::var_os("CARGO_FEATURE_BPF_LOG").is_some() {
        &["log"]
    } else {
        &[]
    }
}
