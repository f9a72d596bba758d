//! The trials: each asks one thing of time.

mod api_away;
mod handover;
mod kubelet;
mod labels;
mod newborns;
mod reboot;
mod scenarios;

use std::time::Duration;

use anyhow::Result;

use super::{bed::Bed, findings::Findings};

/// How much of everything.
#[derive(Debug, Clone, clap::Args)]
pub struct Measure {
    /// Pods that are watched from their first instruction on
    #[arg(long, default_value_t = 200)]
    pub pods: usize,
    /// Seconds without an API server
    #[arg(long, default_value_t = 60)]
    pub away: u64,
    /// Rounds of an address handed from one pod to the next
    #[arg(long, default_value_t = 20)]
    pub rounds: usize,
    /// Seconds that the kubelet probes
    #[arg(long, default_value_t = 60)]
    pub probing: u64,
}

impl Measure {
    fn away(&self) -> Duration {
        Duration::from_secs(self.away)
    }
}

/// One trial.
pub struct Case {
    /// Its name, for `--only` and the report.
    pub name: &'static str,
    /// What it asks.
    pub what: &'static str,
    /// Asks it.
    pub run: fn(&mut Bed, &Measure, &mut Findings) -> Result<()>,
}

/// All of them, in the order they run; one that ends a node is last.
pub const CASES: &[Case] = &[
    Case {
        name: "payments",
        what: "kubectl apply -k examples/payments, by address and by Service",
        run: |bed, _, findings| scenarios::play(bed, "payments", findings),
    },
    Case {
        name: "wordpress",
        what: "kubectl apply -k examples/wordpress",
        run: |bed, _, findings| scenarios::play(bed, "wordpress", findings),
    },
    Case {
        name: "yelb",
        what: "kubectl apply -k examples/yelb",
        run: |bed, _, findings| scenarios::play(bed, "yelb", findings),
    },
    Case {
        name: "cache-store",
        what: "kubectl apply -k examples/cache-store, then its other policies",
        run: |bed, _, findings| scenarios::play(bed, "cache-store", findings),
    },
    Case {
        name: "zero-trust",
        what: "kubectl apply -k examples/zero-trust",
        run: |bed, _, findings| scenarios::play(bed, "zero-trust", findings),
    },
    Case {
        name: "newborn",
        what: "pods under a policy connect from their first instruction",
        run: newborns::undisturbed,
    },
    Case {
        name: "newborn-kill",
        what: "the same while agents are killed; connections go on",
        run: newborns::with_agents_killed,
    },
    Case {
        name: "newborn-roll",
        what: "the same while the DaemonSet rolls to a new image; connections go on",
        run: newborns::while_rolling,
    },
    Case {
        name: "handover",
        what: "a deleted pod's address goes to a pod with other labels",
        run: handover::addresses,
    },
    Case {
        name: "labels",
        what: "labels of pods and namespaces change, and policies, with connections open",
        run: labels::changes,
    },
    Case {
        name: "kubelet",
        what: "HTTP, TCP and gRPC probes under default deny",
        run: kubelet::probes,
    },
    Case {
        name: "api-away",
        what: "no API server for a while, pods deleted and made right after",
        run: api_away::outage,
    },
    Case {
        name: "reboot",
        what: "a node loses its power: closed until programmed",
        run: reboot::power_cut,
    },
];
