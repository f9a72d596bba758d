//! The user space of the virtual machine: busybox, a few programs of the host, and our init.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::cpio::Archive;
use super::host_program;
use super::payload::Payload;
use crate::process;

/// Programs taken from the host; busybox has the rest.
const PROGRAMS: [&str; 5] = ["bash", "ip", "tc", "bpftool", "nft"];
const BUSYBOX: &str = "/bin/busybox";

const INIT: &str = include_str!("init.sh");

/// Directories that init mounts something on, or that programs expect.
const DIRECTORIES: [&str; 11] = [
    "dev",
    "etc",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "t",
    "tmp",
    "var",
    "lib/modules",
];

/// Everything but modules: what all kernels have in common.
pub(super) fn with(payload: &Payload, scratch: &Path) -> anyhow::Result<Vec<u8>> {
    let mut archive = base()?;
    payload.add_to(&mut archive, scratch)?;
    archive.finish()
}

/// Everything but modules and payload.
fn base() -> anyhow::Result<Archive> {
    let mut archive = Archive::default();
    for directory in DIRECTORIES {
        archive.directory(directory)?;
    }
    // One place for programs and libraries, whatever /usr the host has.
    archive.link("usr", ".")?;
    archive.link("var/run", "/run")?;
    archive.program("init", INIT.as_bytes())?;
    archive.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    archive.file("etc/hosts", 0o644, b"127.0.0.1 localhost\n::1 localhost\n")?;
    for name in PROGRAMS {
        let path = host_program(name)?;
        archive.copy(&path, &format!("bin/{name}"))?;
        add_libraries(&mut archive, &path)?;
    }
    // busybox's own sh would take its own `ip` for the real one.
    archive.link("bin/sh", "bash")?;
    add_busybox(&mut archive)?;
    Ok(archive)
}

/// busybox under each of its names that no real program has.
fn add_busybox(archive: &mut Archive) -> anyhow::Result<()> {
    archive.copy(Path::new(BUSYBOX), "bin/busybox")?;
    let applets = process::output(Command::new(BUSYBOX).arg("--list"))?;
    for applet in applets.lines() {
        let path = format!("bin/{applet}");
        if !archive.contains(&path) {
            archive.link(&path, "busybox")?;
        }
    }
    Ok(())
}

/// The shared libraries a program needs, at the paths it looks for them. A static program, or a script, has none.
pub(super) fn add_libraries(archive: &mut Archive, program: &Path) -> anyhow::Result<()> {
    let Ok(answer) = process::output(Command::new("ldd").arg(program)) else {
        return Ok(());
    };
    for library in libraries(&answer) {
        let place = library.trim_start_matches("/usr").trim_start_matches('/');
        if !archive.contains(place) {
            archive
                .copy(Path::new(library), place)
                .with_context(|| format!("take a library of {}", program.display()))?;
        }
    }
    Ok(())
}

/// The paths in the answer of `ldd`: `libc.so.6 => /lib/libc.so.6 (0x...)`, `/lib64/ld-linux.so.2 (0x...)`.
fn libraries(answer: &str) -> impl Iterator<Item = &str> {
    answer
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_with_the_loader_and_without_the_vdso() {
        let answer = "\tlinux-vdso.so.1 (0x7f)\n\
                      \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        let found: Vec<&str> = libraries(answer).collect();
        assert_eq!(
            found,
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
    }
}
