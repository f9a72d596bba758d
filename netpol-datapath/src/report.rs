//! Counters and events: what the world learns of a verdict.

use netpol_common::Direction;
use netpol_common::counter::{COUNTS_LOST, EVENTS_LIMITED, EVENTS_LOST};
use netpol_common::event::{ALLOWED, DENIED, Event, REJECTED};

use crate::context::Context;
use crate::family::{Family, V4, V6};
use crate::read::{ethertype, header, sides};
use crate::verdict::{Decision, Verdict};
use crate::{Packet, Tables, limit, reject, transport};

/// Counts and reports a verdict, and says what becomes of the packet.
#[inline(always)]
pub(crate) fn conclude<P: Packet, T: Tables>(
    context: &Context<'_, P, T>,
    verdict: Verdict,
) -> Decision {
    // What is refused always sends one; one branch for both keeps the way of the others short.
    let verdict = if verdict.event {
        let settled = reject::settle(context, verdict);
        count(context, settled);
        if settled.event {
            send(context, settled);
        }
        settled
    } else {
        if verdict.counter != 0 {
            count(context, verdict);
        }
        verdict
    };
    verdict.decision
}

#[inline(always)]
pub(crate) fn count<P: Packet, T: Tables>(context: &Context<'_, P, T>, verdict: Verdict) {
    let tables = context.tables;
    if !tables.count(verdict.counter, context.packet.len()) {
        note(tables, COUNTS_LOST);
    }
    tables.trace(|| {
        let said = Said::of(context.direction, verdict.decision);
        outline(context.packet, context.ifindex, verdict.counter, said)
    });
}

/// Counts what is no verdict.
#[inline(always)]
pub(crate) fn note<T: Tables>(tables: &T, counter: u32) {
    // There is nowhere left to say that this one is missing too.
    let _ = tables.count(counter, 0);
}

/// Sends an event, unless this CPU has sent its share of this second.
#[inline(always)]
fn send<P: Packet, T: Tables>(context: &Context<'_, P, T>, verdict: Verdict) {
    let tables = context.tables;
    if !take_token(tables) {
        note(tables, EVENTS_LIMITED);
        return;
    }
    let said = Said::of(context.direction, verdict.decision);
    emit(
        context.packet,
        tables,
        context.ifindex,
        verdict.counter,
        said,
    );
}

/// Direction and verdict of an event.
#[derive(Clone, Copy)]
struct Said(u32);

impl Said {
    #[inline(always)]
    const fn of(direction: Direction, decision: Decision) -> Self {
        let verdict = match decision {
            Decision::Next | Decision::Answer => ALLOWED,
            Decision::Drop => DENIED,
            Decision::Reject => REJECTED,
        };
        Self((direction as u32) << 8 | verdict)
    }

    #[inline(always)]
    const fn direction(self) -> Direction {
        if self.0 >> 8 == Direction::Egress as u32 {
            Direction::Egress
        } else {
            Direction::Ingress
        }
    }

    #[inline(always)]
    const fn verdict(self) -> u32 {
        self.0 & 0xff
    }
}

/// Emits the event of a verdict.
///
/// Not inlined: an event is large, and the stack of what passes without one is short.
#[inline(never)]
fn emit<P: Packet, T: Tables>(packet: &P, tables: &T, ifindex: u32, counter: u32, said: Said) {
    let mut event = outline(packet, ifindex, counter, said);
    describe(packet, said.direction(), &mut event);
    if !tables.emit(&event) {
        note(tables, EVENTS_LOST);
    }
}

/// The event of a verdict, before the packet is read for it.
#[inline(always)]
fn outline<P: Packet>(packet: &P, ifindex: u32, counter: u32, said: Said) -> Event {
    Event {
        endpoint: ifindex,
        direction: said.direction() as u32,
        verdict: said.verdict(),
        counter,
        length: packet.len(),
        ..Event::default()
    }
}

/// Takes a token from this CPU's bucket, which is filled once a second.
#[inline(always)]
fn take_token<T: Tables>(tables: &T) -> bool {
    let taken = tables
        .event_limit()
        .and_then(|bucket| limit::take(tables, bucket, tables.events_per_second()));
    if let Some(bucket) = taken {
        tables.set_event_limit(bucket);
    }
    taken.is_some()
}

