//! What has to be so before anything is touched, each with a sentence that says what to do.
//!
//! ```text
//! kernel, rights, interfaces, other enforcers --> facts --> judge --> `preflight`: all of it, as a table
//!                                                              \---> `run`: the first that is fatal
//! ```

use std::path::PathBuf;

mod capability;
mod facts;
mod judge;
mod neighbours;
mod places;
mod report;

pub(crate) use places::{
    claim, claim_directory, cni_links, is_bpf, note_cni, remove_if_there, socket_link,
};

use crate::cli::{PreflightArgs, RunArgs};
use facts::{Facts, Wanted};

/// Why an agent cannot run here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PreflightError {
    #[error("the agent loads BPF programs and attaches them: run it as root")]
    NotRoot,
    #[error(
        "{} is not on a BPF file system; mount one on the node (`mount -t bpf bpf /sys/fs/bpf`; \
         systemd does) or name a directory of one with --bpffs",
        path.display()
    )]
    NotBpf { path: PathBuf },
    #[error("cannot use {}: {source}", path.display())]
    Unusable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "another agent uses {}; stop it first, or give this one another --bpffs and --socket",
        path.display()
    )]
    Busy { path: PathBuf },
    #[error("{says}; {remedy}")]
    Unfit { says: String, remedy: String },
    #[error("this node does not do: see the checks that failed")]
    Failed,
}

/// Checks the rights.
pub(crate) fn root() -> Result<(), PreflightError> {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        Err(PreflightError::NotRoot)
    }
}

/// What `run` cannot do without.
pub(crate) fn require(args: &RunArgs) -> Result<(), PreflightError> {
    root()?;
    if !is_bpf(&args.places.bpffs)? {
        return Err(PreflightError::NotBpf {
            path: args.places.bpffs.clone(),
        });
    }
    let machine = facts::machine();
    let tables = judge::memory(&args.sizes.maps(), facts::possible_cpus(), facts::memory());
    match judge::machine(&machine, args.hook)
        .into_iter()
        .chain([tables])
        .find(|finding| finding.result == judge::Outcome::Fail)
    {
        Some(finding) => Err(PreflightError::Unfit {
            says: finding.says,
            remedy: finding.remedy.unwrap_or_default(),
        }),
        None => Ok(()),
    }
}

/// Prints what is found; an error if an agent could not run here.
pub(crate) async fn preflight(args: &PreflightArgs) -> anyhow::Result<()> {
    let wanted = Wanted {
        places: &args.places,
        sizes: args.sizes.maps(),
        cni_conf_dir: &args.cni_conf_dir,
    };
    let facts = Facts::gather(&wanted).await?;
    let findings = judge::all(&facts, args.hook);
    print!("{}", report::text(&findings, args.output)?);
    if !findings
        .iter()
        .any(|finding| finding.result == judge::Outcome::Fail)
    {
        return Ok(());
    }
    // The one who is there may be stopped; anything else is the machine's.
    let others = findings
        .iter()
        .filter(|finding| finding.result == judge::Outcome::Fail)
        .any(|finding| finding.check != judge::AGENT);
    match facts.places.busy {
        Some(path) if !others => Err(PreflightError::Busy { path }.into()),
        _ => Err(PreflightError::Failed.into()),
    }
}
