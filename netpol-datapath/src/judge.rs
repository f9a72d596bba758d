//! What the policies of an endpoint say of a connection: identity of the peer, policy set, ports.

use netpol_common::counter::{DropReason, NOT_ISOLATED};
use netpol_common::endpoint::{EndpointDirection, flags};
use netpol_common::identity::{ANY_POD, ANYONE, POD};
use netpol_common::policy::{ALLOW, Grant, PORT_LEVELS, PolicyKey, PortKey};
use netpol_common::protocol;

use crate::Tables;
use crate::family::Family;

/// What policy says, and the counter of the rule or default deny that says it.
///
/// In one register, since [`judge`] is a function of its own in the BPF programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[repr(transparent)]
pub(crate) struct Judgement(u64);

impl Judgement {
    const ALLOWED: u64 = 1 << 32;

    #[inline(always)]
    pub(crate) const fn allowed(rule: u32) -> Self {
        Self(Self::ALLOWED | rule as u64)
    }

    #[inline(always)]
    const fn denied(rule: u32) -> Self {
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

    /// The counter of the rule that allows, or of what denies.
    #[inline(always)]
    pub(crate) const fn rule(self) -> u32 {
        self.0 as u32
    }
}

/// What a connection is judged by, apart from the peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Service(u32);

impl Service {
    #[inline(always)]
    pub(crate) const fn new(protocol: u8, port: u16) -> Self {
        Self((protocol as u32) << 16 | port as u32)
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

/// Judges a connection by the rules of the direction in which it was opened.
///
/// Not inlined: it is needed in three places, and none is on the way of an established packet.
#[inline(never)]
pub(crate) fn judge<F: Family, T: Tables>(
    tables: &T,
    rules: &EndpointDirection,
    remote: &F::Address,
    service: Service,
) -> Judgement {
    if !rules.isolated() {
        return Judgement::allowed(NOT_ISOLATED);
    }
    let granted = match grant::<F, T>(tables, rules, *remote) {
        Ok(granted) => granted,
        Err(inconsistent) => return inconsistent,
    };
    let Some(grant) = granted else {
        return Judgement::denied(rules.deny_rule);
    };
    if grant.rule != 0 {
        return Judgement::allowed(grant.rule);
    }
    if !has_ports(service.protocol()) || grant.table == 0 {
        return Judgement::denied(rules.deny_rule);
    }
    port_verdict(tables, grant, service).unwrap_or(Judgement::denied(rules.deny_rule))
}

/// What the policy set grants to an address: its identity's own entry, or a wildcard's.
#[inline(always)]
fn grant<F: Family, T: Tables>(
    tables: &T,
    rules: &EndpointDirection,
    remote: F::Address,
) -> Result<Option<Grant>, Judgement> {
    let identity = identity::<F, T>(tables, rules, remote);
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
fn port_verdict<T: Tables>(tables: &T, grant: Grant, service: Service) -> Option<Judgement> {
    let mut level = 0;
    while level < PORT_LEVELS.len() {
        if grant.levels & (1 << level) != 0 {
            let key = PortKey::new(
                grant.table,
                service.protocol(),
                PORT_LEVELS[level],
                service.port(),
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
