//! Policy sets: all that applies to an endpoint in one direction, compiled once for all endpoints
//! with the same content.

mod frontends;

use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

use netpol_common::{
    Direction,
    endpoint::{EndpointDirection, flags},
    identity::{ANY_POD, ANYONE},
    maps::{Digest, NumberKind},
    policy::Grant,
};
use slab::Slab;

use super::{
    frontends::FrontendIndex,
    identities::IdentityIndex,
    ports::{Content, PortTables, add_any, add_range},
    rules::{Attribution, Rules},
    terms::{NameIndex, PortName, Signature, TermIndex, Terms},
};
use crate::{
    digest::digest_of,
    numbers::Numbers,
    object::{NamedPort, ObjectKey},
    policy::{Peer, Peers, Policy, PortSpec, Ports, Protocol, Rule},
};

/// Place of a policy set in the store.
pub(crate) type SetIndex = usize;

/// A policy in one direction. Two are the same when their names and their rules of that direction
/// are: what the policy says of the other direction makes no other set.
#[derive(Clone, Debug)]
pub(crate) struct AppliedPolicy {
    pub(crate) policy: Arc<Policy>,
    /// Of its name, the direction, and its rules there.
    digest: Digest,
}

impl AppliedPolicy {
    /// The policy in a direction, if it isolates there.
    pub(crate) fn new(policy: &Arc<Policy>, direction: Direction) -> Option<Self> {
        let rules = policy.rules(direction)?;
        Some(Self {
            policy: Arc::clone(policy),
            digest: digest_of(&(&policy.key, direction as u32, rules)),
        })
    }
}

impl PartialEq for AppliedPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for AppliedPolicy {}

impl Hash for AppliedPolicy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// What makes two endpoints share a policy set: the same policies, and, for ingress, the same
/// numbers behind the port names these policies use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SetKey {
    direction: Direction,
    policies: Vec<AppliedPolicy>,
    named_ports: Vec<NamedPort>,
}

impl SetKey {
    /// The key of an endpoint, given the policies that isolate it, sorted by key; `None` when no
    /// policy does.
    pub(crate) fn new(
        direction: Direction,
        policies: Vec<AppliedPolicy>,
        named_ports: &[NamedPort],
    ) -> Option<Self> {
        if policies.is_empty() {
            return None;
        }
        let named_ports = match direction {
            Direction::Egress => Vec::new(),
            Direction::Ingress => {
                let used = |port: &&NamedPort| {
                    policies
                        .iter()
                        .any(|applied| names(&applied.policy, direction, &port.name, port.protocol))
                };
                named_ports.iter().filter(used).cloned().collect()
            }
        };
        Some(Self {
            direction,
            policies,
            named_ports,
        })
    }

    pub(crate) fn policies(&self) -> impl Iterator<Item = &ObjectKey> {
        self.policies.iter().map(|applied| &applied.policy.key)
    }

    fn digest(&self) -> Digest {
        let kind = NumberKind::PolicySet as u32;
        let direction = self.direction as u32;
        digest_of(&(kind, direction, &self.policies, &self.named_ports))
    }
}

fn names(policy: &Policy, direction: Direction, name: &str, protocol: Protocol) -> bool {
    let rules = policy.rules(direction).into_iter().flatten();
    let mut ports = rules.flat_map(|rule| match &rule.ports {
        Ports::All => [].iter(),
        Ports::Of(ports) => ports.iter(),
    });
    ports.any(|p| p.protocol == protocol && matches!(&p.port, PortSpec::Named(n) if n == name))
}

#[derive(Debug)]
pub(crate) struct PolicySet {
    pub(crate) number: u32,
    digest: Digest,
    uses: usize,
    pub(crate) key: SetKey,
    /// The policies it is of, sorted.
    pub(crate) policies: Arc<[ObjectKey]>,
    deny_rule: u32,
    rules: Vec<CompiledRule>,
    by_term: HashMap<TermIndex, Vec<usize>>,
    /// Rules that apply to any pod, or to anyone, and ask for a port by name.
    named_for_all: HashMap<NameIndex, Vec<usize>>,
    used_names: HashSet<NameIndex>,
    flags: u32,
    wildcards: Vec<(u32, Grant)>,
    pub(crate) entries: HashMap<IdentityIndex, Grant>,
    /// The frontends it has an entry for.
    pub(crate) frontends: HashSet<FrontendIndex>,
}

