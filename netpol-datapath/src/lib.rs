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
//!                 report.rs   counter, event ─────────────────────────────────────────> Next | Drop
//! ```
//!
//! What the kernel asks of this code: at most 512 bytes of stack, five arguments and one register
//! of result for what is not inlined, no panic and no bounds check left after optimisation, no
//! 128-bit numbers, no 64-bit division. So everything on the way of an established packet is
//! inlined into the program; of the rest, `judge`, `describe` (report.rs) and `quote::judge` are
//! functions of their own, each once in a program rather than once in every place that calls it.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
pub mod build;
#[cfg(feature = "cases")]
pub mod cases;
mod context;
mod family;
mod flow;
mod fragment;
mod judge;
#[cfg(feature = "std")]
pub mod memory;
mod midstream;
mod note;
mod packet;
mod quote;
mod read;
mod report;
mod spoof;
mod tables;
mod track;
mod transport;
mod verdict;

pub use packet::Packet;
pub use tables::{Connections, Inserted, Table, Tables};
pub use verdict::Decision;

use context::Context;
use netpol_common::Direction;
use netpol_common::conntrack::{Key4, Key6};
use netpol_common::counter::DropReason;
use netpol_common::endpoint::{ADDRESSES, Endpoint, EndpointDirection};
use verdict::Verdict;

/// Judges a packet that comes from the pod behind the host interface `ifindex`.
#[inline(always)]
pub fn from_endpoint<P, T>(ifindex: u32, packet: &P, tables: &T) -> Decision
where
    P: Packet,
    T: Tables + Connections<Key4> + Connections<Key6>,
{
    process(Direction::Egress, ifindex, packet, tables)
}

/// Judges a packet that goes to the pod behind the host interface `ifindex`.
#[inline(always)]
pub fn to_endpoint<P, T>(ifindex: u32, packet: &P, tables: &T) -> Decision
where
    P: Packet,
    T: Tables + Connections<Key4> + Connections<Key6>,
{
    process(Direction::Ingress, ifindex, packet, tables)
}

/// The entry of an interface that has none.
const NOBODY: Endpoint = Endpoint {
    generation: 0,
    ingress: OPEN,
    egress: OPEN,
    v4: [0; ADDRESSES],
    v6: [[0; 4]; ADDRESSES],
    pod: [0; 2],
};
const OPEN: EndpointDirection = EndpointDirection {
    flags: 0,
    set: 0,
    deny_rule: 0,
    second_set: 0,
};

/// The one way of every packet, and its one exit.
#[inline(always)]
fn process<P, T>(direction: Direction, ifindex: u32, packet: &P, tables: &T) -> Decision
where
    P: Packet,
    T: Tables + Connections<Key4> + Connections<Key6>,
{
    // The program is attached to interfaces of pods only, and after their entries are written.
    let (endpoint, known) = match tables.endpoint(ifindex) {
        Some(endpoint) => (endpoint, true),
        None => (&NOBODY, false),
    };
    let context = Context {
        ifindex,
        endpoint,
        direction,
        packet,
        tables,
    };
    let verdict = if !known {
        Verdict::drop(DropReason::UnknownEndpoint)
    } else if endpoint.judged() {
        match read::isolated(&context) {
            Ok(verdict) => verdict,
            Err(reason) => context.refused(reason),
        }
    } else {
        spoof::only(&context)
    };
    if verdict.note {
        note::leave(&context);
    }
    report::conclude(&context, verdict)
}
