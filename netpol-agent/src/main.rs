//! The netpol agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Every task has ended: nothing is said after the reason.
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netpol-agent: {error:#}");
            netpol_agent::exit_code(&error)
        }
    }
}

#[tokio::main]
async fn work() -> anyhow::Result<()> {
    netpol_agent::main().await
}
