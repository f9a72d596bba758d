//! Names that say whose they are.
//!
//! Every network namespace, directory and mount of a lab carries the process id and the start time
//! of the process that made it. Two runs never meet, and a later run recognises what a killed one
//! left behind.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::process::Process;

/// Start of every network namespace name of a lab.
const PREFIX: &str = "np";

/// The owner named in a name made by [`LabId`]; `None` for a name that is not a lab's.
pub(super) fn owner_of(name: &str) -> Option<Process> {
    let mut fields = name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-');
    let owner = Process {
        pid: fields.next()?.parse().ok()?,
        started: fields.next()?.parse().ok()?,
    };
    fields.next()?.parse::<u32>().ok()?;
    Some(owner)
}

/// One lab of one owner. Displayed as `np-PID-START-N`, the start of the names of all it owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabId {
    owner: Process,
    number: u32,
}

impl LabId {
    /// An id no other lab has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self {
            owner: Process::current(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_a_living_owner() {
        let id = LabId::fresh();
        let name = id.netns("payments/gateway");
        assert_eq!(owner_of(&name), Some(Process::current()));
        assert_eq!(owner_of(&id.to_string()), Some(Process::current()));
        assert!(Process::current().is_alive());
        assert!(id.owns(&name) && id.owns(&id.to_string()));
    }

    #[test]
    fn lab_1_does_not_own_what_lab_10_made() {
        let owner = Process::current();
        let one = LabId { owner, number: 1 };
        let ten = LabId { owner, number: 10 };
        assert!(!one.owns(&ten.netns("node")));
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
            assert_eq!(owner_of(name), None, "{name}");
        }
    }
}
