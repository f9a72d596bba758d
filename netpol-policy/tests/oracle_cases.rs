//! The oracle held against hand-written expectations, and the generator against its own promises.
//! What the property tests call right is only as right as these two.

#![allow(clippy::unwrap_used, reason = "a broken test is to panic")]

mod generate;
mod oracle;

#[path = "oracle_cases/world.rs"]
mod world;

#[path = "oracle_cases/closed.rs"]
mod closed;
#[path = "oracle_cases/distribution.rs"]
mod distribution;
#[path = "oracle_cases/histories.rs"]
mod histories;
#[path = "oracle_cases/invalid.rs"]
mod invalid;
#[path = "oracle_cases/isolation.rs"]
mod isolation;
#[path = "oracle_cases/nodes.rs"]
mod nodes;
#[path = "oracle_cases/peers.rs"]
mod peers;
#[path = "oracle_cases/pods.rs"]
mod pods;
#[path = "oracle_cases/ports.rs"]
mod ports;
#[path = "oracle_cases/recipes.rs"]
mod recipes;
#[path = "oracle_cases/selectors.rs"]
mod selectors;
