//! Debian packages of another release, beside the system.
//!
//! A private apt root has its own sources list, lists and cache below the target directory, so the machine's sources
//! and installed packages stay as they are. Mirror and keyring are the machine's own; apt checks the signatures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};

use crate::process;
use crate::workspace::Workspace;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// How long package lists are taken for current.
const LISTS_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// One suite (`bullseye`, `trixie-backports`) of Debian's archive.
pub(crate) struct AptRoot {
    suite: &'static str,
    directory: PathBuf,
}

impl AptRoot {
    /// Reads the suite's package lists, unless an earlier call of the last day has: a mirror drops what a newer
    /// version replaces.
    pub(crate) fn open(workspace: &Workspace, suite: &'static str) -> anyhow::Result<Self> {
        if process::find_program("apt-get").is_none() {
            bail!(
                "packages of Debian {suite} are fetched with apt-get, which is not here: run this task on Debian, or in a Debian container"
            );
        }
        let root = Self {
            suite,
            directory: workspace.target.join("apt").join(suite),
        };
        let ready = root.directory.join("ready");
        let is_fresh = |read: SystemTime| read.elapsed().is_ok_and(|age| age < LISTS_HOLD);
        if !fs::metadata(&ready)
            .and_then(|ready| ready.modified())
            .is_ok_and(is_fresh)
        {
            root.write_configuration()?;
            let what = format!("reading Debian's package lists of {suite}");
            let mut update = root.apt("apt-get");
            process::quietly(workspace, &what, update.args(["update", "-q"]))?;
            fs::write(&ready, "").with_context(|| format!("write {}", ready.display()))?;
        }
        Ok(root)
    }

    fn write_configuration(&self) -> anyhow::Result<()> {
        for directory in ["lists/partial", "cache/archives/partial", "state"] {
            let path = self.directory.join(directory);
            fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        }
        fs::write(self.directory.join("state/status"), "")?;
        let uri = mirror()?;
        let source = format!("deb [signed-by={KEYRING}] {uri} {} main\n", self.suite);
        fs::write(self.directory.join("sources.list"), source)?;
        Ok(())
    }

    /// An apt program that sees this root only.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (option, value) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State", "state"),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "state/status"),
            ("Dir::Cache", "cache"),
        ] {
            let path = self.directory.join(value);
            command.arg("-o");
            command.arg(format!("{option}={}", path.display()));
        }
        command.args(["-o", "Dir::Etc::sourceparts=/dev/null"]);
        command.args(["-o", "Dir::Etc::preferences=/dev/null"]);
        command.args(["-o", "Dir::Etc::preferencesparts=/dev/null"]);
        command.args(["-o", "APT::Sandbox::User=root"]);
        command.args(["-o", "Acquire::Languages=none"]);
        command.args([
            "-o",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ]);
        command
    }

    /// Names of packages that start and end so.
    pub(crate) fn names(&self, start: &str, end: &str) -> anyhow::Result<Vec<String>> {
        let answer = process::output(self.apt("apt-cache").args(["pkgnames", start]))?;
        Ok(answer
            .lines()
            .filter(|name| name.ends_with(end))
            .map(str::to_owned)
            .collect())
    }

    /// The newest version of a package among those that start so.
    pub(crate) fn version_of(&self, package: &str, start: &str) -> anyhow::Result<Option<String>> {
        let answer = process::output(self.apt("apt-cache").args(["madison", package]))?;
        Ok(versions(&answer)
            .find(|version| version.starts_with(start))
            .map(str::to_owned))
    }

    /// Downloads packages (`NAME` or `NAME=VERSION`) and unpacks them into a directory, which appears when it is
    /// complete. What was there is replaced.
    pub(crate) fn unpack(
        &self,
        workspace: &Workspace,
        packages: &[String],
        into: &Path,
    ) -> anyhow::Result<()> {
        let what = format!("fetching {} of {}", packages.join(", "), self.suite);
        let partial = into.with_file_name("partial");
        let archives = partial.join("archives");
        for path in [into, &partial] {
            if path.exists() {
                fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
        fs::create_dir_all(&archives).with_context(|| format!("create {}", archives.display()))?;
        let mut download = self.apt("apt-get");
        download.args(["download", "-q"]).args(packages);
        process::quietly(workspace, &what, download.current_dir(&archives))?;
        for archive in fs::read_dir(&archives)? {
            let mut unpack = Command::new("dpkg-deb");
            process::run(unpack.arg("-x").arg(archive?.path()).arg(&partial))?;
        }
        fs::remove_dir_all(&archives)?;
        fs::rename(&partial, into).with_context(|| format!("put {} in place", into.display()))
    }
}

/// The versions in the answer of `apt-cache madison`, newest first: `NAME | VERSION | SOURCE`.
fn versions(answer: &str) -> impl Iterator<Item = &str> {
    answer
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim)
}

/// Where this machine gets Debian from.
fn mirror() -> anyhow::Result<String> {
    let format = "$(RELEASE) $(REPO_URI)";
    let targets =
        process::output(Command::new("apt-get").args(["indextargets", "--format", format]))?;
    if !Path::new(KEYRING).exists() {
        bail!(
            "{KEYRING} is missing, so Debian's packages cannot be verified: install debian-archive-keyring"
        );
    }
    match debian_mirror(&targets) {
        Some(uri) => Ok(uri.to_owned()),
        None => bail!(
            "apt knows no Debian mirror here, and the packages come from one: add Debian's `main` to the apt sources, or run this task in a Debian container"
        ),
    }
}

/// The mirror among lines of `RELEASE URI`. The security archive lacks other releases' packages.
fn debian_mirror(targets: &str) -> Option<&str> {
    const RELEASES: [&str; 4] = ["bookworm", "trixie", "forky", "sid"];
    targets
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(release, _)| RELEASES.contains(release))
        .map(|(_, uri)| uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_of_the_release_itself() {
        let targets = "bookworm-security http://mirror.example/security/\n\
                       bookworm-updates http://mirror.example/updates/\n\
                       bookworm http://mirror.example/debian/\n";
        assert_eq!(
            debian_mirror(targets),
            Some("http://mirror.example/debian/")
        );
    }

    #[test]
    fn another_distribution_has_no_debian_mirror() {
        assert_eq!(debian_mirror("noble http://mirror.example/other/\n"), None);
    }

    #[test]
    fn versions_are_read_from_the_table() {
        let answer = " rust-src | 1.96.1+dfsg1-2 | suite/main amd64 Packages\n \
                      rust-src | 1.95.0+dfsg1-2 | suite/main amd64 Packages\n";
        let found: Vec<&str> = versions(answer).collect();
        assert_eq!(found, ["1.96.1+dfsg1-2", "1.95.0+dfsg1-2"]);
    }
}
