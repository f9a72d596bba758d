//! Rules and default denies: what a verdict is attributed to, and the counter it has.

use std::{collections::HashMap, sync::Arc};

use netpol_common::{Direction, maps::Digest, maps::NumberKind};

use crate::{digest::digest_of, numbers::Numbers, object::ObjectKey, policy::Policy};

/// What a counter number stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attribution {
    /// A rule of a policy.
    Rule {
        /// The policy.
        policy: Arc<Policy>,
        /// The direction.
        direction: RuleDirection,
        /// The rule's place in `spec.ingress` or `spec.egress`.
        index: usize,
    },
    /// The default deny of endpoints that these policies isolate.
    DefaultDeny {
        /// The policies, sorted.
        policies: Vec<ObjectKey>,
        /// The direction.
        direction: RuleDirection,
    },
    /// What the egress policies of pods of other nodes, or of this one, forbid these to send here.
    SourceDeny {
        /// The policies, sorted.
        policies: Vec<ObjectKey>,
    },
}

/// [`Direction`], where it is part of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RuleDirection {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

impl From<Direction> for RuleDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self::Ingress,
            Direction::Egress => Self::Egress,
        }
    }
}

impl From<RuleDirection> for Direction {
    fn from(direction: RuleDirection) -> Self {
        match direction {
            RuleDirection::Ingress => Self::Ingress,
            RuleDirection::Egress => Self::Egress,
        }
    }
}

/// What of an attribution makes it another counter: a rule keeps its count as long as its policy
/// keeps the rule, word for word, at its place.
fn digest(attribution: &Attribution) -> Digest {
    let kind = NumberKind::Rule as u32;
    match attribution {
        Attribution::Rule {
            policy,
            direction,
            index,
        } => {
            let rule = policy
                .rules((*direction).into())
                .and_then(|r| r.get(*index));
            digest_of(&(kind, &policy.key, direction, index, rule))
        }
        Attribution::DefaultDeny {
            policies,
            direction,
        } => digest_of(&(kind, policies, direction)),
        Attribution::SourceDeny { policies } => digest_of(&(kind, "source", policies)),
    }
}

#[derive(Debug, Default)]
pub(crate) struct Rules {
    by_digest: HashMap<Digest, Rule>,
    digests: HashMap<u32, Digest>,
}

#[derive(Debug)]
struct Rule {
    number: u32,
    attribution: Attribution,
    uses: usize,
}

impl Rules {
    /// The counter of an attribution, in use once more.
    pub(crate) fn acquire(&mut self, attribution: Attribution, numbers: &mut Numbers) -> u32 {
        let digest = digest(&attribution);
        let rule = self.by_digest.entry(digest).or_insert_with(|| Rule {
            number: numbers.acquire(NumberKind::Rule, digest),
            attribution,
            uses: 0,
        });
        rule.uses += 1;
        self.digests.insert(rule.number, digest);
        rule.number
    }

    /// The counter is no longer in use.
    pub(crate) fn release(&mut self, number: u32, numbers: &mut Numbers) {
        let Some(digest) = self.digests.get(&number) else {
            return;
        };
        let Some(rule) = self.by_digest.get_mut(digest) else {
            return;
        };
        rule.uses -= 1;
        if rule.uses == 0 {
            numbers.release(digest);
            self.by_digest.remove(digest);
            self.digests.remove(&number);
        }
    }

    pub(crate) fn attribution(&self, number: u32) -> Option<&Attribution> {
        let digest = self.digests.get(&number)?;
        self.by_digest.get(digest).map(|rule| &rule.attribution)
    }

    /// All counters in use, and what they stand for.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Attribution)> {
        self.by_digest
            .values()
            .map(|rule| (rule.number, &rule.attribution))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_digest.len()
    }
}
