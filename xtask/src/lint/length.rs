//! No source file is too long to read in one sitting.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::workspace::Workspace;

const MOST_LINES: usize = 800;

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let mut sources = Vec::new();
    for package in workspace.metadata.workspace_packages() {
        let manifest = package.manifest_path.as_std_path();
        let directory = manifest.parent().context("a manifest is in a directory")?;
        collect_sources(directory, &mut sources)?;
    }
    let mut too_long = 0;
    for path in &sources {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let lines = text.lines().count();
        if lines > MOST_LINES {
            too_long += 1;
            let path = path.strip_prefix(&workspace.root).unwrap_or(path);
            eprintln!(
                "{}: {lines} lines; split it by what it holds",
                path.display()
            );
        }
    }
    if too_long > 0 {
        bail!("{too_long} files have more than {MOST_LINES} lines");
    }
    println!(
        "length: {} files, none over {MOST_LINES} lines",
        sources.len()
    );
    Ok(())
}

fn collect_sources(directory: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        let is_target = path.file_name().is_some_and(|name| name == "target");
        if path.is_dir() && !is_target {
            collect_sources(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    Ok(())
}
