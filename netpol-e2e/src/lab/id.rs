//! Names that say whose they are.
//!
//! Every network namespace, directory and mount of a lab carries the process id and the start time
//! of the process that made it. Two runs never meet, and a later run recognises what a killed one
//! left behind.

use std::{
    fmt, fs,
    sync::atomic::{AtomicU32, Ordering},
};

/// Start of every network namespace name of a lab.
const PREFIX: &str = "np";

/// The process that owns a lab: a process id alone is reused, together with the start time it is
/// not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Owner {
    pid: u32,
    /// Clock ticks after boot, field 22 of `/proc/PID/stat`.
    started: u64,
}

impl Owner {
    /// This process.
    pub(super) fn current() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            started: start_time(pid).unwrap_or_default(),
        }
    }

    /// Whether the process still runs.
    pub(super) fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// The owner named in a name made by [`LabId`]; `None` for a name that is not a lab's.
    pub(super) fn of(name: &str) -> Option<Self> {
        let mut fields = name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-');
        let owner = Self {
            pid: fields.next()?.parse().ok()?,
            started: fields.next()?.parse().ok()?,
        };
        fields.next()?.parse::<u32>().ok()?;
        Some(owner)
    }
}

/// One lab of one owner. Displayed as `np-PID-START-N`, the start of the names of all it owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabId {
    owner: Owner,
    number: u32,
}

impl LabId {
    /// An id no other lab has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self {
            owner: Owner::current(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The name of the network namespace of one host of this lab.
    pub fn netns(self, host: &str) -> String {
        format!("{self}-{}", host.replace('/', "."))
    }

    /// Whether `name` (a network namespace or a lab's directory) belongs to this lab.
    pub fn owns(self, name: &str) -> bool {
        name.strip_prefix(&self.to_string())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

impl fmt::Display for LabId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{PREFIX}-{}-{}-{}",
            self.owner.pid, self.owner.started, self.number
        )
    }
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
    fn names_lead_back_to_a_living_owner() {
        let id = LabId::fresh();
        let name = id.netns("payments/gateway");
        assert_eq!(Owner::of(&name), Some(Owner::current()));
        assert_eq!(Owner::of(&id.to_string()), Some(Owner::current()));
        assert!(Owner::current().is_alive());
        assert!(id.owns(&name) && id.owns(&id.to_string()));
    }

    #[test]
    fn lab_1_does_not_own_what_lab_10_made() {
        let owner = Owner::current();
        let one = LabId { owner, number: 1 };
        let ten = LabId { owner, number: 10 };
        assert!(!one.owns(&ten.netns("node")));
    }

    #[test]
    fn a_reused_process_id_is_another_owner() {
        let mut owner = Owner::current();
        owner.started += 1;
        assert!(!owner.is_alive());
    }

    #[test]
    fn names_of_others_have_no_owner() {
        for name in [
            "",
            "np",
            "np-1",
            "np-1-2",
            "np-x-2-3",
            "cni-1234",
            "npx-1-2-3",
        ] {
            assert_eq!(Owner::of(name), None, "{name}");
        }
    }
}
