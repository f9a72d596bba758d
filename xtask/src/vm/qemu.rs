//! QEMU, recent enough: 7.2 (Debian 12's own) crashed one boot of 6.12 in seven under emulation.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use super::host_program;
use crate::apt_root::AptRoot;
use crate::process;
use crate::workspace::Workspace;

const LEAST_VERSION: u32 = 10;
/// Where a Debian 12 gets it from; its libraries are those that Debian 12's own package brings.
const SUITE: &str = "bookworm-backports";
const PACKAGES: [&str; 3] = ["qemu-system-x86", "qemu-system-common", "qemu-system-data"];
const PROGRAM: &str = "qemu-system-x86_64";

/// A QEMU to run, and where it finds its firmware.
pub(super) struct Qemu {
    program: PathBuf,
    firmware: Vec<PathBuf>,
}

impl Qemu {
    /// QEMU, ended by the kernel if this task dies: a virtual machine never outlives it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program);
        for directory in &self.firmware {
            command.arg("-L").arg(directory);
        }
        command
    }
}

/// The system's, where it is recent; otherwise one unpacked beside the system.
pub(super) fn ensure(workspace: &Workspace, directory: &Path) -> anyhow::Result<Qemu> {
    let system = host_program(PROGRAM)?;
    if is_recent(&system) {
        return Ok(Qemu {
            program: system,
            firmware: Vec::new(),
        });
    }
    let unpacked = directory.join("qemu");
    if !unpacked.exists() {
        let apt = AptRoot::open(workspace, SUITE)?;
        let packages = PACKAGES.map(|name| format!("{name}/{SUITE}"));
        apt.unpack(workspace, &packages, &unpacked)?;
    }
    let program = unpacked.join("usr/bin").join(PROGRAM);
    if !is_recent(&program) {
        bail!(
            "neither the system's QEMU nor {} of Debian's {SUITE} works as version {LEAST_VERSION} or later: install such a QEMU and put it first in PATH",
            program.display()
        );
    }
    let firmware = vec![
        unpacked.join("usr/share/qemu"),
        "/usr/share/seabios".into(),
        "/usr/share/qemu".into(),
    ];
    Ok(Qemu { program, firmware })
}

fn is_recent(program: &Path) -> bool {
    process::output(Command::new(program).arg("--version"))
        .ok()
        .and_then(|answer| major_version(&answer))
        .is_some_and(|version| version >= LEAST_VERSION)
}

/// From `QEMU emulator version 10.0.2 (Debian ...)`.
fn major_version(answer: &str) -> Option<u32> {
    let (_, version) = answer.split_once("version ")?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_qemus_answer() {
        let answer = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright";
        assert_eq!(major_version(answer), Some(10));
        assert_eq!(major_version("something else"), None);
    }
}
