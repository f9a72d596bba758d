//! The way of a packet in three stages.
//!
//! ```text
//! process    the endpoint of the interface; the shortcut of established connections (quick.rs)
//!    │ not that certain
//!    ├─ verdict_v4, verdict_v6    read, track, judge ──> what to do and to say, in one word
//!    │     └─ quote_v4, quote_v6  an ICMP error, by the packet that it quotes
//!    ├─ verdict_other             what is no IP packet
//!    └─ conclude                  note.rs, reject.rs, report.rs: counted, told, decided
//! ```
//!
//! In the kernel the second and the third are functions that the verifier looks at by themselves
//! ([`Stages`]): with what is inlined into the first, they would have neither enough of the stack nor
//! of the verifier's patience.

use netpol_common::Direction;
use netpol_common::conntrack::{Key4, Key6};
use netpol_common::endpoint::{ADDRESSES, Endpoint, EndpointDirection};

use crate::context::Context;
use crate::family::{Family, V4, V6};
use crate::quote::{self, Quoted};
use crate::read::{self, ethertype};
use crate::verdict::{Decision, Verdict};
use crate::{Connections, Packet, Tables, note, quick, reject, report, spoof};

/// Where a program runs: a direction of an interface.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// The direction of its packets, as the pod sees it.
    pub direction: Direction,
    /// The host interface.
    pub ifindex: u32,
    /// The slot with the entry of its endpoint; [`Hook::NO_SLOT`] if it has none.
    pub slot: u32,
}

impl Hook {
    /// No slot has this number.
    pub const NO_SLOT: u32 = u32::MAX;
}

/// How the later stages of a packet are called. What they return is for the next one alone.
pub trait Stages: Packet + Sized {
    /// Calls [`verdict_v4`].
    #[inline(always)]
    fn verdict_v4<T: Tables + Connections<Key4>>(&self, tables: &T, hook: Hook) -> u64 {
        verdict_v4(self, tables, hook)
    }

    /// Calls [`verdict_v6`].
    #[inline(always)]
    fn verdict_v6<T: Tables + Connections<Key6>>(&self, tables: &T, hook: Hook) -> u64 {
        verdict_v6(self, tables, hook)
    }

    /// Calls [`verdict_other`].
    #[inline(always)]
    fn verdict_other<T: Tables>(&self, tables: &T, hook: Hook) -> u64 {
        verdict_other(self, tables, hook)
    }

    /// Calls [`quote_v4`].
    #[inline(always)]
    fn quote_v4<T: Tables + Connections<Key4>>(&self, tables: &T, hook: Hook) -> u64 {
        quote_v4(self, tables, hook)
    }

    /// Calls [`quote_v6`].
    #[inline(always)]
    fn quote_v6<T: Tables + Connections<Key6>>(&self, tables: &T, hook: Hook) -> u64 {
        quote_v6(self, tables, hook)
    }

    /// Calls [`conclude`].
    #[inline(always)]
    fn conclude<T: Tables>(&self, tables: &T, hook: Hook, verdict: u64) -> Decision {
        conclude(self, tables, hook, verdict)
    }
}

/// The verdict on an IPv4 packet.
#[inline(always)]
pub fn verdict_v4<P, T>(packet: &P, tables: &T, hook: Hook) -> u64
where
    P: Packet,
    T: Tables + Connections<Key4>,
{
    verdict::<V4, P, T>(packet, tables, hook)
}

/// The verdict on an IPv6 packet.
#[inline(always)]
pub fn verdict_v6<P, T>(packet: &P, tables: &T, hook: Hook) -> u64
where
    P: Packet,
    T: Tables + Connections<Key6>,
{
    verdict::<V6, P, T>(packet, tables, hook)
}

/// The verdict on what is no IP packet.
#[inline(always)]
pub fn verdict_other<P: Packet, T: Tables>(packet: &P, tables: &T, hook: Hook) -> u64 {
    let context = context(packet, tables, hook, tables.entry(hook.slot));
    read::no_ip(&context).into_word()
}

/// The verdict on an ICMP error of IPv4 that is to be judged by its quote.
#[inline(always)]
pub fn quote_v4<P, T>(packet: &P, tables: &T, hook: Hook) -> u64
where
    P: Packet,
    T: Tables + Connections<Key4>,
{
    quoted::<V4, P, T>(packet, tables, hook)
}

