//! The packet path of netpol-datapath against a plain, slow model of it.
//!
//! ```text
//!             ┌─> sequence.rs ─ packets, policy changes, time ─┐
//! bytes ──────┤                                                ├─> pair.rs ─┬─ netpol-datapath, maps in memory
//!             └─> one.rs ────── one frame, after a few others ─┘            └─ model.rs, written from the docs
//! ```
//!
//! Both are asked about every packet, and must agree: whether it passes, what it is counted under,
//! how many connections are tracked, which were cut. The model is written from
//! `docs/design/packets.md` and the decision records, not from the packet path: it reads frames
//! byte by byte (`parse.rs`), keeps connections in a list, and asks the policies themselves
//! (`policy.rs`), not the maps that are made of them.
//!
//! Left out: Services and what is denied for a sender's sake, which the oracle of netpol-policy
//! covers; answers to what is refused, which `netpol-datapath/src/cases/answer.rs` reads; several
//! processors at once.
//!
//! The bytes come from libFuzzer (`src/bin`, `cargo xtask fuzz`), from the packet table
//! (`seeds.rs`), and from `fixtures`, where what once failed is kept (`tests/replay.rs`).
#![forbid(unsafe_code)]

mod bytes;
mod craft;
mod model;
mod node;
pub mod one;
mod pair;
mod parse;
mod policy;
pub mod seeds;
pub mod sequence;
