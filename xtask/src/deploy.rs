//! `deploy`: the plain manifests of `deploy/`, rendered from the chart.
//!
//! ```text
//! deploy/helm/netpol --helm template--> deploy/*.yaml     deploy/rendered.sha256: the digest of both sides
//! ```
//! The chart is the source; what is rendered is checked in, so that `kubectl apply -k deploy` needs no Helm. A changed
//! chart, or a manifest edited by hand, no longer has the digest, which a lint tells in no time; Helm itself takes
//! minutes to build.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::Subcommand;
use sha2::{Digest, Sha256};

use crate::build;
use crate::process;
use crate::workspace::Workspace;

const EXAMPLES: &str = "\
Examples:
  cargo xtask deploy render    after a change of the chart
  cargo xtask deploy check     whether that was done (a lint calls this)";

/// The manifests of `deploy/`: render them from the chart, or check that they are.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Render them; builds Helm the first time, of the version in deploy/tools/go.mod.
    Render,
    /// Check that what is there was rendered from the chart as it is.
    Check,
}

/// The release that the manifests are.
const RELEASE: [&str; 4] = ["netpol", "--namespace", "netpol-system", "--set"];
/// What the manifests do that the chart leaves to Helm.
const VALUES: &str = "createNamespace=true";
/// Helm renders for a cluster it does not ask; the chart asks for no more than this.
const KUBE_VERSION: &str = "v1.35.4";

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Render => render(workspace)?,
        What::Check => check(workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails unless the manifests are what the chart renders to.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let place = Place::of(workspace);
    check_version(workspace, &place)?;
    let noted = fs::read_to_string(&place.digest)
        .with_context(|| format!("read {}", place.digest.display()))?;
    if noted.trim() == place.digest()? {
        return Ok(());
    }
    bail!(
        "deploy/*.yaml is not what the chart in deploy/helm/netpol renders to: change the chart, not \
         the manifests, and run `cargo xtask deploy render`"
    )
}

fn render(workspace: &Workspace) -> anyhow::Result<()> {
    let place = Place::of(workspace);
    check_version(workspace, &place)?;
    let helm = helm(workspace, &place)?;
    process::run(
        Command::new(&helm)
            .arg("lint")
            .arg("--quiet")
            .arg(&place.chart),
    )?;
    let rendered = workspace.target.join("deploy");
    if rendered.exists() {
        fs::remove_dir_all(&rendered).with_context(|| format!("remove {}", rendered.display()))?;
    }
    process::output(
        Command::new(&helm)
            .arg("template")
            .args(RELEASE)
            .arg(VALUES)
            .args(["--kube-version", KUBE_VERSION, "--output-dir"])
            .arg(&rendered)
            .arg(&place.chart),
    )?;
    for manifest in files(&rendered.join("netpol/templates"))? {
        let text = fs::read_to_string(&manifest)
            .with_context(|| format!("read {}", manifest.display()))?;
        let name = manifest.file_name().context("name a manifest")?;
        let target = place.manifests.join(name);
        fs::write(&target, with_head(&text))
            .with_context(|| format!("write {}", target.display()))?;
    }
    fs::write(&place.digest, place.digest()? + "\n")
        .with_context(|| format!("write {}", place.digest.display()))?;
    println!("rendered; see `git diff deploy`");
    Ok(())
}

fn with_head(text: &str) -> String {
    let manifest = text.trim_start_matches("---\n");
    let manifest = manifest
        .split_once('\n')
        .filter(|(first, _)| first.starts_with("# Source: "))
        .map_or(manifest, |(_, rest)| rest);
    format!("# Rendered from helm/netpol by `cargo xtask deploy render`.\n{manifest}")
}

/// The chart's versions are the project's.
fn check_version(workspace: &Workspace, place: &Place) -> anyhow::Result<()> {
    let version = build::version(workspace)?;
    let path = place.chart.join("Chart.yaml");
    let chart = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    for field in ["version", "appVersion"] {
        let line = format!("{field}: {version}");
        if !chart.lines().any(|there| there == line) {
            bail!(
                "{}: let it say `{line}`, as Cargo.toml does",
                path.display()
            );
        }
    }
    Ok(())
}

/// Helm, built from the pinned sources if it is not there yet.
fn helm(workspace: &Workspace, place: &Place) -> anyhow::Result<PathBuf> {
    let helm = workspace.target.join("tools/helm");
    if process::find_program("go").is_none() {
        bail!("rendering builds Helm, which needs Go: install it (https://go.dev/dl)");
    }
    let mut go = Command::new("go");
    go.current_dir(&place.tools)
        .env("CGO_ENABLED", "0")
        .args(["build", "-ldflags", "-s -w", "-o"])
        .arg(&helm)
        .arg("helm.sh/helm/v3/cmd/helm");
    process::quietly(
        workspace,
        "deploy: go build helm (renders the chart)",
        &mut go,
    )?;
    Ok(helm)
}

/// Where things are.
struct Place {
    manifests: PathBuf,
    chart: PathBuf,
    tools: PathBuf,
    digest: PathBuf,
}

impl Place {
    fn of(workspace: &Workspace) -> Self {
        let manifests = workspace.root.join("deploy");
        Self {
            chart: manifests.join("helm/netpol"),
            tools: manifests.join("tools"),
            digest: manifests.join("rendered.sha256"),
            manifests,
        }
    }

    /// The digest of the chart, of Helm's version, and of the manifests.
    fn digest(&self) -> anyhow::Result<String> {
        let mut paths = files(&self.chart)?;
        paths.extend(files(&self.chart.join("templates"))?);
        paths.push(self.tools.join("go.mod"));
        paths.extend(
            files(&self.manifests)?
                .into_iter()
                .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
                .filter(|path| !path.ends_with("kustomization.yaml")),
        );
        let mut digest = Sha256::new();
        for path in paths {
            let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            let name = path.strip_prefix(&self.manifests).unwrap_or(&path);
            digest.update(format!("{} {}\n", name.display(), bytes.len()));
            digest.update(bytes);
        }
        let mut text = String::new();
        for byte in digest.finalize() {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(text)
    }
}

/// The files of a directory, sorted by name.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_where_it_comes_from_instead_of_what_helm_says() {
        let text = "---\n# Source: netpol/templates/a.yaml\n# Why.\nkind: A\n";
        assert_eq!(
            with_head(text),
            "# Rendered from helm/netpol by `cargo xtask deploy render`.\n# Why.\nkind: A\n"
        );
    }
}
