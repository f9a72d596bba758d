//! What the virtual machine runs: a script of the user's, or the packet tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::cpio::Archive;
use super::initramfs;
use crate::build::{self, Programs};
use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// The integration tests of netpol-e2e that run on other kernels: the packet table through `BPF_PROG_TEST_RUN`, one
/// scenario with real packets over veths, and the capabilities of the manifests.
const TESTS: [&str; 3] = ["packets", "scenario", "rights"];

/// A script, and what it finds in `/t`.
pub(super) struct Payload {
    script: Vec<u8>,
    files: Vec<PathBuf>,
}

impl Payload {
    /// A script of the user's.
    pub(super) fn script(script: &Path, files: &[PathBuf]) -> anyhow::Result<Self> {
        let text = std::fs::read(script).with_context(|| format!("read {}", script.display()))?;
        if !text.starts_with(b"#!") {
            bail!(
                "{} does not say what runs it: let it start with `#!/bin/bash`",
                script.display()
            );
        }
        Ok(Self {
            script: text,
            files: files.to_vec(),
        })
    }

    /// The packet tests and the programs they run, built.
    pub(super) fn tests(workspace: &Workspace) -> anyhow::Result<Self> {
        setup::ensure(workspace, setup::BUILD)?;
        let programs = Programs::build(workspace)?;
        let mut arguments = vec!["test", "--release", "--no-run"];
        arguments.extend(build::EVERYTHING);
        for test in TESTS {
            arguments.extend(["--test", test]);
        }
        let built = build::executables(workspace, &arguments)?;
        let mut files = vec![programs.agent, programs.ctl, programs.examples];
        let mut names = Vec::new();
        for test in TESTS {
            let path = build::path_of(&built, test)?;
            names.push(file_name(path)?);
            files.push(path.to_owned());
        }
        Ok(Self {
            script: test_script(&names).into_bytes(),
            files,
        })
    }

    /// Adds script, files and libraries.
    pub(super) fn add_to(&self, archive: &mut Archive, scratch: &Path) -> anyhow::Result<()> {
        archive.program("payload", &self.script)?;
        for file in &self.files {
            let place = format!("t/{}", file_name(file)?);
            archive.copy(&without_debug_info(file, scratch), &place)?;
            if file.is_file() {
                initramfs::add_libraries(archive, file)?;
            }
        }
        Ok(())
    }
}

fn test_script(tests: &[String]) -> String {
    let mut script = format!(
        "#!/bin/bash\n\
         export {}=/t/netpol-agent {}=/t/netpolctl {}=/t/examples RUST_BACKTRACE=1\n\
         status=0\n",
        build::ENV_AGENT,
        build::ENV_CTL,
        build::ENV_EXAMPLES
    );
    for test in tests {
        script.push_str(&format!(
            "/t/{test} --test-threads=1 --show-output || status=$?\n"
        ));
    }
    script.push_str("exit $status\n");
    script
}

fn file_name(path: &Path) -> anyhow::Result<String> {
    let name = path
        .file_name()
        .with_context(|| format!("{} names no file: give the file itself", path.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

/// A copy without debug information: the initramfs lies in the machine's memory. Anything but a program is taken as
/// it is.
fn without_debug_info(file: &Path, scratch: &Path) -> PathBuf {
    let stripped = scratch.join("stripped");
    let mut strip = Command::new("strip");
    strip
        .arg("--strip-debug")
        .arg("-o")
        .arg(&stripped)
        .arg(file);
    match process::output(&mut strip) {
        Ok(_) if stripped.exists() => stripped,
        _ => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_runs_even_after_one_that_failed() {
        let script = test_script(&["packets-1".to_owned(), "scenario-2".to_owned()]);
        assert_eq!(
            script,
            "#!/bin/bash\n\
             export NETPOL_AGENT=/t/netpol-agent NETPOLCTL=/t/netpolctl NETPOL_EXAMPLES=/t/examples RUST_BACKTRACE=1\n\
             status=0\n\
             /t/packets-1 --test-threads=1 --show-output || status=$?\n\
             /t/scenario-2 --test-threads=1 --show-output || status=$?\n\
             exit $status\n"
        );
    }
}
