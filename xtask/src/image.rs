//! `image`: the container image, written as an archive without a daemon.
//!
//! The same sources give the same bytes: no times, no machine's paths, everything in one order. The archive is an OCI
//! layout with the index file of `docker save` beside it, so that containerd, podman and docker all read it.

mod archive;
mod layer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::build::{self, Programs};
use crate::process;
use crate::setup;
use crate::workspace::Workspace;

const EXAMPLES: &str = "\
Examples:
  cargo xtask image
        writes target/image/netpol.tar
  ctr --namespace k8s.io images import target/image/netpol.tar
        makes it known to a node's containerd; `docker load -i` and `podman load -i` read it as well
  cargo xtask image --tag registry.example.com/netpol:1
        another name, to push it there";

/// Where an image that nobody has published is: no registry answers to this name, so that a node without the image
/// fails to find it rather than runs another one.
const REPOSITORY: &str = "localhost/netpol";

/// Build the image: static programs and nothing else.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The archive to write [default: target/image/netpol.tar].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The image's name, with its tag; may be given more than once [default: localhost/netpol:VERSION].
    #[arg(long, value_name = "NAME:TAG")]
    tag: Vec<String>,
    /// The cargo profile of the programs.
    #[arg(long, default_value = "release")]
    profile: String,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<ExitCode> {
    setup::ensure(workspace, setup::BUILD)?;
    let programs = Programs::build_as(workspace, &args.profile)?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| default_output(workspace));
    let tags = if args.tag.is_empty() {
        vec![default_tag(workspace)?]
    } else {
        args.tag.clone()
    };
    let size = write(workspace, &programs, &tags, &output)?;
    println!(
        "{} in {} ({:.1} MiB)",
        tags.join(", "),
        output.display(),
        size as f64 / f64::from(1 << 20)
    );
    Ok(ExitCode::SUCCESS)
}

/// Writes the image of these programs where the tests look for it, under its default name.
pub(crate) fn of(workspace: &Workspace, programs: &Programs) -> anyhow::Result<PathBuf> {
    let output = default_output(workspace);
    write(workspace, programs, &[default_tag(workspace)?], &output)?;
    Ok(output)
}

/// The name of the image of this version, as the manifests have it.
pub(crate) fn default_tag(workspace: &Workspace) -> anyhow::Result<String> {
    Ok(format!("{REPOSITORY}:{}", build::version(workspace)?))
}

fn default_output(workspace: &Workspace) -> PathBuf {
    workspace.target.join("image/netpol.tar")
}

fn write(
    workspace: &Workspace,
    programs: &Programs,
    tags: &[String],
    output: &Path,
) -> anyhow::Result<u64> {
    let scratch = workspace.target.join("image/stripped");
    fs::create_dir_all(&scratch).with_context(|| format!("create {}", scratch.display()))?;
    let mut files = Vec::new();
    for program in [&programs.agent, &programs.cni, &programs.ctl] {
        files.push(layer::File::read(&stripped(program, &scratch)?)?);
    }
    let image = archive::Image {
        layer: layer::write(files)?,
        version: build::version(workspace)?,
        architecture: archive::architecture()?,
    };
    let bytes = image.archive(tags)?;
    if let Some(directory) = output.parent() {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    fs::write(output, &bytes).with_context(|| format!("write {}", output.display()))?;
    Ok(bytes.len() as u64)
}

/// Without debug information, which is four fifths of a program, and whose paths are the machine's.
pub(crate) fn stripped(program: &Path, scratch: &Path) -> anyhow::Result<PathBuf> {
    let name = program.file_name().context("name a program")?;
    let place = scratch.join(name);
    process::run(
        Command::new("strip")
            .args(["--strip-debug", "-o"])
            .arg(&place)
            .arg(program),
    )?;
    Ok(place)
}
