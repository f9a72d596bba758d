//! The program of pods that are watched from their first instruction on.

use std::process::ExitCode;

use clap::Parser;
use netpol_e2e::trial::newborn::Errand;

/// Knock where it is forbidden, connect where it is allowed, at once.
#[derive(Debug, Parser)]
#[command(name = "newborn")]
struct Arguments {
    #[command(flatten)]
    errand: Errand,
}

fn main() -> ExitCode {
    match Arguments::parse().errand.run() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
