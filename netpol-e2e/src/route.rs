//! The whole way: what enforcement costs a packet and a connection through a router.
//!
//! ```text
//!  a lab for each contestant                 rules: the same policy for all of them
//!  client --veth-- node (routes) --veth-- server          |
//!  stranger -'       '-- interfaces of other pods   nftables, kube_router: as others write it
//!         bed: made, and checked that it enforces; netpol reads it as objects
//!           |
//!         course: slices of packets and of connections, the contestants in turns
//!           '--> report: rates, what is added, ratios; chart
//! ```
//! Turns are short and in another order each round, so that whatever else the machine does hits all
//! alike; ratios are of one round, and the median of the rounds counts.

mod bed;
pub mod chart;
mod clock;
mod course;
mod kube_router;
mod nftables;
pub mod report;
mod rules;

use std::{fmt, time::Duration};

use anyhow::Result;
use serde::Serialize;

use bed::{Bed, Made};
use report::{Figures, Rates, Report};

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// Nobody enforces.
    None,
    /// The agent that is shipped.
    Netpol,
    /// Maps and sets of nftables.
    Nftables,
    /// Chains of iptables and sets of ipset, as kube-router writes them.
    Iptables,
}

impl Contestant {
    /// All, in the order of the report.
    pub const ALL: [Self; 4] = [Self::None, Self::Netpol, Self::Nftables, Self::Iptables];

    /// Whether it has the kernel track connections.
    fn tracks(self) -> bool {
        matches!(self, Self::Nftables | Self::Iptables)
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no enforcement",
            Self::Netpol => "netpol",
            Self::Nftables => "nftables",
            Self::Iptables => "iptables with ipset",
        })
    }
}

/// What is measured.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// How many pods the server lets in.
    pub peers: u16,
    /// How many other pods of the node a policy selects, one policy each.
    pub others: u16,
    /// UDP flows that packets are sent on, in turns.
    pub flows: u16,
    /// Rounds, of which the median counts.
    pub rounds: u16,
    /// How long each contestant is measured in each round, once for packets and once for connections.
    pub slice: Duration,
}

/// Measures, and says meanwhile what.
///
/// # Errors
/// Without root, when netpol fails, and when a contestant does not enforce the policy.
pub fn measure(plan: &Plan, say: &dyn Fn(&str)) -> Result<Report> {
    rules::check(plan.others)?;
    let (mut beds, mut skipped) = (Vec::new(), Vec::new());
    for contestant in Contestant::ALL {
        say(&format!("{contestant}: a router, and the policy"));
        match Bed::make(contestant, plan)? {
            Made::Bed(bed) => beds.push((bed, Rates::default())),
            Made::Skipped(why) => skipped.push(Figures::skipped(contestant, why)),
        }
    }
    // The first round only warms up: memory, neighbours, branches.
    for round in 0..=plan.rounds {
        say(&format!("round {round} of {}", plan.rounds));
        let mut order: Vec<usize> = (0..beds.len()).collect();
        fastrand::shuffle(&mut order);
        for place in order {
            let (bed, rates) = &mut beds[place];
            let packets = bed.packets(plan.slice)?;
            let connections = bed.connections(plan.slice)?;
            if round > 0 {
                rates.add(packets, connections);
            }
        }
    }
    let measured = beds
        .into_iter()
        .map(|(bed, rates)| Figures::measured(bed.contestant, bed.by, rates));
    Ok(Report::new(plan.clone(), measured.chain(skipped).collect()))
}
