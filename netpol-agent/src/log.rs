//! The log: standard error, by level from `RUST_LOG`, `info` without it.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging.
pub(crate) fn start(format: LogFormat) {
    // The netlink crates log what they do not know of the kernel's messages, and do without it. kube logs each attempt
    // that fails; the watches say once that they are interrupted, and why.
    let default = "info,netlink_packet_route=error,netlink_proto=error,kube_client=off";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            log.with_target(false).with_ansi(colours).init();
        }
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
