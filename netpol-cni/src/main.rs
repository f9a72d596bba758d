//! The chained CNI plugin: a pod's container starts once its policies are in force.
//!
//! ```text
//! runtime --(CNI_*, configuration with prevResult)--> parameters, configuration
//!   ADD, CHECK:  prevResult -> addresses      CNI_NETNS -> the node's end of the pair
//!                    '------> one call on the agent's socket <------'
//!                                  programmed -> prevResult, unchanged
//!                                  anything else -> an error; never a success
//! ```
#![forbid(unsafe_code)]

use std::{
    env,
    io::{Read, Write},
    process::ExitCode,
};

mod agent;
mod commands;
mod configuration;
mod error;
mod link;
mod parameters;

use error::{CniError, Code};

/// The newest version of the CNI specification it speaks.
const NEWEST: &str = "1.1.0";
/// All of them. Before 0.3.0 there were no chains.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", NEWEST];

fn main() -> ExitCode {
    if let Some(about) = about(env::args().nth(1).as_deref()) {
        println!("{about}");
        return ExitCode::SUCCESS;
    }
    let mut input = String::new();
    let read = std::io::stdin().read_to_string(&mut input);
    let read = read.map_err(|error| {
        CniError::new(Code::Io, "cannot read the configuration", error.to_string())
    });
    let result = read.and_then(|_| commands::run(&env::vars().collect(), &input));
    match result.and_then(|output| print(&output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let version = configuration::version_of(&input);
            // Nobody is left to tell when this fails.
            let _ = print(&error.output(version.as_deref().unwrap_or(NEWEST)));
            ExitCode::FAILURE
        }
    }
}

fn print(output: &str) -> Result<(), CniError> {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{output}").and_then(|()| stdout.flush());
    written.map_err(|error| CniError::new(Code::Io, "cannot write the result", error.to_string()))
}

/// What is said to people; container runtimes give no arguments.
fn about(argument: Option<&str>) -> Option<String> {
    match argument? {
        "--version" | "-V" => Some(format!("netpol-cni {}", env!("CARGO_PKG_VERSION"))),
        _ => Some(format!(
            "netpol-cni {}: a chained CNI plugin (CNI {NEWEST}). A container runtime runs it, with \
             CNI_COMMAND and others\nin the environment and a configuration on standard input; \
             netpol-agent puts it into that configuration.\n\n\
             Keys: \"socket\" (the agent's, default {}), \"timeoutSeconds\" (how long an ADD waits \
             for the agent, default {}).\n\
             Exit codes: 0 done; 1 failed, with the error as JSON on standard output.",
            env!("CARGO_PKG_VERSION"),
            configuration::SOCKET,
            configuration::TIMEOUT.as_secs(),
        )),
    }
}
