//! Which interface is which pod's: a pure decision over [`Facts`].
//!
//! ```text
//! route of /32 or /128 on a veth            -> the veth                          (Host)
//! route on a bridge -> neighbour -> MAC -> forwarding entry -> the port          (Port)
//! route of a shorter prefix on a veth that is no uplink -> the veth              (Prefix)
//! the CNI plugin told                       -> what it told                       (Told)
//! nothing of these, but found before and the interface is still fit -> the same  (Held)
//! ```
//! An interface is one pod's at most: the stronger evidence has it. Routes are the node's word.
//! What is said on a bridge (ARP, the frames it learns from) is the pods' own word and may be a
//! lie: a pod that announces another's address must neither take that pod's place nor be taken for
//! it. So a pod stays where it was found for as long as that interface is fit, and only a route
//! can take an interface from the pod that holds it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use netpol_policy::ObjectKey;

use super::facts::{Facts, Link, LinkKind, Route};

/// A pod that needs an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimant {
    pub(crate) pod: ObjectKey,
    pub(crate) addresses: Vec<IpAddr>,
    /// It has been asked to go: another pod may have its address already.
    pub(crate) terminating: bool,
    /// When it was created, RFC 3339.
    pub(crate) created: String,
    /// Where it was found before.
    pub(crate) held: Option<u32>,
    /// Not found, but told by the CNI plugin: the kernel's word for which pair is the pod's.
    pub(crate) told: bool,
}

/// The outcome for all pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The interface of each pod that has one.
    pub(crate) found: BTreeMap<ObjectKey, u32>,
    /// Why a pod has none: a clause for people.
    pub(crate) missing: BTreeMap<ObjectKey, String>,
    /// What to ask the kernel to find out.
    pub(crate) questions: Vec<Question>,
}

/// Who has this address on this bridge? The answer tells the kernel the link-layer address, and
/// the bridge the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Question {
    pub(crate) bridge: u32,
    pub(crate) address: IpAddr,
}

/// Grounds for an interface, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    /// The CNI plugin told.
    Told,
    /// A route to this address alone.
    Host,
    /// A weaker one, for the interface the pod was found at before.
    Confirmed,
    /// The pod was found there before, and nothing says that it is there still.
    Held,
    /// A bridge has learned it there.
    Port,
    /// A route to a prefix.
    Prefix,
}

/// What is known about one pod.
#[derive(Debug, Default)]
struct Trace {
    candidates: Vec<(Evidence, u32)>,
    reason: Option<String>,
    questions: Vec<Question>,
}

/// Decides for all pods.
pub(crate) fn decide(claimants: &[Claimant], facts: &Facts) -> Decision {
    let traces: Vec<_> = claimants.iter().map(|c| trace(c, facts)).collect();
    let mut claims: Vec<(Evidence, u32, usize)> = Vec::new();
    for (place, trace) in traces.iter().enumerate() {
        let of_pod = trace.candidates.iter();
        claims.extend(of_pod.map(|(evidence, ifindex)| (*evidence, *ifindex, place)));
    }
    claims.sort_by_key(|(evidence, ifindex, place)| {
        let pod = &claimants[*place];
        let holds = pod.held == Some(*ifindex);
        (
            *evidence,
            pod.terminating,
            !holds,
            Reverse(&pod.created),
            &pod.pod,
        )
    });
    let mut owners: HashMap<u32, usize> = HashMap::new();
    let mut assigned: HashMap<usize, u32> = HashMap::new();
    for (_, ifindex, place) in &claims {
        if !assigned.contains_key(place) && !owners.contains_key(ifindex) {
            owners.insert(*ifindex, *place);
            assigned.insert(*place, *ifindex);
        }
    }
    let mut decision = Decision::default();
    for (place, trace) in traces.into_iter().enumerate() {
        let pod = claimants[place].pod.clone();
        if let Some(ifindex) = assigned.get(&place) {
            decision.found.insert(pod, *ifindex);
            continue;
        }
        decision.questions.extend(trace.questions);
        let taken = trace.candidates.first().map(|(_, ifindex)| {
            let owner = &claimants[owners[ifindex]].pod;
            format!("its interface {} is {owner}'s", name_of(facts, *ifindex))
        });
        let reason = taken.or(trace.reason);
        decision.missing.insert(pod, reason.unwrap_or_default());
    }
    decision.questions.sort();
    decision.questions.dedup();
    decision
}

