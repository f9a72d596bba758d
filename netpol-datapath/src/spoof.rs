//! Whose address a packet from a pod may carry: the pod's.

use netpol_common::Direction;
use netpol_common::counter::{self, DropReason};

use crate::Packet;
use crate::context::Context;
use crate::family::{Family, Header};
use crate::read::{header, sides};
use crate::transport;
use crate::verdict::Verdict;

/// The verdict on an IP packet from an endpoint that is isolated in no direction: nothing but the
/// source address.
///
/// What cannot be parsed passes: no policy is there to be evaded by it, and the receiver's own
/// endpoint closes what it cannot parse.
#[inline(always)]
pub(crate) fn source<F: Family, P: Packet, T>(context: &Context<'_, P, T>) -> Verdict {
    let Ok(header) = header::<F, P>(context.packet) else {
        return Verdict::UNCOUNTED;
    };
    let own = |(local, remote)| F::place(context.endpoint, local, remote).is_some();
    if sides::<F, P>(context.packet, Direction::Egress).is_ok_and(own) {
        return Verdict::UNCOUNTED;
    }
    if is_of_link::<F, P>(context.packet, &header) {
        return Verdict::UNCOUNTED;
    }
    Verdict::drop(DropReason::Spoofed)
}

/// The verdict on an IP packet of an interface without an entry: nothing but what finds and keeps
/// the neighbour. Without it the pod could not be found when the entry comes.
#[inline(always)]
pub(crate) fn of_link<F: Family, P: Packet, T>(context: &Context<'_, P, T>) -> Verdict {
    match header::<F, P>(context.packet) {
        Ok(header) if is_of_link::<F, P>(context.packet, &header) => {
            Verdict::pass(counter::NEIGHBOUR)
        }
        _ => Verdict::drop(DropReason::UnknownEndpoint),
    }
}

#[inline(always)]
fn is_of_link<F: Family, P: Packet>(packet: &P, header: &Header) -> bool {
    header.plain
        && matches!(transport::read::<F, P>(packet, header), Ok(read) if read.kind.is_of_link())
}
