//! The agent: keeps what the kernel enforces in line with what the objects say.
//!
//! ```text
//! source --------> engine (ClusterState) -----> bpf: maps, then programs on interfaces
//! discovery ----->   |     ^                            |
//! api <--------------+     +---- flows <---- ring buffer+
//!                                conntrack: clears what is over
//! ```

use std::process::ExitCode;

use clap::Parser;

mod api;
pub mod bpf;
mod cleanup;
mod cli;
mod cni;
mod conntrack;
mod discovery;
mod engine;
mod flows;
mod kube;
mod log;
mod manifests;
mod memory;
mod preflight;
mod probe;
mod run;
mod source;
mod taint;
mod uninstall;

use bpf::error::LoadError;
use cli::{Cli, Command};
use preflight::PreflightError;
use source::SourceError;

/// Does what the command line asks.
///
/// # Errors
/// When it could not be done; [`exit_code`] tells the classes apart.
pub async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(args) => {
            log::start(args.log_format);
            run::run(&args).await
        }
        Command::Cleanup(args) => {
            log::start(args.log_format);
            cleanup::cleanup(&args).await
        }
        Command::Preflight(args) => preflight::preflight(&args).await,
        Command::Probe(args) => probe::probe(&args),
    }
}

/// The exit code of an error, as `--help` documents them.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(match error.downcast_ref::<PreflightError>() {
        Some(PreflightError::Busy { .. }) => 4,
        Some(_) => 3,
        None if error.is::<uninstall::Forbidden>() => 5,
        None => match error.downcast_ref::<LoadError>() {
            Some(LoadError::Layout { .. } | LoadError::OtherNamespace { .. }) => 3,
            _ => match error.downcast_ref::<SourceError>() {
                Some(SourceError::ApiServer(_)) => 5,
                _ => 1,
            },
        },
    })
}
