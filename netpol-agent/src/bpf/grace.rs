//! RCU grace periods: waiting until no program runs any more that began before.
//!
//! A TC program runs inside an RCU read-side section, and what it looked up is only its own until
//! it ends: elements of hash maps are given to other keys at once from Linux 6.1 on.

use std::{thread, time::Duration};

/// `MEMBARRIER_CMD_GLOBAL` of `enum membarrier_cmd`: the kernel calls `synchronize_rcu`.
const GLOBAL: libc::c_int = 1;

/// Longer than a TC program runs, by far: for kernels that cannot be asked (without
/// `CONFIG_MEMBARRIER`, or with `nohz_full`).
const LONG_ENOUGH: Duration = Duration::from_millis(50);

/// Waits for one grace period: some milliseconds.
pub(crate) fn wait() {
    // SAFETY: the command reads and writes no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if result != 0 {
        thread::sleep(LONG_ENOUGH);
    }
}
