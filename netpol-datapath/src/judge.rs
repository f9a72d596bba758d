//! What the policies of an endpoint say of a connection.
//!
//! ```text
//! ingress   identity of the peer ─ policy set ─ ports ─ allowed? ─ denies.rs: may the peer send?
//! egress    service.rs: a Service's address? ── yes ── what the set says of its backends
//!                        └─ no ─ identity of the peer ─ policy set ─ ports
//! ```

mod denies;
mod service;

use netpol_common::Direction;
use netpol_common::counter::{DropReason, NOT_ISOLATED};
use netpol_common::endpoint::{Endpoint, EndpointDirection, flags};
use netpol_common::identity::{ANY_POD, ANYONE, POD, SERVICE};
use netpol_common::policy::{ALLOW, Grant, PORT_LEVELS, PolicyKey, PortKey};
use netpol_common::protocol;

use crate::Tables;
use crate::family::{Family, V4, V6};

/// What policy says, and the counter of the rule or default deny that says it.
///
/// In one register, since judging is a function of its own in the BPF programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[repr(transparent)]
pub(crate) struct Judgement(u64);

impl Judgement {
    const ALLOWED: u64 = 1 << 32;
    const OWN_SERVICE: u64 = 1 << 33;

    #[inline(always)]
    pub(crate) const fn allowed(rule: u32) -> Self {
        Self(Self::ALLOWED | rule as u64)
    }

    #[inline(always)]
    pub(crate) const fn denied(rule: u32) -> Self {
        Self(rule as u64)
    }

    /// The maps contradict themselves. Denied, but not by the policy.
    const INCONSISTENT: Self = Self::denied(DropReason::Inconsistent.counter());

    #[inline(always)]
    pub(crate) const fn is_allowed(self) -> bool {
        self.0 & Self::ALLOWED != 0
    }

    #[inline(always)]
    pub(crate) const fn is_inconsistent(self) -> bool {
        self.0 == Self::INCONSISTENT.0
    }

    /// The peer is a Service that may lead back to the endpoint.
    #[inline(always)]
    pub(crate) const fn is_own_service(self) -> bool {
        self.0 & Self::OWN_SERVICE != 0
    }

    #[inline(always)]
    const fn of_own_service(self, own: bool) -> Self {
        if own {
            Self(self.0 | Self::OWN_SERVICE)
        } else {
            self
        }
    }

    /// The counter of the rule that allows, or of what denies.
    #[inline(always)]
    pub(crate) const fn rule(self) -> u32 {
        self.0 as u32
    }
}

/// What a connection is judged by, apart from the peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Opening(u32);

impl Opening {
    /// Of the direction in which the connection was opened, its protocol, and the port of the side
    /// that did not open it.
    #[inline(always)]
    pub(crate) const fn new(direction: Direction, protocol: u8, port: u16) -> Self {
        Self((direction as u32) << 24 | (protocol as u32) << 16 | port as u32)
    }

    #[inline(always)]
    const fn is_egress(self) -> bool {
        self.0 >> 24 == Direction::Egress as u32
    }

    #[inline(always)]
    const fn protocol(self) -> u8 {
        (self.0 >> 16) as u8
    }

    #[inline(always)]
    const fn port(self) -> u16 {
        self.0 as u16
    }
}

/// Judges a connection by the rules of the direction in which it was opened: of an IPv4 peer, as
/// [`Tables::judge_v4`] is asked.
#[inline(always)]
pub fn judge_v4<T: Tables>(tables: &T, slot: u32, remote: u32, opening: u32) -> u64 {
    in_slot::<V4, T>(tables, slot, &remote, Opening(opening)).0
}

/// The same of an IPv6 peer, as [`Tables::judge_v6`] is asked.
#[inline(always)]
pub fn judge_v6<T: Tables>(tables: &T, slot: u32, remote: [u32; 4], opening: u32) -> u64 {
    in_slot::<V6, T>(tables, slot, &remote, Opening(opening)).0
}

/// Judges a connection to or from an IPv4 peer of the endpoint in a slot.
#[inline(always)]
pub(crate) fn ask_v4<T: Tables>(tables: &T, slot: u32, remote: u32, opening: Opening) -> Judgement {
    Judgement(tables.judge_v4(slot, remote, opening.0))
}

/// The same of an IPv6 peer.
#[inline(always)]
pub(crate) fn ask_v6<T: Tables>(
    tables: &T,
    slot: u32,
    remote: [u32; 4],
    opening: Opening,
) -> Judgement {
    Judgement(tables.judge_v6(slot, remote, opening.0))
}

#[inline(always)]
fn in_slot<F: Family, T: Tables>(
    tables: &T,
    slot: u32,
    remote: &F::Address,
    opening: Opening,
) -> Judgement {
    match tables.entry(slot) {
        Some(endpoint) => judge::<F, T>(tables, endpoint, remote, opening),
        None => Judgement::INCONSISTENT,
    }
}

