//! What a policy set says of a Service: what it says of the Service's backends.

use netpol_common::{
    Direction,
    policy::{Grant, PARTIAL},
};

use super::{CompiledPort, CompiledPorts, PolicySet};
use crate::{
    compile::{
        backends::Backends,
        frontends::{ClassPort, Content},
        terms::{Signature, Terms},
    },
    policy::Protocol,
};

impl PolicySet {
    /// Whether the set has entries for Services at all. What allows everything to anyone allows
    /// every backend, and needs none.
    pub(crate) fn asks_for_frontends(&self) -> bool {
        let to_anyone = self.wildcards.iter().any(|(_, grant)| grant.rule != 0);
        self.key.direction == Direction::Egress && !(to_anyone && self.allows_anyone_all())
    }

    fn allows_anyone_all(&self) -> bool {
        let all = |rule: &super::CompiledRule| matches!(rule.ports, CompiledPorts::All);
        self.rules.iter().any(|rule| rule.anyone && all(rule))
    }

    /// What the set grants to a frontend; `None` when it denies. Which backend a connection gets
    /// is not known, so:
    /// - a backend that is no pod must be allowed: nobody else would refuse;
    /// - of the pods one must be, and the nodes of the others refuse what is not;
    /// - where they could not know the sender, all must be.
    pub(crate) fn grant_to_frontend(
        &self,
        content: &Content,
        backends: &Backends,
        terms: &Terms,
    ) -> Option<Grant> {
        let rule_for = |(class, protocol, port): &ClassPort| {
            let signature = backends.signature(*class)?;
            self.rule_for(signature, *protocol, *port, terms)
        };
        let mut rule = None;
        let mut note = |allows: Option<usize>| {
            rule = match (rule, allows) {
                (Some(a), Some(b)) => Some(std::cmp::min(a, b)),
                (a, b) => a.or(b),
            };
            allows.is_some()
        };
        // Not `all`: each is asked, for the lowest rule.
        let others = content.others.iter().map(|other| note(rule_for(other)));
        if others.filter(|allowed| !allowed).count() > 0 {
            return None;
        }
        let pods = content.pods.iter().map(|pod| note(rule_for(pod)));
        let refused = pods.filter(|allowed| !allowed).count();
        let partial = refused > 0 || content.unknown;
        if partial && content.every {
            return None;
        }
        Some(Grant {
            rule: self.rules[rule?].counter,
            table: 0,
            levels: if partial { PARTIAL } else { 0 },
        })
    }

    /// The first rule that allows a port of whoever has a signature.
    fn rule_for(
        &self,
        signature: &Signature,
        protocol: Protocol,
        port: u16,
        terms: &Terms,
    ) -> Option<usize> {
        let of_terms = signature.terms.iter().filter_map(|t| self.by_term.get(t));
        let by_term = of_terms.flatten().copied();
        let is_pod = signature.terms.iter().any(|term| terms.is_any_pod(*term));
        let wildcard = self.rules.iter().enumerate();
        let wildcard = wildcard.filter(|(_, rule)| rule.anyone || (is_pod && rule.any_pod));
        by_term
            .chain(wildcard.map(|(index, _)| index))
            .filter(|index| self.rules[*index].ports.include(signature, protocol, port))
            .min()
    }
}

impl CompiledPorts {
    fn include(&self, signature: &Signature, protocol: Protocol, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Of(ports) => ports.iter().any(|p| p.is(signature, protocol, port)),
        }
    }
}

impl CompiledPort {
    fn is(&self, signature: &Signature, protocol: Protocol, port: u16) -> bool {
        match self {
            Self::Any(of) => *of == protocol,
            Self::Range(of, first, last) => *of == protocol && (*first..=*last).contains(&port),
            Self::Named(of, name) => {
                let mut named = signature.names.iter().filter(|(n, _)| n == name);
                *of == protocol && named.any(|(_, numbers)| numbers.contains(&port))
            }
        }
    }
}
