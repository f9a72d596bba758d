//! Kubernetes' own programs, built from the pinned Go module `netpol-e2e/kubernetes`.
//!
//! Built once into `target/kubernetes/bin`, and again when the module's files, the flags or Go itself change. What
//! `KUBEBUILDER_ASSETS` holds is not built.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;
use crate::workspace::Workspace;

/// Names a directory with programs that need not be built.
const ENV_ASSETS: &str = "KUBEBUILDER_ASSETS";
/// Tells whatever runs a cluster where the built ones are.
pub(crate) const ENV_BUILT: &str = "NETPOL_KUBERNETES";

/// The end-to-end suite: a test program, and only wanted by those who run it.
const SUITE: &str = "k8s.io/kubernetes/test/e2e";
const SUITE_PROGRAM: &str = "e2e.test";
/// DNS for Services; its module is in a directory of its name.
const DNS_PROGRAM: &str = "coredns";
const FILES: [&str; 3] = ["go.mod", "go.sum", "tools.go"];

/// The programs of a cluster.
pub(crate) struct Kubernetes {
    /// Where the built ones are.
    pub(crate) bin: PathBuf,
    module: PathBuf,
    packages: Vec<String>,
    flags: Vec<String>,
    /// What a build depends on.
    fingerprint: String,
}

impl Kubernetes {
    /// Reads the module; builds nothing.
    pub(crate) fn read(workspace: &Workspace) -> anyhow::Result<Self> {
        let module = workspace.root.join("netpol-e2e/kubernetes");
        let texts = read(&module, FILES)?;
        let version = version_of(&texts[0], "k8s.io/kubernetes")
            .context("netpol-e2e/kubernetes/go.mod requires no k8s.io/kubernetes")?;
        let flags = flags(version);
        let fingerprint = format!("{}\n{}", flags.join(" "), texts.join("\n"));
        Ok(Self {
            bin: workspace.target.join("kubernetes/bin"),
            packages: packages(&texts[2]),
            module,
            flags,
            fingerprint,
        })
    }

    /// Builds what a cluster needs and is not there.
    pub(crate) fn build(&self, workspace: &Workspace) -> anyhow::Result<()> {
        // Go puts several programs into a directory that is there, and makes none.
        fs::create_dir_all(&self.bin).with_context(|| format!("create {}", self.bin.display()))?;
        self.build_programs(workspace)?;
        self.build_dns(workspace)
    }

    fn build_programs(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let wanted: Vec<&str> = self
            .packages
            .iter()
            .map(String::as_str)
            .filter(|package| *package != SUITE && !is_asset(program_of(package)))
            .collect();
        let programs: Vec<&str> = wanted.iter().copied().map(program_of).collect();
        let Some(fingerprint) = self.stale("programs", &programs, &self.fingerprint)? else {
            return Ok(());
        };
        let mut go = self.go("build");
        go.arg("-o").arg(&self.bin).args(&wanted);
        let what = format!(
            "building {} programs of Kubernetes with Go (some 10 minutes the first time)",
            wanted.len()
        );
        process::quietly(workspace, &what, &mut go)?;
        self.settle("programs", &fingerprint)
    }

    /// Builds CoreDNS, which is a module of its own: Kubernetes pins other versions of what both use.
    fn build_dns(&self, workspace: &Workspace) -> anyhow::Result<()> {
        if is_asset(DNS_PROGRAM) {
            return Ok(());
        }
        let module = self.module.join(DNS_PROGRAM);
        let texts = read(&module, ["go.mod", "go.sum", "main.go"])?.join("\n");
        let Some(fingerprint) = self.stale(DNS_PROGRAM, &[DNS_PROGRAM], &texts)? else {
            return Ok(());
        };
        let mut go = Command::new("go");
        go.current_dir(&module).env("CGO_ENABLED", "0");
        go.args([
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            "-s -w",
            "-o",
        ]);
        go.arg(self.bin.join(DNS_PROGRAM)).arg(".");
        process::quietly(workspace, "building CoreDNS with Go", &mut go)?;
        self.settle(DNS_PROGRAM, &fingerprint)
    }

