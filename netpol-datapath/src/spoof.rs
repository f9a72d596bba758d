//! Whose address a packet from a pod may carry: the pod's.

use netpol_common::Direction;
use netpol_common::counter::DropReason;

use crate::context::Context;
use crate::family::{Family, V4, V6};
use crate::read::{ethertype, header};
use crate::transport;
use crate::verdict::Verdict;
use crate::{Packet, Tables};

/// The verdict at an endpoint that is isolated in no direction: nothing but the source address.
///
/// What cannot be parsed passes: no policy is there to be evaded by it, and the receiver's own
/// endpoint closes what it cannot parse.
#[inline(always)]
pub(crate) fn only<P: Packet, T: Tables>(context: &Context<'_, P, T>) -> Verdict {
    if context.direction == Direction::Ingress {
        return Verdict::UNCOUNTED;
    }
    match ethertype(context.packet) {
        Ok(ethertype::IPV4) => source::<V4, P, T>(context),
        Ok(ethertype::IPV6) => source::<V6, P, T>(context),
        _ => Verdict::UNCOUNTED,
    }
}

#[inline(always)]
fn source<F: Family, P: Packet, T>(context: &Context<'_, P, T>) -> Verdict {
    let Ok(header) = header::<F, P>(context.packet) else {
        return Verdict::UNCOUNTED;
    };
    if F::place(context.endpoint, header.source, header.destination).is_some() {
        return Verdict::UNCOUNTED;
    }
    if header.plain
        && let Ok(transport) = transport::read::<F, P>(context.packet, &header)
        && transport.kind.is_of_link()
    {
        return Verdict::UNCOUNTED;
    }
    Verdict::drop(DropReason::Spoofed)
}
