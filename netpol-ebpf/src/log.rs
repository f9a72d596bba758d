//! Debug lines, for a developer who follows single packets: `aya-log`, read by the agent.

use aya_log_ebpf::debug;
use netpol_common::event::Event;

/// One line for a verdict.
#[inline(always)]
pub(crate) fn verdict(event: &Event) {
    debug!(
        event,
        "endpoint {} direction {} verdict {} counter {} length {}",
        event.endpoint,
        event.direction,
        event.verdict,
        event.counter,
        event.length,
    );
}
