//! Trials: netpol on a real cluster, in time.
//!
//! ```text
//! Prerequisites: programs and images, built before   Bed: cluster + `kubectl apply -k deploy`
//! Case (cases/*) --uses--> World (pods and policies), Steady (traffic that must go on, and that must not),
//!                          Nursery (pods from their first instruction on) --> Findings: figures, what was wrong
//! ```
//! Pods are real ones; their sockets are made by this process, inside their network namespaces, unless the pod's own
//! program is what is watched. What is forbidden is counted where it arrives.

mod addresses;
mod agents;
pub mod bed;
mod cases;
pub mod findings;
mod knocks;
pub mod newborn;
mod nursery;
pub mod objects;
mod pods;
mod prerequisites;
mod pulse;
mod steady;
mod world;

pub use self::{
    cases::{CASES, Case, Measure},
    prerequisites::{NEWBORN_VARIABLE, Prerequisites},
};
