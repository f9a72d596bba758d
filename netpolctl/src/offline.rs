//! Verdicts without an agent: manifests, compiled by netpol-policy, judged by netpol-datapath.
//!
//! ```text
//! manifests.rs   files -> documents          synthetic.rs   addresses for pods without one
//! batch.rs       JSON lines -> objects
//!        \
//!         cluster.rs    objects -> changes -> ClusterState -> delta -> maps.rs
//!         probe.rs      question -> packets
//!         judge.rs      packets at both ends -> outcome
//!         explain.rs    what came nearest, in words
//! ```

use netpol_api::{Direction, ObjectName};
use netpol_policy::ObjectKey;

mod addresses;
mod attribution;
pub(crate) mod batch;
pub(crate) mod cluster;
mod endpoints;
pub(crate) mod explain;
pub(crate) mod identity;
mod invalid;
pub(crate) mod judge;
pub(crate) mod manifests;
mod maps;
pub(crate) mod probe;
pub(crate) mod service;
pub(crate) mod synthetic;
pub(crate) mod traffic;
mod world;

/// A name of the policy crate as one of the agent's API.
pub(crate) fn name(key: &ObjectKey) -> ObjectName {
    ObjectName {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

/// A direction of the maps as one of the agent's API.
fn api_direction(direction: netpol_common::Direction) -> Direction {
    match direction {
        netpol_common::Direction::Ingress => Direction::Ingress,
        netpol_common::Direction::Egress => Direction::Egress,
    }
}

/// A direction of the agent's API as one of the maps.
fn common(direction: Direction) -> netpol_common::Direction {
    match direction {
        Direction::Ingress => netpol_common::Direction::Ingress,
        Direction::Egress => netpol_common::Direction::Egress,
    }
}
