//! Kernels: Debian's stock ones, by series.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::modules;
use crate::apt_root::AptRoot;
use crate::workspace::Workspace;

/// A series of kernels that netpol is tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// The oldest that is supported: no TCX, no bpf_loop, no fetching atomics.
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12's.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's.
    #[value(name = "6.12")]
    V6_12,
    /// The newest packaged.
    #[value(name = "7.3")]
    V7_3,
}

/// Where a series is packaged.
struct Source {
    suite: &'static str,
    series: &'static str,
    /// From 6.19 on, `linux-image` is empty and the kernel is in two packages.
    packages: &'static [&'static str],
}

const FLAVOUR: &str = "-cloud-amd64";

/// An unpacked kernel, ready to boot.
pub(super) struct Unpacked {
    /// The release, as `uname -r` will say.
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// A cpio archive of the modules and their order.
    pub(super) modules: PathBuf,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source().series.trim_end_matches('.'))
    }
}

impl Kernel {
    fn source(self) -> Source {
        const ONE: &[&str] = &["linux-image-"];
        const SPLIT: &[&str] = &["linux-binary-", "linux-modules-"];
        let (suite, series, packages) = match self {
            Self::V5_10 => ("bullseye", "5.10.", ONE),
            Self::V6_1 => ("bookworm", "6.1.", ONE),
            Self::V6_12 => ("trixie", "6.12.", ONE),
            Self::V7_3 => ("trixie-backports", "7.3.", SPLIT),
        };
        Source {
            suite,
            series,
            packages,
        }
    }

    /// Fetched and unpacked, or found from an earlier call.
    pub(super) fn ensure(
        self,
        workspace: &Workspace,
        directory: &Path,
    ) -> anyhow::Result<Unpacked> {
        let source = self.source();
        let tree = directory.join(format!("linux-{self}")).join("tree");
        if !tree.exists() {
            source.fetch(workspace, &tree)?;
        }
        let modules_directory = modules_directory(&tree)?;
        let release = release_of(&modules_directory)?;
        let image = find_image(&tree, &modules_directory, &release)?;
        let modules = modules::ensure(workspace, &tree, &release)?;
        Ok(Unpacked {
            release,
            image,
            modules,
        })
    }
}

impl Source {
    fn fetch(&self, workspace: &Workspace, tree: &Path) -> anyhow::Result<()> {
        let apt = AptRoot::open(workspace, self.suite)?;
        let first = format!("{}{}", self.packages[0], self.series);
        let names = apt.names(&first, FLAVOUR)?;
        let Some(newest) = names.iter().max_by_key(|name| version_of(name)) else {
            bail!(
                "Debian's {} has no package {first}*{FLAVOUR} any more: correct xtask/src/vm/kernel.rs",
                self.suite
            );
        };
        let release = &newest[self.packages[0].len()..];
        let packages: Vec<String> = self
            .packages
            .iter()
            .map(|start| format!("{start}{release}"))
            .collect();
        apt.unpack(workspace, &packages, tree)
    }
}

/// The numbers of a package's name, to compare by: 6.12.100 is newer than 6.12.90.
fn version_of(name: &str) -> Vec<u64> {
    name.trim_end_matches(FLAVOUR)
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// Newer packages install below `/usr`.
fn modules_directory(tree: &Path) -> anyhow::Result<PathBuf> {
    ["lib/modules", "usr/lib/modules"]
        .map(|path| tree.join(path))
        .into_iter()
        .find(|path| path.is_dir())
        .with_context(|| damaged(tree, "has no modules"))
}

fn release_of(modules: &Path) -> anyhow::Result<String> {
    let mut entries = fs::read_dir(modules)?;
    let first = entries
        .next()
        .with_context(|| damaged(modules, "is empty"))??;
    Ok(first.file_name().to_string_lossy().into_owned())
}

fn find_image(tree: &Path, modules: &Path, release: &str) -> anyhow::Result<PathBuf> {
    [
        tree.join(format!("boot/vmlinuz-{release}")),
        modules.join(release).join("vmlinuz"),
    ]
    .into_iter()
    .find(|path| path.is_file())
    .with_context(|| damaged(tree, "has no kernel image"))
}

fn damaged(path: &Path, how: &str) -> String {
    format!(
        "{} {how}: remove it, and the next call unpacks it again",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        let mut names = [
            "linux-image-6.12.100+deb13-cloud-amd64",
            "linux-image-6.12.90+deb13.1-cloud-amd64",
            "linux-image-6.12.90+deb13-cloud-amd64",
        ];
        names.sort_by_key(|name| version_of(name));
        assert_eq!(
            names,
            [
                "linux-image-6.12.90+deb13-cloud-amd64",
                "linux-image-6.12.90+deb13.1-cloud-amd64",
                "linux-image-6.12.100+deb13-cloud-amd64",
            ]
        );
    }
}