#[derive(Debug)]
struct CompiledRule {
    counter: u32,
    /// `from` or `to` absent or empty.
    anyone: bool,
    /// "Any pod" is among its peers.
    any_pod: bool,
    ports: CompiledPorts,
}

#[derive(Debug)]
enum CompiledPorts {
    All,
    Of(Vec<CompiledPort>),
}

#[derive(Debug)]
enum CompiledPort {
    Any(Protocol),
    Range(Protocol, u16, u16),
    /// Egress only: what the name means is the peer's matter.
    Named(Protocol, NameIndex),
}

#[derive(Debug, Default)]
pub(crate) struct Sets {
    pub(crate) sets: Slab<PolicySet>,
    by_key: HashMap<SetKey, SetIndex>,
    /// Sets that came since the last commit.
    pub(crate) fresh: Vec<SetIndex>,
    idle: Vec<SetIndex>,
}

/// What sets refer to and share.
pub(crate) struct Shared<'a> {
    pub(crate) terms: &'a mut Terms,
    pub(crate) rules: &'a mut Rules,
    pub(crate) ports: &'a mut PortTables,
    pub(crate) numbers: &'a mut Numbers,
}

impl Sets {
    /// An endpoint asks for a set.
    pub(crate) fn acquire(&mut self, key: SetKey, shared: &mut Shared<'_>) -> SetIndex {
        if let Some(place) = self.by_key.get(&key) {
            self.sets[*place].uses += 1;
            return *place;
        }
        let entry = self.sets.vacant_entry();
        let place = entry.key();
        entry.insert(PolicySet::compile(place, key.clone(), shared));
        self.by_key.insert(key, place);
        self.fresh.push(place);
        place
    }

    /// An endpoint no longer asks for a set.
    pub(crate) fn release(&mut self, place: SetIndex) {
        self.sets[place].uses -= 1;
        if self.sets[place].uses == 0 {
            self.idle.push(place);
        }
    }

    /// Takes out the sets no endpoint asks for, and gives them.
    pub(crate) fn collect(&mut self, shared: &mut Shared<'_>) -> Vec<(SetIndex, PolicySet)> {
        let mut gone = Vec::new();
        for place in std::mem::take(&mut self.idle) {
            if self.sets.get(place).is_none_or(|set| set.uses > 0) {
                continue;
            }
            let set = self.sets.remove(place);
            self.by_key.remove(&set.key);
            set.release_all(place, shared);
            gone.push((place, set));
        }
        self.fresh.retain(|place| self.sets.contains(*place));
        gone
    }
}

impl PolicySet {
    fn compile(place: SetIndex, key: SetKey, shared: &mut Shared<'_>) -> Self {
        let digest = key.digest();
        let policies: Arc<[ObjectKey]> = key.policies().cloned().collect();
        let deny = Attribution::DefaultDeny {
            policies: policies.to_vec(),
            direction: key.direction.into(),
        };
        let mut set = Self {
            number: shared.numbers.acquire(NumberKind::PolicySet, digest),
            digest,
            uses: 1,
            deny_rule: shared.rules.acquire(deny, shared.numbers),
            rules: Vec::new(),
            by_term: HashMap::new(),
            named_for_all: HashMap::new(),
            used_names: HashSet::new(),
            flags: flags::ISOLATED,
            wildcards: Vec::new(),
            entries: HashMap::new(),
            frontends: HashSet::new(),
            policies,
            key,
        };
        for AppliedPolicy { policy, .. } in set.key.policies.clone() {
            let rules = policy.rules(set.key.direction).unwrap_or_default();
            for (index, rule) in rules.iter().enumerate() {
                let attribution = Attribution::Rule {
                    policy: Arc::clone(&policy),
                    direction: set.key.direction.into(),
                    index,
                };
                let counter = shared.rules.acquire(attribution, shared.numbers);
                set.add_rule(place, counter, rule, shared);
            }
        }
        set.add_wildcards(shared);
        set
    }

