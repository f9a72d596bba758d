//! Capabilities of this process.

use std::fs;

/// A capability that the agent uses, by its number (`linux/capability.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Capability {
    NetAdmin = 12,
    SysAdmin = 21,
    SysResource = 24,
    Perfmon = 38,
    Bpf = 39,
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities(u64);

impl Capabilities {
    /// What this process may do now.
    pub(super) fn effective() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::of_status(&status)
    }

    fn of_status(status: &str) -> Self {
        let field = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let bits = field.and_then(|field| u64::from_str_radix(field.trim(), 16).ok());
        Self(bits.unwrap_or_default())
    }

    /// Whether one is there. CAP_SYS_ADMIN stands for the two that were split from it.
    pub(super) fn has(self, capability: Capability) -> bool {
        let has = |capability: Capability| self.0 & 1 << capability as u32 != 0;
        match capability {
            Capability::Bpf | Capability::Perfmon => has(capability) || has(Capability::SysAdmin),
            _ => has(capability),
        }
    }

    #[cfg(test)]
    pub(super) fn of(all: &[Capability]) -> Self {
        Self(all.iter().fold(0, |bits, one| bits | 1 << *one as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read_from_the_kernels_words() {
        let status = "Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t000000c000001000\n";
        let set = Capabilities::of_status(status);
        for capability in [Capability::NetAdmin, Capability::Perfmon, Capability::Bpf] {
            assert!(set.has(capability), "{capability:?}");
        }
        assert!(!set.has(Capability::SysResource));
    }

    #[test]
    fn who_may_administrate_may_load_programs() {
        assert!(Capabilities::of(&[Capability::SysAdmin]).has(Capability::Bpf));
    }
}