/// Completes an event with what can be read of the packet. It reads the packet again, so that
/// the way of the many packets without an event carries nothing along for it.
#[inline(always)]
fn describe<P: Packet>(packet: &P, direction: Direction, event: &mut Event) {
    match ethertype(packet) {
        Ok(ethertype::IPV4) => describe_ip::<V4, P>(packet, direction, event),
        Ok(ethertype::IPV6) => describe_ip::<V6, P>(packet, direction, event),
        _ => {}
    }
}

#[inline(always)]
fn describe_ip<F: Family, P: Packet>(packet: &P, direction: Direction, event: &mut Event) {
    let Ok(mut header) = header::<F, P>(packet) else {
        return;
    };
    let Ok((local, remote)) = sides::<F, P>(packet, direction) else {
        return;
    };
    event.family = F::VERSION;
    event.local = F::event_words(local);
    event.remote = F::event_words(remote);
    if (header.plain || F::peek(packet, &mut header))
        && let Ok(transport) = transport::read::<F, P>(packet, &header)
    {
        event.ports = transport.endpoint_ports(direction);
    }
    event.protocol = u32::from(header.protocol);
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use netpol_common::counter::{COUNTS_LOST, EVENTS_LIMITED, EVENTS_LOST};
    use netpol_common::endpoint::{Endpoint, EndpointDirection, flags};

    use super::take_token;
    use crate::build::packet;
    use crate::memory::{Capacities, Memory, SlicePacket};
    use crate::{Decision, from_endpoint};

    const DENY: u32 = 70;

    /// Sends so many packets that are denied.
    fn deny(memory: &Memory, packets: u32) {
        let source = "10.0.0.2".parse().expect("an address");
        let destination = "10.0.0.3".parse().expect("an address");
        let frame = packet(source, destination).udp(1, 2);
        for _ in 0..packets {
            let decision = from_endpoint(1, &SlicePacket::new(&frame), memory);
            assert_eq!(decision, Decision::Drop);
        }
    }

    fn memory(capacities: Capacities, deny_rule: u32) -> Memory {
        let mut memory = Memory::new(capacities);
        let endpoint = Endpoint {
            egress: EndpointDirection {
                flags: flags::ISOLATED,
                set: 1,
                deny_rule,
                second_set: 0,
            },
            v4: [u32::from_ne_bytes([10, 0, 0, 2]), 0],
            ..Endpoint::default()
        };
        memory.endpoint.insert(1, endpoint).expect("room");
        memory
    }

    #[test]
    fn a_bucket_is_filled_once_a_second() {
        let mut memory = Memory::default();
        memory.events_per_second = 3;
        let take = || (0..10).filter(|_| take_token(&memory)).count();
        assert_eq!(take(), 3);
        assert_eq!(take(), 0);
        memory.advance(1);
        assert_eq!(take(), 3);
        // What was not used is not saved up.
        memory.advance(100);
        assert_eq!(take(), 3);
    }

    #[test]
    fn a_limit_of_zero_sends_nothing() {
        let mut memory = memory(Capacities::default(), DENY);
        memory.events_per_second = 0;
        deny(&memory, 3);
        assert!(memory.take_events().is_empty());
        assert_eq!(memory.counter(EVENTS_LIMITED).packets, 3);
        assert_eq!(memory.counter(DENY).packets, 3);
    }

    #[test]
    fn events_beyond_the_buffer_are_counted() {
        let capacities = Capacities {
            events: 4,
            ..Capacities::default()
        };
        let memory = memory(capacities, DENY);
        deny(&memory, 10);
        assert_eq!(memory.take_events().len(), 4);
        assert_eq!(memory.counter(EVENTS_LOST).packets, 6);
    }

    #[test]
    fn verdicts_beyond_the_counters_are_counted_and_carried_out() {
        let memory = memory(Capacities::default(), 1 << 20);
        deny(&memory, 2);
        assert_eq!(memory.counter(COUNTS_LOST).packets, 2);
        assert_eq!(memory.take_events().len(), 2);
    }

    #[test]
    fn an_event_carries_addresses_and_ports_from_the_endpoints_side() {
        let memory = memory(Capacities::default(), DENY);
        deny(&memory, 1);
        let events = memory.take_events();
        let event = events.first().expect("an event");
        assert_eq!(event.local[0].to_ne_bytes(), [10, 0, 0, 2]);
        assert_eq!(event.remote[0].to_ne_bytes(), [10, 0, 0, 3]);
        assert_eq!((event.family, event.protocol), (4, 17));
        assert_eq!(event.ports, 2 << 16 | 1);
    }
}
