//! Processes that are known again: a process id alone is reused, together with the start time it is not.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// How often a wait for a process's end looks.
const LOOK: Duration = Duration::from_millis(5);

/// One process of this machine, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Its id, as this process sees it.
    pub pid: u32,
    /// Clock ticks after boot, field 22 of `/proc/PID/stat`.
    pub started: u64,
}

impl Process {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            started: start_time(pid).unwrap_or_default(),
        }
    }

    /// The process that has this id now; `None` if there is none, or only a zombie.
    pub fn with_pid(pid: u32) -> Option<Self> {
        let started = start_time(pid)?;
        Some(Self { pid, started })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Sends a signal, if it still runs.
    pub fn signal(self, signal: Signal) {
        if self.is_alive() {
            let _ = kill(Pid::from_raw(self.pid.cast_signed()), signal);
        }
    }

    /// Waits until it has ended; whether it has. A child of ours is not left as a zombie.
    pub fn wait_end(self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if !self.is_alive() {
                let _ = waitpid(
                    Pid::from_raw(self.pid.cast_signed()),
                    Some(WaitPidFlag::WNOHANG),
                );
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(LOOK);
        }
    }

    /// Ends it by SIGTERM, and by SIGKILL when that takes longer than `grace`; whether it has ended.
    pub fn end(self, grace: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        if self.wait_end(grace) {
            return true;
        }
        self.signal(Signal::SIGKILL);
        self.wait_end(Duration::from_secs(5))
    }
}

/// Ids of all processes.
pub(crate) fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Inode of one of a process's namespaces (`net`, `pid`).
pub(crate) fn namespace_of(pid: u32, kind: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    let text = link.to_str()?;
    text.strip_prefix(kind)?
        .strip_prefix(":[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// Start time of a process, `None` if there is none of that id (or only a zombie).
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything, parentheses and spaces
    // included.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_process_id_is_another_process() {
        let mut other = Process::current();
        assert!(other.is_alive());
        other.started += 1;
        assert!(!other.is_alive());
    }

    #[test]
    fn a_child_that_ended_is_gone_and_no_zombie() {
        let mut sleep = std::process::Command::new("sleep");
        #[expect(clippy::zombie_processes, reason = "`end` waits for it")]
        let child = sleep.arg("1000").spawn().expect("sleep");
        let process = Process::with_pid(child.id()).expect("it runs");
        assert!(process.end(Duration::from_secs(5)));
        assert_eq!(namespace_of(child.id(), "net"), None, "not even a zombie");
    }
}
