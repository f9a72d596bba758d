//! The Rust side: components of the toolchain, and the two cargo programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::packages::{self, Need};
use crate::apt_root::AptRoot;
use crate::process;
use crate::workspace::Workspace;

const BPF_LINKER_VERSION: &str = "0.13.0";
const CARGO_DENY_VERSION: &str = "0.20.2";

/// The LLVM that bpf-linker is built with. It must not be older than the one in rustc (1.95 has 22).
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

const LLVM: &[Need] = &[
    Need::file(
        "/usr/lib/llvm-22/bin/llvm-config",
        "llvm-22-dev",
        "is the LLVM that bpf-linker links the BPF programs with",
    ),
    Need::file(
        "/usr/lib/llvm-22/lib/libPolly.a",
        "libpolly-22-dev",
        "is a part of LLVM that bpf-linker's build asks for",
    ),
    Need::file(
        "/usr/include/zstd.h",
        "libzstd-dev",
        "is what LLVM compresses with",
    ),
];

/// The Debian suite whose `rust-src` follows Rust's releases.
const RUST_SRC_SUITE: &str = "trixie-backports";

/// A component and the file, below the sysroot, by which we know it.
const COMPONENTS: [(&str, &str); 3] = [
    ("rust-src", "lib/rustlib/src/rust/library/core/Cargo.toml"),
    ("clippy", "bin/cargo-clippy"),
    ("rustfmt", "bin/rustfmt"),
];

/// The components that `rust-toolchain.toml` names. rustup adds them by itself on most machines.
pub(crate) fn ensure_components(workspace: &Workspace) -> anyhow::Result<()> {
    let sysroot = sysroot(workspace)?;
    let missing = missing_components(&sysroot);
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!(
        "setup: rustup component add {} (to build and check the BPF programs)",
        missing.join(" ")
    );
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add"]).args(&missing);
    let added = process::quietly(workspace, &what, rustup.current_dir(&workspace.root));
    match (added, missing.as_slice()) {
        (Ok(()), _) => Ok(()),
        (Err(error), ["rust-src"]) => {
            eprintln!("setup: rustup could not add rust-src ({error:#}); trying Debian's package");
            rust_src_from_debian(workspace, &sysroot)
        }
        (Err(error), _) => Err(error.context(format!(
            "add the components {} to the toolchain of rust-toolchain.toml",
            missing.join(", ")
        ))),
    }
}

fn missing_components(sysroot: &Path) -> Vec<&'static str> {
    let is_missing = |(_, file): &&(&str, &str)| !sysroot.join(file).exists();
    COMPONENTS
        .iter()
        .filter(is_missing)
        .map(|(name, _)| *name)
        .collect()
}

/// Debian's `rust-src` of the very same version, unpacked where rustup would have put it.
fn rust_src_from_debian(workspace: &Workspace, sysroot: &Path) -> anyhow::Result<()> {
    let version = rustc_version(workspace)?;
    let apt = AptRoot::open(workspace, RUST_SRC_SUITE)?;
    let Some(package) = apt.version_of("rust-src", &format!("{version}+"))? else {
        bail!(
            "neither rustup nor Debian's {RUST_SRC_SUITE} has rust-src {version}: unpack that release's `library` directory into {}/lib/rustlib/src/rust",
            sysroot.display()
        );
    };
    let unpacked = workspace.target.join("rust-src");
    apt.unpack(workspace, &[format!("rust-src={package}")], &unpacked)?;
    let library = unpacked.join(format!("usr/src/rustc-{version}/library"));
    let place = sysroot.join("lib/rustlib/src/rust");
    fs::create_dir_all(&place).with_context(|| format!("create {}", place.display()))?;
    process::run(
        Command::new("cp")
            .arg("-rT")
            .arg(library)
            .arg(place.join("library")),
    )?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("remove {}", unpacked.display()))
}

fn sysroot(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let answer = process::output(rustc(workspace).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(answer.trim()))
}

/// The release number alone: `1.95.0`.
fn rustc_version(workspace: &Workspace) -> anyhow::Result<String> {
    let answer = process::output(rustc(workspace).arg("--version"))?;
    answer
        .split_whitespace()
        .nth(1)
        .map(str::to_owned)
        .with_context(|| format!("find the version in rustc's answer {answer:?}"))
}

fn rustc(workspace: &Workspace) -> Command {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(&workspace.root);
    rustc
}

/// bpf-linker, and what it is built with.
pub(crate) fn ensure_bpf_linker(workspace: &Workspace) -> anyhow::Result<()> {
    if has_version("bpf-linker", BPF_LINKER_VERSION) {
        return Ok(());
    }
    packages::ensure(workspace, LLVM)?;
    let what =
        format!("setup: cargo install bpf-linker {BPF_LINKER_VERSION} (links the BPF programs)");
    let mut install = install(workspace, "bpf-linker", BPF_LINKER_VERSION);
    install
        .args(["--no-default-features", "--features", "llvm-22"])
        .env("LLVM_PREFIX", LLVM_PREFIX);
    process::quietly(workspace, &what, &mut install)?;
    check_installed("bpf-linker", BPF_LINKER_VERSION)
}

/// cargo-deny, which `lint` calls.
pub(crate) fn ensure_cargo_deny(workspace: &Workspace) -> anyhow::Result<()> {
    if has_version("cargo-deny", CARGO_DENY_VERSION) {
        return Ok(());
    }
    let what = format!(
        "setup: cargo install cargo-deny {CARGO_DENY_VERSION} (checks licenses and sources of dependencies)"
    );
    let mut install = install(workspace, "cargo-deny", CARGO_DENY_VERSION);
    process::quietly(workspace, &what, &mut install)?;
    check_installed("cargo-deny", CARGO_DENY_VERSION)
}

fn install(workspace: &Workspace, name: &str, version: &str) -> Command {
    let mut install = process::cargo(workspace);
    install.args(["install", "--locked", "--force", name, "--version", version]);
    // Only a release build of a tool: the workspace's own target directory stays as it is.
    install.env_remove("CARGO_TARGET_DIR");
    install
}

/// Whether the program in the search path works and has the pinned version.
fn has_version(program: &str, version: &str) -> bool {
    process::output(Command::new(program).arg("--version"))
        .is_ok_and(|answer| answer.split_whitespace().nth(1) == Some(version))
}

fn check_installed(program: &str, version: &str) -> anyhow::Result<()> {
    if has_version(program, version) {
        return Ok(());
    }
    bail!(
        "{program} {version} is installed but not the one in the search path: put cargo's bin directory first in PATH"
    )
}
