//! What a container may do: capabilities, and how much memory it may lock.

use std::{io, os::unix::process::CommandExt, process::Command};

/// Capabilities by their names in Kubernetes, and their numbers in `linux/capability.h`.
const NAMES: [(&str, u32); 5] = [
    ("NET_ADMIN", 12),
    ("SYS_ADMIN", 21),
    ("SYS_RESOURCE", 24),
    ("PERFMON", 38),
    ("BPF", 39),
];
/// More than any kernel has.
const MOST: u32 = 64;
/// What a container may lock under most runtimes.
const LOCKED_BYTES: u64 = 64 << 10;

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    bits: u64,
}

impl Rights {
    /// Those of these names; none if one is unknown.
    pub fn named(names: &[&str]) -> Option<Self> {
        let mut bits = 0;
        for name in names {
            let (_, number) = NAMES.iter().find(|(known, _)| known == name)?;
            bits |= 1 << number;
        }
        Some(Self { bits })
    }

    /// Has a command started as in a container with these rights alone.
    pub(super) fn limit(self, command: &mut Command) {
        // SAFETY: between fork and exec only system calls are made; nothing is allocated.
        unsafe { command.pre_exec(move || self.drop_others()) };
    }

    /// What root is given at exec is cut to the bounding set.
    fn drop_others(self) -> io::Result<()> {
        let locked = libc::rlimit {
            rlim_cur: LOCKED_BYTES,
            rlim_max: LOCKED_BYTES,
        };
        // SAFETY: the structure outlives the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const locked) } != 0 {
            return Err(io::Error::last_os_error());
        }
        for number in 0..MOST {
            if self.bits >> number & 1 == 1 {
                continue;
            }
            // SAFETY: this call has numbers as arguments only.
            let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number)) };
            if done != 0 {
                // The first number that this kernel does not have: nothing is beyond it.
                break;
            }
        }
        Ok(())
    }
}