    /// Builds the end-to-end suite if it is not there, and returns its path.
    pub(crate) fn suite(&self, workspace: &Workspace) -> anyhow::Result<PathBuf> {
        if let Some(directory) = env::var_os(ENV_ASSETS)
            && is_asset(SUITE_PROGRAM)
        {
            return Ok(Path::new(&directory).join(SUITE_PROGRAM));
        }
        let program = self.bin.join(SUITE_PROGRAM);
        let Some(fingerprint) = self.stale("suite", &[SUITE_PROGRAM], &self.fingerprint)? else {
            return Ok(program);
        };
        let mut go = self.go("test");
        go.arg("-c").arg("-o").arg(&program).arg(SUITE);
        let what =
            "building the end-to-end suite of Kubernetes with Go (some 5 minutes the first time)";
        process::quietly(workspace, what, &mut go)?;
        self.settle("suite", &fingerprint)?;
        Ok(program)
    }

    /// What to note once built; `None` if all is built from what is here now.
    fn stale(
        &self,
        group: &str,
        programs: &[&str],
        built_from: &str,
    ) -> anyhow::Result<Option<String>> {
        let is_there = |program: &&str| self.bin.join(program).is_file();
        if programs.is_empty() {
            return Ok(None);
        }
        let Some(go) = process::find_program("go") else {
            bail!(
                "Kubernetes is built with Go, and there is no `go` in the search path: install Go (https://go.dev/doc/install), or name a directory that holds {} with {ENV_ASSETS}",
                programs.join(", ")
            );
        };
        let mut version = Command::new(go);
        // The module's own version of Go, which `go` fetches if it is another one.
        version.arg("version").current_dir(&self.module);
        let mut fingerprint = process::output(&mut version)?;
        let _ = write!(fingerprint, "{}\n{}", programs.join(" "), built_from);
        let noted = fs::read_to_string(self.stamp(group)).unwrap_or_default();
        let fresh = noted == fingerprint && programs.iter().all(is_there);
        Ok((!fresh).then_some(fingerprint))
    }

    fn settle(&self, group: &str, fingerprint: &str) -> anyhow::Result<()> {
        let path = self.stamp(group);
        fs::write(&path, fingerprint).with_context(|| format!("write {}", path.display()))
    }

    fn stamp(&self, group: &str) -> PathBuf {
        self.bin.with_file_name(format!("{group}.built-from"))
    }

    fn go(&self, verb: &str) -> Command {
        let mut go = Command::new("go");
        go.current_dir(&self.module)
            .env("CGO_ENABLED", "0")
            .arg(verb)
            .args(&self.flags);
        go
    }
}

fn read<const N: usize>(module: &Path, files: [&str; N]) -> anyhow::Result<Vec<String>> {
    files
        .iter()
        .map(|file| {
            let path = module.join(file);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        })
        .collect()
}

/// Whether `KUBEBUILDER_ASSETS` holds a program.
fn is_asset(program: &str) -> bool {
    env::var_os(ENV_ASSETS).is_some_and(|directory| Path::new(&directory).join(program).is_file())
}

fn program_of(package: &str) -> &str {
    package.rsplit('/').next().unwrap_or(package)
}

/// `k8s.io/kubernetes v1.35.4` in go.mod.
fn version_of<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod
        .lines()
        .find_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' '))
        .map(str::trim)
}

/// The blank imports of tools.go.
fn packages(tools: &str) -> Vec<String> {
    tools
        .lines()
        .filter_map(|line| line.trim().strip_prefix("_ \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .collect()
}

/// Small programs without paths of this machine, which say the version that they are.
fn flags(version: &str) -> Vec<String> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut set = String::from("-s -w");
    let values = [
        ("gitVersion", Some(version)),
        ("gitMajor", numbers.next()),
        ("gitMinor", numbers.next()),
    ];
    for (name, value) in values {
        let value = value.unwrap_or_default();
        let _ = write!(set, " -X k8s.io/component-base/version.{name}={value}");
    }
    ["-trimpath", "-buildvcs=false", "-ldflags", &set]
        .map(str::to_owned)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_versions_are_read_from_the_module_itself() {
        let tools = "import (\n\t_ \"k8s.io/kubernetes/cmd/kubelet\"\n\t\"fmt\"\n)\n";
        assert_eq!(packages(tools), ["k8s.io/kubernetes/cmd/kubelet"]);
        let go_mod = "require (\n\tk8s.io/kubernetes v1.35.4\n\tk8s.io/kubernetes-x v2\n)\n";
        assert_eq!(version_of(go_mod, "k8s.io/kubernetes"), Some("v1.35.4"));
        assert_eq!(program_of("k8s.io/kubernetes/cmd/kubelet"), "kubelet");
    }

    #[test]
    fn programs_say_their_version() {
        let flags = flags("v1.35.4");
        assert!(flags[3].contains("version.gitVersion=v1.35.4"));
        assert!(flags[3].ends_with("version.gitMinor=35"));
    }
}