    fn add_rule(&mut self, place: SetIndex, counter: u32, rule: &Rule, shared: &mut Shared<'_>) {
        let index = self.rules.len();
        let mut any_pod = false;
        if let Peers::Of(peers) = &rule.peers {
            for peer in peers {
                let term = shared.terms.acquire(peer, place);
                if matches!(peer, Peer::Block(_)) {
                    self.flags |= flags::CIDR;
                }
                // What is granted to any pod has an entry of its own, not one for each identity.
                if peer.is_any_pod() {
                    any_pod = true;
                    self.by_term.entry(term).or_default();
                    continue;
                }
                let rules = self.by_term.entry(term).or_default();
                if rules.last() != Some(&index) {
                    rules.push(index);
                }
            }
        }
        let compiled = CompiledRule {
            counter,
            anyone: rule.peers == Peers::Anyone,
            any_pod,
            ports: self.compile_ports(place, &rule.ports, shared),
        };
        if let (true, CompiledPorts::Of(ports)) = (compiled.anyone || any_pod, &compiled.ports) {
            for port in ports {
                if let CompiledPort::Named(_, name) = port {
                    self.named_for_all.entry(*name).or_default().push(index);
                }
            }
        }
        self.rules.push(compiled);
    }

    fn compile_ports(
        &mut self,
        place: SetIndex,
        ports: &Ports,
        shared: &mut Shared<'_>,
    ) -> CompiledPorts {
        let Ports::Of(ports) = ports else {
            return CompiledPorts::All;
        };
        let mut compiled = Vec::new();
        for port in ports {
            let protocol = port.protocol;
            match &port.port {
                PortSpec::Any => compiled.push(CompiledPort::Any(protocol)),
                PortSpec::Range { first, last } => {
                    compiled.push(CompiledPort::Range(protocol, first.get(), last.get()));
                }
                PortSpec::Named(name) if self.key.direction == Direction::Ingress => {
                    let same = |p: &&NamedPort| p.name == *name && p.protocol == protocol;
                    for port in self.key.named_ports.iter().filter(same) {
                        let number = port.number;
                        compiled.push(CompiledPort::Range(protocol, number, number));
                    }
                }
                PortSpec::Named(name) => {
                    let name: PortName = (name.clone(), protocol);
                    let name = shared.terms.acquire_name(&name, place);
                    self.used_names.insert(name);
                    compiled.push(CompiledPort::Named(protocol, name));
                }
            }
        }
        CompiledPorts::Of(compiled)
    }

    fn add_wildcards(&mut self, shared: &mut Shared<'_>) {
        let anyone: Vec<usize> = self.rules_where(|rule| rule.anyone);
        let any_pod: Vec<usize> = self.rules_where(|rule| rule.anyone || rule.any_pod);
        let nothing = Signature::default();
        if any_pod.len() > anyone.len() {
            self.flags |= flags::ANY_POD;
            let grant = self.grant(&any_pod, &nothing, shared);
            self.wildcards.push((ANY_POD, grant));
        }
        if !anyone.is_empty() {
            self.flags |= flags::ANYONE;
            let grant = self.grant(&anyone, &nothing, shared);
            self.wildcards.push((ANYONE, grant));
        }
    }

    fn rules_where(&self, wanted: impl Fn(&CompiledRule) -> bool) -> Vec<usize> {
        let rules = self.rules.iter().enumerate();
        rules
            .filter(|(_, rule)| wanted(rule))
            .map(|(index, _)| index)
            .collect()
    }

