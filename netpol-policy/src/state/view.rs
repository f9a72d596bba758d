//! What there is to know of a [`ClusterState`], for people.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use netpol_common::{Direction, maps};

use super::{ClusterState, DIRECTIONS};
use crate::{
    compile::rules::Attribution,
    object::{Kind, ObjectKey, Pod},
    policy::{Policy, PolicyProblem, PolicyVersion},
};

/// A local endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// The pod.
    pub pod: ObjectKey,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its host interface, once known.
    pub ifindex: Option<u32>,
    /// Traffic to it.
    pub ingress: EndpointDirectionView,
    /// Traffic from it.
    pub egress: EndpointDirectionView,
    /// The generation it has after the last delta.
    pub generation: u32,
    /// Why it is closed, rather than judged by its policies.
    pub closed: Option<String>,
}

/// An endpoint in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointDirectionView {
    /// A policy selects it.
    pub isolated: bool,
    /// The policies that do, sorted.
    pub policies: Arc<[ObjectKey]>,
    /// What they refuse is answered, rather than dropped in silence.
    pub rejects: bool,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Which state of the object is in force once the last delta is applied.
    pub version: PolicyVersion,
    /// The directions in which it isolates.
    pub directions: Vec<Direction>,
    /// The endpoints it selects.
    pub pods: Vec<ObjectKey>,
    /// Rules for ingress.
    pub ingress_rules: usize,
    /// Rules for egress.
    pub egress_rules: usize,
    /// What is wrong with it.
    pub problem: Option<PolicyProblem>,
}

/// What a counter number stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleView {
    /// The rule or the default deny.
    pub attribution: RuleAttribution,
    /// The direction.
    pub direction: Direction,
    /// The endpoints it applies to, sorted.
    pub pods: Vec<ObjectKey>,
}

/// A rule or a default deny.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleAttribution {
    /// A rule that allows.
    Rule {
        /// The policy.
        policy: ObjectKey,
        /// Its place in the policy's list for the direction.
        index: usize,
        /// What it says, in one line.
        text: String,
    },
    /// No rule allows, and these policies isolate.
    DefaultDeny {
        /// The policies, sorted.
        policies: Vec<ObjectKey>,
    },
    /// Egress policies of the pods that send forbid it, whatever Service led here.
    SourceDeny {
        /// The policies, sorted.
        policies: Vec<ObjectKey>,
    },
}

/// A pod whose host interface netpol needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPod {
    /// The pod.
    pub key: ObjectKey,
    /// `metadata.uid`.
    pub uid: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its host interface, once known.
    pub ifindex: Option<u32>,
}

/// How much of a map the current state needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableUse {
    /// The map.
    pub map: &'static str,
    /// Entries.
    pub used: u64,
    /// Entries it may hold.
    pub capacity: u64,
}

