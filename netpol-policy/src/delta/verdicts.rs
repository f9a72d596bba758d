//! What policy sets say of identities, in one state or another.

use std::collections::{BTreeMap, HashMap};

use netpol_common::{
    endpoint::{Endpoint, EndpointDirection, flags},
    identity::{ANY_POD, ANYONE, POD, SERVICE},
    policy::{Grant, PolicyKey},
};

use crate::table::Table;

/// The policy sets that endpoints ask, with their flags, by what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SetsInForce {
    /// Asked now by an endpoint that will ask another. (An endpoint that goes has no verdict in
    /// the end, and one that comes has none now: they do not count here.)
    pub(super) leaving: BTreeMap<u32, u32>,
    /// Asked in the end by an endpoint that asks another now.
    pub(super) arriving: BTreeMap<u32, u32>,
    /// Asked now and in the end, and by no endpoint that switches.
    pub(super) staying: BTreeMap<u32, u32>,
    /// Asked now and in the end, whether endpoints switch or not.
    pub(super) lasting: BTreeMap<u32, u32>,
    /// Asked in the end.
    pub(super) end: BTreeMap<u32, u32>,
    /// Those that do not let addresses move while endpoints switch: one endpoint leaves the set and
    /// another switches to it, or an endpoint keeps it while what decides beside it changes.
    pub(super) contested: BTreeMap<u32, u32>,
    /// Those that an endpoint keeps while it switches to other Services of its own.
    pub(super) beside_own: BTreeMap<u32, u32>,
}

impl SetsInForce {
    pub(super) fn of(endpoints: &Table<u32, Endpoint>) -> Self {
        let (now, end) = (endpoints.programmed(), endpoints.desired());
        let switching =
            |this: &HashMap<u32, Endpoint>, other: &HashMap<u32, Endpoint>| -> BTreeMap<u32, u32> {
                let left = lasting_endpoints(this, other).flat_map(|(this, other)| {
                    let kept: Vec<u32> = asked(other).map(|(set, _)| set).collect();
                    asked(this).filter(move |(set, _)| !kept.contains(set))
                });
                left.collect()
            };
        let leaving = switching(now, end);
        let arriving = switching(end, now);
        let end = all(end);
        let lasting: BTreeMap<u32, u32> = all(now)
            .into_iter()
            .filter(|(set, _)| end.contains_key(set))
            .collect();
        let staying = lasting
            .iter()
            .filter(|(set, _)| !leaving.contains_key(set) && !arriving.contains_key(set))
            .map(|(set, flags)| (*set, *flags))
            .collect();
        let traded = leaving.iter().filter(|(set, _)| arriving.contains_key(set));
        let contested = traded.map(|(set, flags)| (*set, *flags));
        let refusals = |side: &EndpointDirection| {
            let counts = side.flags & (flags::DENIES | flags::EVERY_BACKEND);
            let refuses = side.flags & flags::DENIES != 0;
            (counts, refuses.then_some(side.second_set))
        };
        let own = |side: &EndpointDirection| {
            let has = side.flags & flags::OWN_SERVICES != 0;
            has.then_some(side.second_set)
        };
        let contested = contested.chain(kept_beside(endpoints, refusals)).collect();
        let beside_own = kept_beside(endpoints, own).collect();
        Self {
            leaving,
            arriving,
            staying,
            lasting,
            end,
            contested,
            beside_own,
        }
    }
}

/// The endpoints that are in both, as they are in each.
fn lasting_endpoints<'a>(
    this: &'a HashMap<u32, Endpoint>,
    other: &'a HashMap<u32, Endpoint>,
) -> impl Iterator<Item = (&'a Endpoint, &'a Endpoint)> {
    this.iter()
        .filter_map(|(ifindex, endpoint)| Some((endpoint, other.get(ifindex)?)))
}

/// The sets that an endpoint keeps in a direction where something beside them changes.
fn kept_beside<T: PartialEq>(
    endpoints: &Table<u32, Endpoint>,
    beside: impl Fn(&EndpointDirection) -> T,
) -> impl Iterator<Item = (u32, u32)> {
    let both = lasting_endpoints(endpoints.programmed(), endpoints.desired());
    let sides = both.flat_map(|(a, b)| [(a.ingress, b.ingress), (a.egress, b.egress)]);
    sides
        .filter(move |(a, b)| a.set == b.set && beside(a) != beside(b))
        .filter_map(|(_, b)| of_policies(&b))
}

fn all(endpoints: &HashMap<u32, Endpoint>) -> BTreeMap<u32, u32> {
    endpoints.values().flat_map(asked).collect()
}

/// The sets that are asked about an endpoint's connections, with the flags that count there.
pub(super) fn asked(endpoint: &Endpoint) -> impl Iterator<Item = (u32, u32)> + use<> {
    let sides = [endpoint.ingress, endpoint.egress];
    let first = sides.map(|side| of_policies(&side));
    let second = sides.map(|side| {
        let has_second = side.flags & (flags::DENIES | flags::OWN_SERVICES) != 0;
        has_second.then_some((side.second_set, 0))
    });
    first.into_iter().chain(second).flatten()
}

/// The set of the policies that isolate an endpoint in a direction, with the flags that count there.
fn of_policies(side: &EndpointDirection) -> Option<(u32, u32)> {
    // What one endpoint has as its flags beside those of the set is no matter of the set's.
    let of_set = flags::ISOLATED | flags::CIDR | flags::ANY_POD | flags::ANYONE;
    (side.isolated() && side.set != 0).then_some((side.set, side.flags & of_set))
}

/// What a set grants to an identity: the datapath's look-ups, in its order.
pub(super) fn effective(
    policy: &HashMap<PolicyKey, Grant>,
    set: u32,
    set_flags: u32,
    identity: u32,
) -> Grant {
    let entry = |identity| policy.get(&PolicyKey { set, identity }).copied();
    let any_pod = || {
        let asked = identity & POD != 0 && set_flags & flags::ANY_POD != 0;
        asked.then(|| entry(ANY_POD)).flatten()
    };
    let anyone = || {
        let asked = set_flags & flags::ANYONE != 0;
        asked.then(|| entry(ANYONE)).flatten()
    };
    if identity & SERVICE != 0 {
        let everything = || anyone().filter(|grant| grant.rule != 0);
        return entry(identity).or_else(everything).unwrap_or_default();
    }
    let own = if identity == ANYONE {
        None
    } else {
        entry(identity)
    };
    own.or_else(any_pod).or_else(anyone).unwrap_or_default()
}
