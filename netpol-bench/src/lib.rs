//! What a packet costs.
//!
//! ```text
//! scenario/     the packets, and what is in the maps when they come
//! machine/      runs the programs as they are compiled, and counts instructions and look-ups
//! count.rs      both together: one line a scenario
//! baseline.rs   the lines as they were, and what has become worse
//! kernel/       runs the same on this machine's kernel, and measures
//! ```
#![forbid(unsafe_code)]

pub mod baseline;
pub mod count;
pub mod machine;
pub mod scenario;
pub mod sizes;
