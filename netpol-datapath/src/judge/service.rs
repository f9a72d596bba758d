//! Connections to a Service's address, before it is translated to a backend's.

use netpol_common::endpoint::{EndpointDirection, flags};
use netpol_common::identity::ANYONE;
use netpol_common::policy::{PARTIAL, PolicyKey};
use netpol_common::service::{NODE_PORT_V4, NODE_PORT_V6, ServiceKey};
use netpol_common::{counter::NOT_ISOLATED, protocol};

use super::{Judgement, Opening, has_ports};
use crate::Tables;
use crate::family::Family;

/// The identity of a Service's address and port, if the peer is one. A node's address is one at
/// the ports that Services have on every node, and a node everywhere else.
#[inline(always)]
pub(super) fn identity<F: Family, T: Tables>(
    tables: &T,
    rules: &EndpointDirection,
    remote: F::Address,
    opening: Opening,
) -> Option<u32> {
    if !has_ports(opening.protocol()) {
        return None;
    }
    let address = F::node_key(remote);
    let mut key = ServiceKey::new(address.words, opening.protocol(), opening.port());
    if let Some(identity) = tables.service(&key) {
        return Some(identity);
    }
    if rules.flags & flags::NODE_PORTS == 0 {
        return None;
    }
    key.words = if F::ICMP == protocol::ICMP {
        NODE_PORT_V4
    } else {
        NODE_PORT_V6
    };
    let identity = tables.service(&key)?;
    tables.node(&address).map(|_| identity)
}

/// What the policy set says of a Service's backends, or that the endpoint is one of them itself.
#[inline(always)]
pub(super) fn judge<T: Tables>(tables: &T, rules: &EndpointDirection, identity: u32) -> Judgement {
    let entry = |set, identity| tables.policy(&PolicyKey { set, identity });
    let own = if rules.flags & flags::OWN_SERVICES != 0 {
        entry(rules.second_set, identity)
    } else {
        None
    };
    let denied = Judgement::denied(rules.deny_rule);
    let judgement = if !rules.isolated() {
        Judgement::allowed(NOT_ISOLATED)
    } else if let Some(grant) = entry(rules.set, identity) {
        let partly = grant.levels & PARTIAL != 0 && rules.flags & flags::EVERY_BACKEND != 0;
        if grant.rule == 0 || partly {
            denied
        } else {
            Judgement::allowed(grant.rule)
        }
    } else if rules.flags & flags::ANYONE == 0 {
        denied
    } else {
        // Everything to anyone is everything to every backend. Less than that was asked of each.
        match entry(rules.set, ANYONE) {
            Some(grant) if grant.rule != 0 => Judgement::allowed(grant.rule),
            Some(_) => denied,
            None => Judgement::INCONSISTENT,
        }
    };
    match own {
        // "A Pod cannot block access to itself."
        Some(own)
            if own.rule != 0
                && rules.flags & flags::EVERY_BACKEND == 0
                && !judgement.is_allowed()
                && !judgement.is_inconsistent() =>
        {
            Judgement::allowed(own.rule).of_own_service(true)
        }
        Some(_) => judgement.of_own_service(true),
        None => judgement,
    }
}