impl ClusterState {
    /// The local endpoints, by pod.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointView> {
        let endpoints = self.compiler.endpoints.iter();
        endpoints
            .map(|(key, endpoint)| {
                let direction = |direction| {
                    let set = endpoint.set(direction);
                    let set = set.map(|set| &self.compiler.sets.sets[set]);
                    EndpointDirectionView {
                        isolated: set.is_some() || endpoint.closed.is_some(),
                        policies: set.map(|set| Arc::clone(&set.policies)).unwrap_or_default(),
                        rejects: set.is_some() && self.compiler.rejects(endpoint, &self.cluster),
                    }
                };
                let entry = endpoint.ifindex.as_ref();
                let entry = entry.and_then(|i| self.tables.endpoints.programmed().get(i));
                EndpointView {
                    pod: key.clone(),
                    addresses: endpoint.pod.addresses.clone(),
                    ifindex: endpoint.ifindex,
                    ingress: direction(Direction::Ingress),
                    egress: direction(Direction::Egress),
                    generation: entry.map_or(0, |entry| entry.generation),
                    closed: endpoint.closed.map(|closed| closed.words().to_owned()),
                }
            })
            .collect()
    }

    /// Every policy of the cluster, by namespace and name.
    #[must_use]
    pub fn policies(&self) -> Vec<PolicyView> {
        let view = |policy: &Arc<Policy>| PolicyView {
            key: policy.key.clone(),
            version: policy.version.clone(),
            directions: DIRECTIONS
                .into_iter()
                .filter(|direction| policy.rules(*direction).is_some())
                .collect(),
            pods: self.subjects(policy),
            ingress_rules: policy.ingress.as_ref().map_or(0, Vec::len),
            egress_rules: policy.egress.as_ref().map_or(0, Vec::len),
            problem: policy.problem.clone(),
        };
        self.cluster.policies().map(view).collect()
    }

    /// A policy as it was read.
    #[must_use]
    pub fn policy(&self, key: &ObjectKey) -> Option<&Policy> {
        self.cluster.policy(key).map(AsRef::as_ref)
    }

    /// A pod as it was read.
    #[must_use]
    pub fn pod(&self, key: &ObjectKey) -> Option<&Pod> {
        self.cluster.pod(key).map(AsRef::as_ref)
    }

    /// The labels of a namespace, its name among them.
    #[must_use]
    pub fn namespace_labels(&self, name: &str) -> crate::labels::Labels {
        self.cluster.namespace_labels(name)
    }

    /// Namespaces whose annotation [`crate::REFUSE_ANNOTATION`] is not understood, with its value.
    pub fn unknown_refusals(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cluster.unknown_refusals()
    }

    /// The addresses of a node, by its name, as the Node object has them.
    #[must_use]
    pub fn node_addresses(&self, name: &str) -> &[IpAddr] {
        self.cluster.node(name).map_or(&[], |n| &n.addresses)
    }

    fn subjects(&self, policy: &Policy) -> Vec<ObjectKey> {
        let endpoints = self.compiler.endpoints.iter();
        endpoints
            .filter(|(key, _)| key.namespace == policy.key.namespace)
            .filter(|(_, endpoint)| policy.subjects.matches(&endpoint.pod.labels))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// What a counter number stands for.
    #[must_use]
    pub fn rule(&self, counter: u32) -> Option<RuleView> {
        let attribution = self.compiler.rules.attribution(counter)?;
        Some(self.rule_view(attribution))
    }

    /// Every counter number in use, and what it stands for.
    #[must_use]
    pub fn rules(&self) -> Vec<(u32, RuleView)> {
        let rules = self.compiler.rules.iter();
        let mut rules: Vec<_> = rules
            .map(|(number, attribution)| (number, self.rule_view(attribution)))
            .collect();
        rules.sort_by_key(|(number, _)| *number);
        rules
    }

    fn rule_view(&self, attribution: &Attribution) -> RuleView {
        match attribution {
            Attribution::Rule {
                policy,
                direction,
                index,
            } => {
                let direction = (*direction).into();
                let rule = policy.rules(direction).and_then(|rules| rules.get(*index));
                RuleView {
                    attribution: RuleAttribution::Rule {
                        policy: policy.key.clone(),
                        index: *index,
                        text: rule.map(ToString::to_string).unwrap_or_default(),
                    },
                    direction,
                    pods: self.subjects(policy),
                }
            }
            Attribution::DefaultDeny {
                policies,
                direction,
            } => RuleView {
                attribution: RuleAttribution::DefaultDeny {
                    policies: policies.clone(),
                },
                direction: (*direction).into(),
                pods: self.isolated_by(policies, (*direction).into()),
            },
            Attribution::SourceDeny { policies } => RuleView {
                attribution: RuleAttribution::SourceDeny {
                    policies: policies.clone(),
                },
                direction: Direction::Ingress,
                pods: self.compiler.denies.refusing().cloned().collect(),
            },
        }
    }

    fn isolated_by(&self, policies: &[ObjectKey], direction: Direction) -> Vec<ObjectKey> {
        let endpoints = self.compiler.endpoints.iter();
        endpoints
            .filter(|(_, endpoint)| {
                endpoint.set(direction).is_some_and(|set| {
                    let set = &self.compiler.sets.sets[set].key;
                    set.policies().eq(policies)
                })
            })
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The pod that has an address, if one does.
    #[must_use]
    pub fn pod_at(&self, address: IpAddr) -> Option<&ObjectKey> {
        self.cluster.pod_at(address).map(|pod| &pod.key)
    }

    /// Another pod that the API shows with one of these addresses: other nodes may still take its
    /// word for who sends from there. Pods of other nodes count while they are terminating.
    #[must_use]
    pub fn former_owner(&self, pod: &ObjectKey, addresses: &BTreeSet<IpAddr>) -> Option<ObjectKey> {
        let mut others = self.cluster.shown_with(pod, addresses);
        let former = others.find(|other| other.terminating || self.is_local(&other.key));
        former.map(|other| other.key.clone())
    }

    /// The pods that should be endpoints, as the objects stand, committed or not.
    #[must_use]
    pub fn local_pods(&self) -> Vec<LocalPod> {
        let local = self.local.iter().filter_map(|key| self.cluster.pod(key));
        local
            .map(|pod| LocalPod {
                key: pod.key.clone(),
                uid: pod.uid.clone(),
                addresses: pod.addresses.clone(),
                ifindex: self.interfaces.get(&pod.key).copied(),
            })
            .collect()
    }

    /// Whether a pod should be an endpoint, as the objects stand, committed or not.
    #[must_use]
    pub fn is_local(&self, pod: &ObjectKey) -> bool {
        self.local.contains(pod)
    }

    /// How many objects of each kind are known.
    #[must_use]
    pub fn objects(&self) -> [(Kind, usize); 6] {
        self.cluster.counts()
    }

    /// How much of each map the current state needs.
    #[must_use]
    pub fn tables(&self) -> Vec<TableUse> {
        let (tables, limits) = (&self.tables, &self.limits);
        [
            (
                maps::ENDPOINT,
                tables.endpoints.desired().len(),
                limits.endpoints,
            ),
            (
                maps::IDENTITY_V4,
                tables.identities_v4.desired().len(),
                limits.identities_v4,
            ),
            (
                maps::IDENTITY_V6,
                tables.identities_v6.desired().len(),
                limits.identities_v6,
            ),
            (
                maps::CIDR_V4,
                tables.cidrs_v4.desired().len(),
                limits.cidrs_v4,
            ),
            (
                maps::CIDR_V6,
                tables.cidrs_v6.desired().len(),
                limits.cidrs_v6,
            ),
            (
                maps::SERVICE,
                tables.services.desired().len(),
                limits.services,
            ),
            (maps::SOURCE, tables.sources.desired().len(), limits.sources),
            (
                maps::POLICY,
                tables.policy.desired().len(),
                limits.policy_entries,
            ),
            (
                maps::PORTS,
                self.compiler.ports.table.desired().len(),
                limits.port_entries,
            ),
            (maps::COUNTERS, self.compiler.rules.len(), limits.rules),
        ]
        .map(|(map, used, capacity)| TableUse {
            map,
            used: used as u64,
            capacity: u64::from(capacity),
        })
        .to_vec()
    }
}