#[inline(always)]
fn judge<F: Family, T: Tables>(
    tables: &T,
    endpoint: &Endpoint,
    remote: &F::Address,
    opening: Opening,
) -> Judgement {
    if opening.is_egress() {
        let rules = &endpoint.egress;
        // Without isolation a Service matters only for the way back to an isolated pod.
        let own = rules.flags & flags::OWN_SERVICES != 0 && endpoint.ingress.isolated();
        let frontend = if rules.isolated() || own {
            service::identity::<F, T>(tables, rules, *remote, opening)
        } else {
            None
        };
        return match frontend {
            Some(identity) if identity & SERVICE != 0 => service::judge(tables, rules, identity),
            // An entry on its way: the Service's place is still, or already, that of an address.
            Some(identity) => by_identity(tables, rules, identity, opening),
            None => by_address::<F, T>(tables, rules, *remote, opening),
        };
    }
    let rules = &endpoint.ingress;
    let judgement = by_address::<F, T>(tables, rules, *remote, opening);
    if rules.flags & flags::DENIES != 0 && judgement.is_allowed() {
        let address = F::node_key(*remote);
        return denies::judge(tables, rules, &address, opening).unwrap_or(judgement);
    }
    judgement
}

/// What the policy set says of an address.
#[inline(always)]
fn by_address<F: Family, T: Tables>(
    tables: &T,
    rules: &EndpointDirection,
    remote: F::Address,
    opening: Opening,
) -> Judgement {
    if !rules.isolated() {
        return Judgement::allowed(NOT_ISOLATED);
    }
    let identity = identity::<F, T>(tables, rules, remote);
    by_identity(tables, rules, identity, opening)
}

/// What the policy set says of an identity.
#[inline(always)]
fn by_identity<T: Tables>(
    tables: &T,
    rules: &EndpointDirection,
    identity: u32,
    opening: Opening,
) -> Judgement {
    if !rules.isolated() {
        return Judgement::allowed(NOT_ISOLATED);
    }
    let granted = match grant(tables, rules, identity) {
        Ok(granted) => granted,
        Err(inconsistent) => return inconsistent,
    };
    let Some(grant) = granted else {
        return Judgement::denied(rules.deny_rule);
    };
    if grant.rule != 0 {
        return Judgement::allowed(grant.rule);
    }
    if !has_ports(opening.protocol()) || grant.table == 0 {
        return Judgement::denied(rules.deny_rule);
    }
    port_verdict(tables, grant, opening).unwrap_or(Judgement::denied(rules.deny_rule))
}

/// What the policy set grants to an identity: its own entry, or a wildcard's.
#[inline(always)]
fn grant<T: Tables>(
    tables: &T,
    rules: &EndpointDirection,
    identity: u32,
) -> Result<Option<Grant>, Judgement> {
    let set = rules.set;
    if identity != ANYONE
        && let Some(grant) = tables.policy(&PolicyKey { set, identity })
    {
        return Ok(Some(grant));
    }
    let identity = if identity & POD != 0 && rules.flags & flags::ANY_POD != 0 {
        ANY_POD
    } else if rules.flags & flags::ANYONE != 0 {
        ANYONE
    } else {
        return Ok(None);
    };
    // The endpoint says that the wildcard's entry is there.
    match tables.policy(&PolicyKey { set, identity }) {
        Some(grant) => Ok(Some(grant)),
        None => Err(Judgement::INCONSISTENT),
    }
}

/// The identity of an address; [`ANYONE`] when no term in use matches it.
#[inline(always)]
fn identity<F: Family, T: Tables>(
    tables: &T,
    rules: &EndpointDirection,
    remote: F::Address,
) -> u32 {
    match F::identity(tables, remote) {
        Some(identity) => identity,
        None if rules.flags & flags::CIDR != 0 => F::cidr(tables, remote).unwrap_or(ANYONE),
        None => ANYONE,
    }
}

/// What a port table says of a port: the most specific prefix that has an entry.
#[inline(always)]
fn port_verdict<T: Tables>(tables: &T, grant: Grant, opening: Opening) -> Option<Judgement> {
    let mut level = 0;
    while level < PORT_LEVELS.len() {
        if grant.levels & (1 << level) != 0 {
            let key = PortKey::new(
                grant.table,
                opening.protocol(),
                PORT_LEVELS[level],
                opening.port(),
            );
            if let Some(verdict) = tables.port(&key) {
                return Some(if verdict.verdict == ALLOW {
                    Judgement::allowed(verdict.rule)
                } else {
                    Judgement::denied(verdict.rule)
                });
            }
        }
        level += 1;
    }
    None
}

/// The protocols that a policy can name: the API has "TCP", "UDP" and "SCTP". Everything else
/// passes only by a rule that names no ports.
#[inline(always)]
const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
}

#[cfg(all(test, feature = "std"))]
mod tests;