    /// What the set grants to a signature, and releases with [`PolicySet::release_all`]; `None`
    /// when the wildcards say all of it.
    pub(crate) fn grant_to(
        &self,
        signature: &Signature,
        terms: &Terms,
        ports: &mut PortTables,
        numbers: &mut Numbers,
    ) -> Option<Grant> {
        let of_terms = signature.terms.iter().filter_map(|t| self.by_term.get(t));
        let of_names = signature
            .names
            .iter()
            .filter_map(|(name, _)| self.named_for_all.get(name));
        let mut rules: Vec<usize> = of_terms.chain(of_names).flatten().copied().collect();
        if rules.is_empty() {
            return None;
        }
        let is_pod = signature.terms.iter().any(|term| terms.is_any_pod(*term));
        rules.extend(self.rules_where(|rule| rule.anyone || (is_pod && rule.any_pod)));
        rules.sort_unstable();
        rules.dedup();
        Some(self.grant_of(&rules, signature, ports, numbers))
    }

    fn grant(&self, rules: &[usize], signature: &Signature, shared: &mut Shared<'_>) -> Grant {
        self.grant_of(rules, signature, shared.ports, shared.numbers)
    }

    fn grant_of(
        &self,
        rules: &[usize],
        signature: &Signature,
        tables: &mut PortTables,
        numbers: &mut Numbers,
    ) -> Grant {
        let rules = || rules.iter().map(|index| &self.rules[*index]);
        if let Some(rule) = rules().find(|rule| matches!(rule.ports, CompiledPorts::All)) {
            return Grant {
                rule: rule.counter,
                table: 0,
                levels: 0,
            };
        }
        let mut content = Content::new();
        for rule in rules() {
            if let CompiledPorts::Of(ports) = &rule.ports {
                for port in ports {
                    port.add_to(&mut content, signature, rule.counter);
                }
            }
        }
        tables.acquire(content, numbers)
    }

    fn release_all(&self, place: SetIndex, shared: &mut Shared<'_>) {
        for term in self.by_term.keys() {
            shared.terms.release(*term, place);
        }
        for name in &self.used_names {
            shared.terms.release_name(*name, place);
        }
        let grants = self.wildcards.iter().map(|(_, grant)| grant);
        for grant in grants.chain(self.entries.values()) {
            shared.ports.release(grant, shared.numbers);
        }
        for rule in &self.rules {
            shared.rules.release(rule.counter, shared.numbers);
        }
        shared.rules.release(self.deny_rule, shared.numbers);
        shared.numbers.release(&self.digest);
    }

    /// Entries of the set that do not depend on any identity.
    pub(crate) fn wildcards(&self) -> &[(u32, Grant)] {
        &self.wildcards
    }

    /// Terms that rules name other than as "any pod".
    fn specific_terms(&self) -> impl Iterator<Item = TermIndex> {
        let terms = self.by_term.iter();
        terms
            .filter(|(_, rules)| !rules.is_empty())
            .map(|(term, _)| *term)
    }

    /// Terms and names whose identities need an entry.
    pub(crate) fn asks(&self) -> (Vec<TermIndex>, Vec<NameIndex>) {
        (
            self.specific_terms().collect(),
            self.named_for_all.keys().copied().collect(),
        )
    }

    /// How much the set holds in the maps.
    pub(crate) fn weight(&self) -> usize {
        self.entries.len()
            + self.frontends.len()
            + self.wildcards.len()
            + self.rules.len()
            + self.by_term.len()
    }

    /// What an endpoint's entry says of the set.
    pub(crate) fn of_endpoint(&self) -> EndpointDirection {
        EndpointDirection {
            flags: self.flags,
            set: self.number,
            deny_rule: self.deny_rule,
            second_set: 0,
        }
    }
}

impl CompiledPort {
    fn add_to(&self, content: &mut Content, signature: &Signature, rule: u32) {
        match self {
            Self::Any(protocol) => add_any(content, *protocol, rule),
            Self::Range(protocol, first, last) => {
                add_range(content, *protocol, *first, *last, rule);
            }
            Self::Named(protocol, name) => {
                let resolved = signature.names.iter().filter(|(n, _)| n == name);
                for number in resolved.flat_map(|(_, numbers)| numbers) {
                    add_range(content, *protocol, *number, *number, rule);
                }
            }
        }
    }
}
