//! How the programs of this crate end.

use std::process::ExitCode;

/// Success for what went as it should; otherwise failure, with what stood in the way in words.
#[must_use]
pub fn code(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
