//! Packages of the distribution, by what they bring rather than by their names.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::process;
use crate::workspace::Workspace;

/// Something a package brings.
pub(crate) struct Need {
    probe: Probe,
    package: &'static str,
    why: &'static str,
}

enum Probe {
    Program(&'static str),
    File(&'static str),
}

impl Need {
    /// A program in the search path. `why` completes the sentence "PROGRAM ...".
    pub(crate) const fn program(
        name: &'static str,
        package: &'static str,
        why: &'static str,
    ) -> Self {
        Self {
            probe: Probe::Program(name),
            package,
            why,
        }
    }

    /// A file or directory at a fixed path.
    pub(crate) const fn file(path: &'static str, package: &'static str, why: &'static str) -> Self {
        Self {
            probe: Probe::File(path),
            package,
            why,
        }
    }

    fn name(&self) -> &'static str {
        match self.probe {
            Probe::Program(name) | Probe::File(name) => name,
        }
    }

    fn is_met(&self) -> bool {
        match self.probe {
            Probe::Program(name) => process::find_program(name).is_some(),
            Probe::File(path) => Path::new(path).exists(),
        }
    }
}

/// Installs the packages of needs that are not met.
pub(crate) fn ensure(workspace: &Workspace, needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprint!("{}", list(&missing));
    let packages = packages_of(&missing);
    if process::find_program("apt-get").is_none() {
        bail!(
            "there is no apt-get here: install by hand what brings the above (Debian's packages: {})",
            packages.join(" ")
        );
    }
    if !process::is_root() {
        bail!(
            "installing packages needs root: run `sudo apt-get install --no-install-recommends {}`, then this task again",
            packages.join(" ")
        );
    }
    install(workspace, &packages)?;
    match missing.iter().find(|need| !need.is_met()) {
        Some(need) => bail!(
            "the package {} is installed, but {} is not there: is this Debian 12 or 13?",
            need.package,
            need.name()
        ),
        None => Ok(()),
    }
}

fn install(workspace: &Workspace, packages: &[&str]) -> anyhow::Result<()> {
    process::quietly(
        workspace,
        "setup: apt-get update",
        apt_get().args(["update", "-q"]),
    )?;
    process::quietly(
        workspace,
        &format!("setup: apt-get install {}", packages.join(" ")),
        apt_get()
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(packages),
    )
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // Another installation may be under way: wait for it rather than fail.
    command.args(["-o", "DPkg::Lock::Timeout=600"]);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn packages_of<'a>(missing: &[&'a Need]) -> Vec<&'a str> {
    let unique: BTreeSet<&str> = missing.iter().map(|need| need.package).collect();
    unique.into_iter().collect()
}

fn list(missing: &[&Need]) -> String {
    let mut text = String::new();
    for need in missing {
        let _ = writeln!(
            text,
            "setup: missing {} (it {}), from the package {}",
            need.name(),
            need.why,
            need.package
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Need = Need::program("sh", "dash", "runs scripts");
    const NOTHING: Need = Need::program("no-such-program", "nothing", "does nothing");
    const NO_FILE: Need = Need::file("/no/such/file", "nothing", "holds nothing");

    #[test]
    fn a_need_is_met_by_what_is_there_not_by_a_package_name() {
        assert!(SHELL.is_met());
        assert!(!NOTHING.is_met());
        assert!(!NO_FILE.is_met());
    }

    #[test]
    fn a_package_that_meets_two_needs_is_installed_once() {
        assert_eq!(
            packages_of(&[&NOTHING, &NO_FILE, &SHELL]),
            ["dash", "nothing"]
        );
    }

    #[test]
    fn what_is_missing_is_said_with_its_reason() {
        assert_eq!(
            list(&[&NOTHING]),
            "setup: missing no-such-program (it does nothing), from the package nothing\n"
        );
    }
}
