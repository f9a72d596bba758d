//! What a packet costs.
//!
//! ```text
//! scenario/     the packets, and what is in the maps when they come
//! machine/      runs the programs as they are compiled, and counts instructions and look-ups
//! count.rs      both together: one line a scenario
//! baseline.rs   the lines as they were, and what has become worse
//! kernel/       runs the same on this machine's kernel, and measures
//! report.rs     what was measured, beside what was asked for
//! document/     the same as a page with a table and a chart
//! ```
#![forbid(unsafe_code)]

pub mod baseline;
pub mod count;
pub mod document;
pub mod kernel;
pub mod machine;
pub mod report;
pub mod scenario;
pub mod sizes;
