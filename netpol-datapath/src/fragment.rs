//! Fragments: the first one, which holds the transport header, is judged; the later ones take its
//! verdict.
//!
//! ```text
//! first   judged as any packet ─ passes ─ note: whose it is, under what it passed, where it ends
//! later   a note of the same packet, of this generation, a moment old, that ends before ─> pass
//!         none ────────────────────────────────────────────────────────────────────────> drop
//! ```
//!
//! So a later fragment that overtakes the first one is dropped; its sender sends again. Nothing of
//! what was judged can be written over: it is inside the first fragment, and what begins before
//! that one's end is closed (RFC 1858, RFC 5722). Later ones that overlap each other are left to
//! whoever puts them together.

use netpol_common::counter::DropReason;
use netpol_common::fragment::{Fragment, SECONDS, WAYS, selector};

use crate::context::Context;
use crate::family::{Chain, Family};
use crate::verdict::Verdict;
use crate::{Packet, Tables};

/// Leaves a note of a first fragment that passes under a counter.
#[inline(always)]
pub(crate) fn first<F: Family, P: Packet, T: Tables>(
    context: &Context<'_, P, T>,
    place: u32,
    remote: F::Address,
    counter: u32,
) {
    let Some(mut note) = outline::<F, P, T>(context, place, remote) else {
        return;
    };
    note.rule = counter;
    note.ticks = context.tables.ticks();
    leave(context.tables, context.slot, &mut note);
}

/// The verdict on a later fragment.
#[inline(always)]
pub(crate) fn later<F: Family, P: Packet, T: Tables>(
    context: &Context<'_, P, T>,
    place: u32,
    remote: F::Address,
) -> Result<Verdict, DropReason> {
    let Some(mut note) = outline::<F, P, T>(context, place, remote) else {
        return Err(DropReason::FirstFragmentNotSeen);
    };
    match find(context.tables, context.slot, &mut note) {
        Found::PASS => Ok(Verdict::pass(note.rule)),
        Found::OVERLAP => Err(DropReason::Fragment),
        _ => Err(DropReason::FirstFragmentNotSeen),
    }
}

/// What the note of a fragment says of its packet, by what was kept when it was followed. In the
/// place of the first one's end a later one has its own beginning.
#[inline(always)]
fn outline<F: Family, P: Packet, T: Tables>(
    context: &Context<'_, P, T>,
    place: u32,
    remote: F::Address,
) -> Option<Fragment> {
    let chain = Chain::kept(context.tables);
    let protocol = F::fragment_protocol(chain.protocol());
    Some(Fragment {
        endpoint: context.ifindex,
        selector: selector(F::VERSION, context.direction, protocol, place),
        remote: F::event_words(remote),
        id: F::identification(context.packet, chain)?,
        generation: context.endpoint.generation,
        rule: 0,
        end: chain.mark(),
        ticks: 0,
        seal: 0,
    })
}

/// Writes a note at the first of its places. What is there moves to the second.
#[inline(never)]
fn leave<T: Tables>(tables: &T, slot: u32, note: &mut Fragment) {
    note.seal = note.digest();
    let place = note.place();
    let Some(there) = tables.fragment(slot, place) else {
        return;
    };
    // In this order, so that a CPU that looks meanwhile finds it at one of them.
    if !there.is_of(note) {
        tables.leave_fragment(slot, place + 1, &there);
    }
    tables.leave_fragment(slot, place, note);
}

/// What was found of the first fragment. A number, for the one register of a result.
struct Found;

impl Found {
    const NOTHING: u32 = 0;
    const OVERLAP: u32 = 1;
    const PASS: u32 = 2;
}

/// Looks for the first fragment's note of a later one that begins at `note.end`, and completes
/// `note` by what it passed under.
#[inline(never)]
fn find<T: Tables>(tables: &T, slot: u32, note: &mut Fragment) -> u32 {
    let place = note.place();
    let mut way = 0;
    while way < WAYS {
        if let Some(there) = tables.fragment(slot, place + way)
            && there.is_of(note)
            && there.generation == note.generation
            && there.seal == there.digest()
            // The clock after the note: another CPU may have just written it.
            && tables.ticks().wrapping_sub(there.ticks) <= SECONDS * tables.ticks_per_second()
        {
            note.rule = there.rule;
            return if note.end < there.end {
                Found::OVERLAP
            } else {
                Found::PASS
            };
        }
        way += 1;
    }
    Found::NOTHING
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use netpol_common::endpoint::{Endpoint, EndpointDirection, flags};
    use netpol_common::policy::{Grant, PolicyKey};

    use crate::build::packet;
    use crate::memory::{Memory, SlicePacket};
    use crate::{Decision, from_endpoint};

    const SET: u32 = 1;

    /// Two pods that may send to anyone.
    fn memory() -> Memory {
        let mut memory = Memory::default();
        for pod in [2, 3] {
            let endpoint = Endpoint {
                egress: EndpointDirection {
                    flags: flags::ISOLATED | flags::ANYONE,
                    set: SET,
                    deny_rule: 64,
                    second_set: 0,
                },
                v4: [u32::from_ne_bytes([10, 0, 0, pod]), 0],
                ..Endpoint::default()
            };
            let ifindex = u32::from(pod);
            memory.endpoint.insert(ifindex, endpoint).expect("room");
        }
        let key = PolicyKey {
            set: SET,
            identity: netpol_common::identity::ANYONE,
        };
        let everything = Grant {
            rule: 65,
            ..Grant::default()
        };
        memory.policy.insert(key, everything).expect("room");
        memory
    }

    #[test]
    fn a_flood_of_one_pods_fragments_takes_no_place_of_anothers() {
        let memory = memory();
        let send = |pod: u8, id: u32, first: bool| {
            let source = [10, 0, 0, pod].into();
            let builder = packet(source, [10, 9, 9, 9].into()).identification(id);
            let frame = builder
                .fragment(if first { 0 } else { 2 }, first)
                .payload(&[0; 8])
                .udp(1, 2);
            from_endpoint(u32::from(pod), &SlicePacket::new(&frame), &memory)
        };
        assert_eq!(send(2, 7, true), Decision::Next);
        for id in 0..10_000 {
            assert_eq!(send(3, id, true), Decision::Next);
        }
        assert_eq!(send(2, 7, false), Decision::Next);
        assert_eq!(send(3, 9_999, false), Decision::Next);
        assert_eq!(send(3, 7, false), Decision::Drop, "its own are gone");
    }
}
