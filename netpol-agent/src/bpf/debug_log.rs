//! The programs' debug lines, where the object was built with them.

use std::io;

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::io::{Interest, unix::AsyncFd};
use tokio_util::sync::CancellationToken;

/// The global by which aya-log's programs decide whether to write a line.
pub(crate) const LEVEL: &str = aya_log::LEVEL;

/// Lines of the programs, not read yet.
pub(crate) type DebugLog = EbpfLogger<&'static dyn log::Log>;

/// The level for [`LEVEL`]: nothing, unless the agent's own log would show it. A line costs more
/// than the verdict it tells of.
pub(crate) fn level() -> u8 {
    if tracing::enabled!(tracing::Level::DEBUG) {
        aya_log::Level::Debug as u8
    } else {
        0
    }
}

/// The log of an object that has one.
pub(crate) fn of(object: &mut Ebpf) -> Option<DebugLog> {
    match EbpfLogger::init(object) {
        Ok(log) => Some(log),
        Err(error) => {
            tracing::debug!(%error, "the programs write no debug lines");
            None
        }
    }
}

/// Writes the lines to the agent's log until shutdown.
pub(crate) async fn read(log: DebugLog, shutdown: CancellationToken) -> io::Result<()> {
    // SAFETY: the log owns its descriptor, and gives no other one for as long as it lives.
    let log = unsafe { AsyncFd::register_with_interest(log, Interest::READABLE) };
    let mut log = log.map_err(io::Error::from)?;
    loop {
        let mut ready = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            ready = log.readable_mut() => ready?,
        };
        ready.get_inner_mut().flush();
        ready.clear_ready();
    }
}
