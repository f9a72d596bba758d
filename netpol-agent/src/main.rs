//! The netpol agent.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match netpol_agent::main().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netpol-agent: {error:#}");
            netpol_agent::exit_code(&error)
        }
    }
}
