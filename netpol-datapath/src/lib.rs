//! From a packet to a verdict.
//!
//! The code here runs in the kernel (netpol-ebpf compiles it into the programs on the host side
//! of each pod's veth) and on the host, in tests and in `netpolctl evaluate`. It reads the packet
//! through [`Packet`] and the maps through [`Tables`], and does nothing else.
//!
//! ```text
//! from_endpoint ─┐
//!                ├─ endpoint of the interface?  no ─────────────────────────────────> Drop
//! to_endpoint  ──┘      │
//!                       ├─ no policy asks about it: source address (spoof.rs) ─> Next | Drop
//!                       │
//!                 quick.rs    an established connection, nothing changes ─────> Next
//!                       │
//!                 read.rs     Ethernet, ARP, neighbour discovery, addresses (spoof.rs)
//!                       │     options and extension headers are walked (family/)
//!                       │
//!                 fragment.rs  a later fragment: the verdict of its first one
//!                       │
//!                 transport.rs  ports, TCP flags, ping
//!                       │
//!                       ├─ an ICMP error: quote.rs, the connection of the packet it quotes
//!                       │
//!                 track.rs    a tracked connection of the current generation: its verdict
//!                       │     one of an older generation: judged again, renewed or cut
//!                       │     none: judged, then tracked (midstream.rs says when not), if the
//!                       │     endpoint's share of the table has room (track/room.rs)
//!                       │
//!                 judge.rs    Service or identity of the peer, policy set, ports
//!                       │
//!                 note.rs     refused, but the pod sent it to itself through a Service
//!                       │
//!                 reject.rs   refused, and the sender is to be told (answer.rs: how)
//!                       │
//!                 report.rs   counter, event ────────────────────────────────> Next | Drop | Reject
//! ```
//!
//! What the kernel asks of this code: at most 512 bytes of stack, five arguments and one register
//! of result for what is not inlined, no panic and no bounds check left after optimisation, no
//! 128-bit numbers, no 64-bit division. So the way has stages (stage.rs): what an established packet
//! needs is inlined into the program, and the rest is functions that the verifier takes one by one.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

mod answer;
#[cfg(feature = "std")]
pub mod build;
#[cfg(feature = "cases")]
pub mod cases;
mod context;
mod family;
mod flow;
mod fragment;
mod judge;
mod limit;
#[cfg(feature = "std")]
pub mod memory;
mod midstream;
mod note;
mod packet;
mod quick;
mod quote;
mod read;
mod reject;
mod report;
mod spoof;
mod stage;
mod tables;
mod track;
mod transport;
mod verdict;

pub use answer::Answer;
pub use judge::{judge_v4, judge_v6};
pub use packet::Packet;
pub use stage::{
    Hook, Stages, conclude, quote_v4, quote_v6, verdict_other, verdict_v4, verdict_v6,
};
pub use tables::{Connections, Inserted, Table, Tables};
pub use verdict::Decision;

use netpol_common::Direction;
use netpol_common::conntrack::{Key4, Key6};

/// Judges a packet that comes from the pod behind the host interface `ifindex`.
#[inline(always)]
pub fn from_endpoint<P, T>(ifindex: u32, packet: &P, tables: &T) -> Decision
where
    P: Stages,
    T: Tables + Connections<Key4> + Connections<Key6>,
{
    stage::process(Direction::Egress, ifindex, packet, tables)
}

/// Judges a packet that goes to the pod behind the host interface `ifindex`.
#[inline(always)]
pub fn to_endpoint<P, T>(ifindex: u32, packet: &P, tables: &T) -> Decision
where
    P: Stages,
    T: Tables + Connections<Key4> + Connections<Key6>,
{
    stage::process(Direction::Ingress, ifindex, packet, tables)
}
