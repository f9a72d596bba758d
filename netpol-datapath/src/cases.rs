//! The packet table: states of a node, the packets that meet them, and what must become of each.
//!
//! One table for two subjects: netpol-datapath with [`crate::memory`] on the host, and the loaded
//! BPF programs with their maps (`netpol-e2e/tests/packets.rs`). A case is a [`Setup`] and
//! [`Step`]s, in the order in which they happen. Before each packet, every prefix of it is tried
//! too (`prefix.rs`).

pub(crate) mod answer;
mod extension;
mod fragment;
mod host;
mod icmp_error;
mod listener;
mod midstream;
mod node;
mod options;
mod parse;
mod ping;
mod policy;
mod prefix;
mod reject;
mod renew;
mod run;
mod sctp;
mod service;
mod setup;
mod spoof;
mod step;
mod tables;
mod tcp;
mod tcp_order;
mod track;
mod world;

use std::string::String;
use std::vec::Vec;

pub use host::Host;
pub use run::{Failure, Holding, Observation, Subject, Tracked, run};
pub use setup::{Other, OtherKey, Others, Setup, node_key};
pub use step::{Expected, PacketStep, Step};
pub use world::{IFINDEX, NEW_CAPACITY, OTHER_IFINDEX, REPLIED_CAPACITY};

/// A sequence of packets, and what must become of them.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// What the maps hold at the start.
    pub setup: Setup,
    /// What happens then.
    pub steps: Vec<Step>,
}

impl Case {
    fn new(name: &str, setup: Setup, steps: impl Into<Vec<Step>>) -> Self {
        Self {
            name: name.into(),
            setup,
            steps: steps.into(),
        }
    }

    /// Whether a packet of the case carries an address of the node without one of its sockets.
    /// The kernel's test run gives every packet a socket, so there it cannot be tried.
    #[must_use]
    pub fn needs_packet_without_socket(&self) -> bool {
        !self.setup.nodes.is_empty()
            && self.steps.iter().any(|step| match step {
                Step::Packet(packet) => packet.forwarded_from_node,
                _ => false,
            })
    }
}

/// Every case.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for net in [world::V4, world::V6] {
        let per_family = [
            spoof::cases,
            policy::cases,
            tcp::cases,
            tcp_order::cases,
            sctp::cases,
            track::cases,
            ping::cases,
            icmp_error::cases,
            renew::cases,
            node::cases,
            midstream::cases,
            tables::cases,
            service::cases,
            fragment::cases,
            reject::cases,
        ];
        for part in per_family {
            cases.extend(part(&net).into_iter().map(|mut case| {
                case.name = std::format!("{}, {}", case.name, net.name);
                case
            }));
        }
    }
    cases.extend(parse::cases());
    cases.extend(options::cases());
    cases.extend(extension::cases());
    cases.extend(fragment::family_cases());
    cases.extend(spoof::v6_cases());
    cases.extend(icmp_error::v4_cases());
    cases.extend(icmp_error::v6_cases());
    cases.extend(listener::cases());
    cases.extend(reject::v4_cases());
    cases
}
