//! What the egress policies of other pods forbid these to send to the endpoint.
//!
//! A packet to a Service's address was judged at its source by all that the Service leads to. Here
//! the backend is known, and here it is refused if it is one of those that the source may not
//! reach.

use netpol_common::endpoint::EndpointDirection;
use netpol_common::identity::Address6;
use netpol_common::policy::{PORT_LEVELS, PolicyKey, PortKey};

use super::{Judgement, Opening, has_ports};
use crate::Tables;

/// The level at which single ports stand.
const EXACT: u32 = 1;

/// The refusal of a connection from an address, if its pod may not send here.
#[inline(always)]
pub(super) fn judge<T: Tables>(
    tables: &T,
    rules: &EndpointDirection,
    remote: &Address6,
    opening: Opening,
) -> Option<Judgement> {
    // Services have ports; what has none was judged at its source.
    if !has_ports(opening.protocol()) {
        return None;
    }
    let identity = tables.source(remote)?;
    let denied = tables.policy(&PolicyKey {
        set: rules.second_set,
        identity,
    })?;
    if denied.rule == 0 {
        return None;
    }
    if denied.levels & EXACT != 0 {
        let key = PortKey::new(
            denied.table,
            opening.protocol(),
            PORT_LEVELS[0],
            opening.port(),
        );
        tables.port(&key)?;
    }
    Some(Judgement::denied(denied.rule))
}
