//! A kernel's modules that the tests need, in the order to load them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::cpio::Archive;
use super::host_program;
use crate::process;
use crate::workspace::Workspace;

/// What the tests need. A series may have one built in, or by another name; that is said once.
const MODULES: [&str; 14] = [
    "veth",
    "dummy",
    "bridge",
    "tun",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    "act_gact",
    "nf_conntrack",
    "nf_tables",
    "nft_ct",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
];

/// The file that names the modules, one a line, in the order to load them; init reads it.
const ORDER: &str = "lib/modules/order";

/// A cpio archive of the modules, beside their tree; written once for each list of modules.
pub(super) fn ensure(workspace: &Workspace, tree: &Path, release: &str) -> anyhow::Result<PathBuf> {
    let archive = tree.with_file_name("modules.cpio");
    let list = tree.with_file_name("modules.list");
    let wanted = format!("{release} {}", MODULES.join(" "));
    let is_current = archive.exists() && fs::read_to_string(&list).is_ok_and(|old| old == wanted);
    if !is_current {
        let bytes = write(workspace, tree, release)?;
        fs::write(&archive, bytes).with_context(|| format!("write {}", archive.display()))?;
        fs::write(&list, wanted).with_context(|| format!("write {}", list.display()))?;
    }
    Ok(archive)
}

fn write(workspace: &Workspace, tree: &Path, release: &str) -> anyhow::Result<Vec<u8>> {
    // modprobe looks below /lib only, where newer packages have nothing.
    if !tree.join("lib").exists() {
        symlink("usr/lib", tree.join("lib"))
            .with_context(|| format!("link lib in {}", tree.display()))?;
    }
    process::quietly(
        workspace,
        &format!("indexing the modules of {release}"),
        Command::new(host_program("depmod")?)
            .arg("-b")
            .arg(tree)
            .arg(release),
    )?;
    let mut archive = Archive::default();
    let mut order = String::new();
    let mut seen = BTreeSet::new();
    for module in MODULES {
        for path in files_of(tree, release, module)? {
            if seen.insert(path.clone()) {
                let name = add(&mut archive, &path)?;
                order.push_str(&name);
                order.push('\n');
            }
        }
    }
    archive.file(ORDER, 0o644, order.as_bytes())?;
    archive.finish()
}

/// The module's file after those it needs; none if it is built in.
fn files_of(tree: &Path, release: &str, module: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut modprobe = Command::new(host_program("modprobe")?);
    modprobe
        .arg("-d")
        .arg(tree)
        // Options and aliases of the host's own configuration are no business of this kernel.
        .args(["-C", "/dev/null", "-S", release])
        .args(["--show-depends", module]);
    match process::output(&mut modprobe) {
        Ok(answer) => Ok(paths(&answer)),
        Err(_) => {
            eprintln!("vm: {release} has no module {module}: tests that need it will say so");
            Ok(Vec::new())
        }
    }
}

/// From lines such as `insmod /path/veth.ko` and `builtin dummy`.
fn paths(answer: &str) -> Vec<PathBuf> {
    answer
        .lines()
        .filter_map(|line| line.strip_prefix("insmod "))
        .map(|path| PathBuf::from(path.trim()))
        .collect()
}

/// Puts the module in, uncompressed (busybox loads no other), and returns its file name.
fn add(archive: &mut Archive, path: &Path) -> anyhow::Result<String> {
    let name = path
        .file_name()
        .with_context(|| format!("find a file name in {}", path.display()))?
        .to_string_lossy();
    let (name, content) = match name.strip_suffix(".xz") {
        Some(plain) => {
            let mut xz = Command::new(host_program("xz")?);
            let unpacked = xz.arg("-dc").arg(path).output().context("start xz")?;
            (plain, unpacked.stdout)
        }
        None => {
            let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
            (&*name, content)
        }
    };
    archive.file(&format!("lib/modules/{name}"), 0o644, &content)?;
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_needs_no_file() {
        let answer = "builtin dummy\ninsmod /m/llc.ko.xz \ninsmod /m/bridge.ko.xz \n";
        assert_eq!(
            paths(answer),
            [
                PathBuf::from("/m/llc.ko.xz"),
                PathBuf::from("/m/bridge.ko.xz")
            ]
        );
    }
}
