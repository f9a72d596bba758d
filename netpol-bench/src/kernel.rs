//! This machine's kernel: the programs of the agent, run on packets by `BPF_PROG_TEST_RUN`.
//!
//! That call runs a program on one packet again and again. A packet of the same connection each
//! time would find everything in the first cache, so what is run is a program of our own
//! (`netpol-ebpf/src/bin/bench.rs`): it makes the packet one of another peer or port and calls, as
//! the last thing it does, the program that is measured. What it costs itself is measured the same
//! way, by calling a program that does nothing.
//!
//! ```text
//! load.rs      the programs, with maps as large as the agent makes them
//! maps.rs      writing maps by bytes
//! round.rs     one run after the other, in turns
//! measure.rs   medians, and how far rounds are apart
//! ```

mod load;
mod maps;
mod measure;
mod round;

pub use load::Kernel;
pub use measure::{Measured, Spread, measure};
pub use round::Plan;
