//! What the virtual machine runs: a script, and the files it needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::cpio::Archive;
use super::initramfs;
use crate::process;

/// The file name of an object of BPF programs.
const BPF_OBJECT: &str = "netpol-ebpf";

/// A script, and what it finds in `/t`.
pub(super) struct Payload {
    pub(super) script: Vec<u8>,
    pub(super) files: Vec<PathBuf>,
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

    /// Adds script, files and libraries. Programs are stripped on the way, in a directory for that.
    pub(super) fn add_to(&self, archive: &mut Archive, scratch: &Path) -> anyhow::Result<()> {
        archive.program("payload", &self.script)?;
        for file in &self.files {
            let place = place(file)?;
            archive.copy(&without_debug_info(file, scratch), &place[1..])?;
            if file.is_file() {
                initramfs::add_libraries(archive, file)?;
            }
        }
        Ok(())
    }
}

/// Where the virtual machine has a file or directory.
pub(super) fn place(path: &Path) -> anyhow::Result<String> {
    let name = path
        .file_name()
        .with_context(|| format!("{} names no file: give the file itself", path.display()))?;
    Ok(format!("/t/{}", name.to_string_lossy()))
}

/// A copy without debug information: the initramfs lies in the machine's memory. Anything but a program is taken as
/// it is.
fn without_debug_info(file: &Path, scratch: &Path) -> PathBuf {
    let stripped = scratch.join("stripped");
    // The loader reads sections that `strip` may take for such information.
    if file.file_name().is_some_and(|name| name == BPF_OBJECT) {
        return file.to_owned();
    }
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