/// The verdict on an ICMPv6 error that is to be judged by its quote.
#[inline(always)]
pub fn quote_v6<P, T>(packet: &P, tables: &T, hook: Hook) -> u64
where
    P: Packet,
    T: Tables + Connections<Key6>,
{
    quoted::<V6, P, T>(packet, tables, hook)
}

/// Carries a verdict out, as far as the packet's own fate is not meant: notes, counters, events, and
/// whether the sender is told.
#[inline(always)]
pub fn conclude<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    hook: Hook,
    verdict: u64,
) -> Decision {
    let context = context(packet, tables, hook, None);
    let verdict = Verdict::from_word(verdict);
    if verdict.note {
        note::leave(&context);
    }
    report::conclude(&context, verdict)
}

/// The first stage, of every packet, and its one exit.
#[inline(always)]
pub(crate) fn process<P, T>(direction: Direction, ifindex: u32, packet: &P, tables: &T) -> Decision
where
    P: Stages,
    T: Tables + Connections<Key4> + Connections<Key6>,
{
    // The program is attached to interfaces of pods only, and after their entries are written.
    let slot = tables.slot(ifindex).unwrap_or(Hook::NO_SLOT);
    let hook = Hook {
        direction,
        ifindex,
        slot,
    };
    let endpoint = tables.entry(slot);
    if let Some(endpoint) = endpoint
        && direction == Direction::Ingress
        && !endpoint.judged()
    {
        return Decision::Next;
    }
    let verdict = match ethertype(packet) {
        Ok(ethertype::IPV4) => match quick::counter::<V4, P, T>(packet, tables, hook, endpoint) {
            Some(counter) => return pass(packet, tables, hook, counter),
            None => match packet.verdict_v4(tables, hook) {
                word if Verdict::from_word(word).quoted => packet.quote_v4(tables, hook),
                word => word,
            },
        },
        Ok(ethertype::IPV6) => match quick::counter::<V6, P, T>(packet, tables, hook, endpoint) {
            Some(counter) => return pass(packet, tables, hook, counter),
            None => match packet.verdict_v6(tables, hook) {
                word if Verdict::from_word(word).quoted => packet.quote_v6(tables, hook),
                word => word,
            },
        },
        // Of what cannot be read and of what is read there: Linux 5.10 takes the one for the other
        // where their ways come together here and part again.
        _ => packet.verdict_other(tables, hook),
    };
    packet.conclude(tables, hook, verdict)
}

/// Lets a packet pass under a counter; zero for what is not counted.
#[inline(always)]
fn pass<P: Packet, T: Tables>(packet: &P, tables: &T, hook: Hook, counter: u32) -> Decision {
    if counter != 0 {
        let context = context(packet, tables, hook, None);
        report::count(&context, Verdict::pass(counter));
    }
    Decision::Next
}

#[inline(always)]
fn verdict<F, P, T>(packet: &P, tables: &T, hook: Hook) -> u64
where
    F: Family,
    P: Packet,
    T: Tables + Connections<F::Key>,
{
    let context = context(packet, tables, hook, tables.entry(hook.slot));
    let verdict = if !context.known {
        spoof::of_link::<F, P, T>(&context)
    } else if context.endpoint.judged() {
        match read::isolated::<F, P, T>(&context) {
            Ok(verdict) => verdict,
            Err(reason) => context.refused(reason),
        }
    } else {
        spoof::source::<F, P, T>(&context)
    };
    verdict.into_word()
}

#[inline(always)]
fn quoted<F, P, T>(packet: &P, tables: &T, hook: Hook) -> u64
where
    F: Quoted,
    P: Packet,
    T: Tables + Connections<F::Key>,
{
    let context = context(packet, tables, hook, tables.entry(hook.slot));
    reject::passing(&context, quote::verdict::<F, P, T>(&context)).into_word()
}

#[inline(always)]
fn context<'a, P, T>(
    packet: &'a P,
    tables: &'a T,
    hook: Hook,
    endpoint: Option<&'a Endpoint>,
) -> Context<'a, P, T> {
    Context {
        ifindex: hook.ifindex,
        slot: hook.slot,
        known: endpoint.is_some(),
        endpoint: endpoint.unwrap_or(&NOBODY),
        direction: hook.direction,
        packet,
        tables,
    }
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
