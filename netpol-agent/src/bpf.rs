//! The kernel's side: loading the programs, their maps, and where they are attached.

mod cache;
pub(crate) mod clock;
pub(crate) mod clsact;
pub(crate) mod counters;
pub(crate) mod debug_log;
pub(crate) mod endpoints;
pub(crate) mod error;
pub(crate) mod grace;
pub(crate) mod hook;
pub(crate) mod load;
pub(crate) mod netns;
pub mod object;
pub(crate) mod shares;
pub(crate) mod syscall;
pub(crate) mod table;
pub(crate) mod tables;
pub(crate) mod tcx;
