//! `arrows`: which crate may use which, checked.
//!
//! ```text
//! cargo metadata -> uses (what each member declares) -> check against the table -> sentences
//!                   root files -> forbid(unsafe_code)? --------------------------^
//! ```

mod check;
mod table;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, Metadata, Package};

use crate::workspace::Workspace;
use check::{Member, RootFile, Use};
use table::When;

/// Check which crate uses which, and print the drawing.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    check(workspace)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the drawing and what is wrong with it.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let members = members(&workspace.metadata)?;
    print!("{}", check::drawing(&members));
    let violations = check::violations(&members);
    for violation in &violations {
        eprintln!("arrows: {violation}");
    }
    if !violations.is_empty() {
        bail!(
            "{} arrows or root files are not as designed",
            violations.len()
        );
    }
    println!("arrows: {} crates, as in the table", members.len());
    Ok(())
}

fn members(metadata: &Metadata) -> anyhow::Result<Vec<Member>> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(member)
        .collect()
}

fn member(package: &Package) -> anyhow::Result<Member> {
    let uses = package.dependencies.iter().map(|dependency| Use {
        name: dependency.name.clone(),
        when: when(dependency.kind),
    });
    let roots = package
        .targets
        .iter()
        .filter(|target| target.is_lib() || target.is_bin())
        .map(|target| {
            let text = fs::read_to_string(&target.src_path)
                .with_context(|| format!("read {}", target.src_path))?;
            let path = target.src_path.to_string();
            Ok(RootFile { path, text })
        });
    Ok(Member {
        name: package.name.to_string(),
        uses: uses.collect(),
        roots: roots.collect::<anyhow::Result<_>>()?,
    })
}

fn when(kind: DependencyKind) -> When {
    match kind {
        DependencyKind::Build => When::Build,
        DependencyKind::Development => When::Tests,
        _ => When::Always,
    }
}