fn trace(claimant: &Claimant, facts: &Facts) -> Trace {
    let mut trace = Trace::default();
    if let (true, Some(held)) = (claimant.told, claimant.held) {
        if facts.links.contains_key(&held) {
            trace.candidates.push((Evidence::Told, held));
        } else {
            trace.reason = Some("its interface is gone".to_owned());
        }
        return trace;
    }
    if claimant.addresses.is_empty() {
        trace.reason = Some("it has no address yet".to_owned());
    }
    for address in &claimant.addresses {
        match evidence(*address, facts) {
            Ok(candidate) => trace.candidates.push(candidate),
            Err(Unknown { reason, question }) => {
                trace.questions.extend(question);
                trace.reason.get_or_insert(format!("{address}: {reason}"));
            }
        }
    }
    if let Some(held) = claimant.held.filter(|held| is_fit(*held, claimant, facts)) {
        for (evidence, ifindex) in &mut trace.candidates {
            if *ifindex == held && *evidence > Evidence::Confirmed {
                *evidence = Evidence::Confirmed;
            }
        }
        trace.candidates.push((Evidence::Held, held));
    }
    trace.candidates.sort();
    trace
}

/// Whether a pod can still be where it was found. One that is routed to a bridge is behind a port
/// of that bridge.
fn is_fit(held: u32, claimant: &Claimant, facts: &Facts) -> bool {
    let Some(link) = facts.links.get(&held) else {
        return false;
    };
    let is_bridge = |ifindex: &u32| {
        let link = facts.links.get(ifindex);
        link.is_some_and(|link| link.kind == LinkKind::Bridge)
    };
    let mut bridges = claimant
        .addresses
        .iter()
        .filter_map(|address| match facts.routes.get(address) {
            Some(Route::OnLink { ifindex, .. }) => Some(*ifindex),
            _ => None,
        })
        .filter(is_bridge);
    link.refusal().is_none() && bridges.all(|bridge| link.controller == Some(bridge))
}

/// Why an address leads to no interface, and what would help.
struct Unknown {
    reason: String,
    question: Option<Question>,
}

fn unknown(reason: impl Into<String>) -> Unknown {
    Unknown {
        reason: reason.into(),
        question: None,
    }
}

fn evidence(address: IpAddr, facts: &Facts) -> Result<(Evidence, u32), Unknown> {
    let (ifindex, prefix) = match facts.routes.get(&address) {
        None | Some(Route::None) => return Err(unknown("no route leads to it")),
        Some(Route::Local) => return Err(unknown("it is the node's own address")),
        Some(Route::Gateway { ifindex }) => {
            let name = name_of(facts, *ifindex);
            return Err(unknown(format!("its route leaves the node by {name}")));
        }
        Some(Route::OnLink { ifindex, prefix }) => (*ifindex, *prefix),
    };
    let Some(link) = facts.links.get(&ifindex) else {
        return Err(unknown(format!("interface {ifindex} of its route is gone")));
    };
    if prefix == 0 {
        let name = &link.name;
        return Err(unknown(format!(
            "only the default route leads to it, by {name}"
        )));
    }
    if link.kind == LinkKind::Bridge {
        return port(address, ifindex, link, facts).map(|port| (Evidence::Port, port));
    }
    if let Some(refusal) = link.refusal() {
        return Err(unknown(refusal));
    }
    let whole = if address.is_ipv4() { 32 } else { 128 };
    if prefix == whole {
        return Ok((Evidence::Host, ifindex));
    }
    if facts.uplinks.contains(&ifindex) {
        let name = &link.name;
        return Err(unknown(format!(
            "other nodes are behind {name}, which its route leaves by"
        )));
    }
    Ok((Evidence::Prefix, ifindex))
}

/// The port of a bridge behind which an address is.
fn port(address: IpAddr, bridge: u32, link: &Link, facts: &Facts) -> Result<u32, Unknown> {
    let question = Question { bridge, address };
    let Some(neighbour) = facts.neighbours.get(&(bridge, address)) else {
        return Err(Unknown {
            reason: format!("nobody on the bridge {} has answered for it", link.name),
            question: Some(question),
        });
    };
    let entries = facts.forwarding.iter();
    let mut ports: Vec<u32> = entries
        .filter(|entry| entry.bridge == bridge && entry.mac == neighbour.mac)
        .map(|entry| entry.port)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    match ports.as_slice() {
        [] => Err(Unknown {
            reason: format!("the bridge {} has not learned its port", link.name),
            // Who answered once may be somebody else by now.
            question: (!neighbour.fixed).then_some(question),
        }),
        [port] => match facts.links.get(port) {
            None => Err(unknown(format!("port {port} of the bridge is gone"))),
            Some(found) => found.refusal().map_or(Ok(*port), |why| Err(unknown(why))),
        },
        several => {
            let names: Vec<_> = several.iter().map(|port| name_of(facts, *port)).collect();
            let names = names.join(", ");
            Err(unknown(format!(
                "its link-layer address is at several ports: {names}"
            )))
        }
    }
}

fn name_of(facts: &Facts, ifindex: u32) -> String {
    let link = facts.links.get(&ifindex);
    link.map_or_else(|| format!("interface {ifindex}"), |link| link.name.clone())
}

#[cfg(test)]
mod tests;
