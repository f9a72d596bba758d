//! Which refused packets are answered, and what becomes of the answers.
//!
//! ```text
//! refused by policy, and the endpoint rejects ─ may it be answered? ─ a token left? ─> Reject
//!                                                      └─ no ──────────────┴─ no ────> Drop
//! our own answer, back from the pod's side: refused or let pass ─────────────────────> Answer
//! ```
//!
//! A packet to the pod is answered from the pod's address, as if the pod had sent it: so routing,
//! bridges and address translation lead the answer to who asked. On that way it meets the
//! program on what the pod sends, which lets it pass whatever the policy says: it carries
//! [`netpol_common::answer::MARK`], and nothing out of a pod can.

use netpol_common::Direction;
use netpol_common::answer::{MARK, place};
use netpol_common::counter::{ANSWERS_LIMITED, FIRST_RULE};
use netpol_common::protocol;

use crate::context::Context;
use crate::family::{ETHERNET_LENGTH, Family, V4, V6};
use crate::read::{self, ethertype};
use crate::report::note;
use crate::transport::{self, Kind};
use crate::verdict::{Decision, Verdict};
use crate::{Packet, Tables, limit};

/// A verdict of which the world learns, as it is carried out.
#[inline(always)]
pub(crate) fn settle<P: Packet, T: Tables>(
    context: &Context<'_, P, T>,
    verdict: Verdict,
) -> Verdict {
    match verdict.decision {
        Decision::Next | Decision::Answer => verdict,
        Decision::Drop | Decision::Reject => refused(context, verdict),
    }
}

/// A verdict that lets pass what opens no connection: our own answer may be among that.
#[inline(always)]
pub(crate) fn passing<P: Packet, T>(context: &Context<'_, P, T>, verdict: Verdict) -> Verdict {
    if is_answer(context) {
        Verdict::ANSWER
    } else {
        verdict
    }
}

#[inline(always)]
fn refused<P: Packet, T: Tables>(context: &Context<'_, P, T>, verdict: Verdict) -> Verdict {
    if is_answer(context) {
        return Verdict::ANSWER;
    }
    // Below the first rule are the reasons that are no policy's: too large, inconsistent.
    let asked = verdict.decision == Decision::Reject && verdict.counter >= FIRST_RULE;
    if asked && may_be_answered(context.packet) && take_token(context) {
        return verdict;
    }
    Verdict {
        decision: Decision::Drop,
        ..verdict
    }
}

#[inline(always)]
fn is_answer<P: Packet, T>(context: &Context<'_, P, T>) -> bool {
    context.direction == Direction::Egress && context.packet.mark() == MARK
}

#[inline(always)]
fn take_token<P, T: Tables>(context: &Context<'_, P, T>) -> bool {
    let tables = context.tables;
    let place = place(context.ifindex);
    let taken = tables
        .answer_limit(place)
        .and_then(|bucket| limit::take(tables, bucket, tables.answers_per_second()));
    match taken {
        Some(bucket) => tables.set_answer_limit(place, bucket),
        None => note(tables, ANSWERS_LIMITED),
    }
    taken.is_some()
}

/// Whether a packet may be answered, whatever refuses it.
///
/// RFC 1122, 3.2.2: "An ICMP error message MUST NOT be sent as the result of receiving: an ICMP
/// error message, or a datagram destined to an IP broadcast or IP multicast address, or a
/// datagram sent as a link-layer broadcast, or a non-initial fragment, or a datagram whose source
/// address does not define a single host". RFC 4443, 2.4, says the same of IPv6. RFC 9293, 3.10.7.1:
/// a segment without a connection is answered by a RST, but for a RST.
///
/// Not inlined: it is needed in several places, and none is on the way of a packet that passes.
#[inline(never)]
fn may_be_answered<P: Packet>(packet: &P) -> bool {
    let Some([destination]) = packet.load(0) else {
        return false;
    };
    // The first bit on the wire of an Ethernet address: a group, which all hosts are one of.
    if u32::from_be(destination) >> 24 & 1 != 0 {
        return false;
    }
    match ethertype(packet) {
        Ok(ethertype::IPV4) => ip_may_be_answered::<V4, P>(packet),
        Ok(ethertype::IPV6) => ip_may_be_answered::<V6, P>(packet),
        _ => false,
    }
}

#[inline(always)]
fn ip_may_be_answered<F: Family, P: Packet>(packet: &P) -> bool {
    let Some(header) = read::near::<F, P>(packet) else {
        return false;
    };
    let Ok((source, destination)) = read::sides::<F, P>(packet, Direction::Egress) else {
        return false;
    };
    // A quote has room for IPv4's options, and for none of IPv6's headers.
    let extended = F::VERSION == 6 && header.payload() != ETHERNET_LENGTH + 40;
    if extended || F::first(header.part) || !F::is_one_host(source) || !F::is_one_host(destination)
    {
        return false;
    }
    let Ok(transport) = transport::read::<F, P>(packet, &header) else {
        return false;
    };
    let kind = transport.kind;
    if kind.is_stream() {
        return !kind.resets();
    }
    if header.protocol == protocol::ICMP || header.protocol == protocol::ICMPV6 {
        // Of ICMP only what is certainly no error.
        return kind == Kind::ECHO_REQUEST || kind == Kind::ECHO_REPLY;
    }
    kind == Kind::DATAGRAM
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use netpol_common::counter::ANSWERS_LIMITED;
    use netpol_common::endpoint::{Endpoint, EndpointDirection, flags};

    use crate::build::packet;
    use crate::memory::{Memory, SlicePacket};
    use crate::{Decision, from_endpoint};

    const DENY: u32 = 70;

    #[test]
    fn each_endpoint_has_answers_of_its_own_for_each_second() {
        let mut memory = Memory::default();
        memory.answers_per_second = 3;
        let endpoint = Endpoint {
            egress: EndpointDirection {
                flags: flags::ISOLATED | flags::REJECT,
                set: 1,
                deny_rule: DENY,
                second_set: 0,
            },
            v4: [u32::from_ne_bytes([10, 0, 0, 2]), 0],
            ..Endpoint::default()
        };
        for ifindex in [1, 2] {
            memory.endpoint.insert(ifindex, endpoint).expect("room");
        }
        let frame = packet([10, 0, 0, 2].into(), [10, 0, 0, 3].into()).udp(1, 2);
        let answers = |ifindex| {
            let judge = || from_endpoint(ifindex, &SlicePacket::new(&frame), &memory);
            (0..10).filter(|_| judge() == Decision::Reject).count()
        };
        assert_eq!([answers(1), answers(1), answers(2)], [3, 0, 3]);
        memory.advance(1);
        assert_eq!(answers(1), 3);
        assert_eq!(memory.counter(ANSWERS_LIMITED).packets, 7 + 10 + 7 + 7);
        assert_eq!(memory.counter(DENY).packets, 40);
    }
}
