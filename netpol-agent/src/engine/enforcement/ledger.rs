//! Since when which version of a policy is in force on which endpoint.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use netpol_policy::{EndpointView, ObjectKey, PolicyVersion};

/// What was in force after each time that the maps were brought in line, as far as it lasts.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Versions that were read and are not in force yet.
    read: HashMap<ObjectKey, PolicyVersion>,
    versions: HashMap<ObjectKey, (PolicyVersion, f64)>,
    endpoints: HashMap<ObjectKey, Held>,
}

/// What holds on an endpoint.
#[derive(Debug)]
struct Held {
    ifindex: Option<u32>,
    generation: u32,
    /// Since when each policy selects it.
    policies: BTreeMap<ObjectKey, f64>,
}

impl Held {
    fn has_policies_of(&self, view: &EndpointView) -> bool {
        let policies = view.ingress.policies.iter().chain(&*view.egress.policies);
        let policies: BTreeSet<&ObjectKey> = policies.collect();
        policies.into_iter().eq(self.policies.keys())
    }
}

impl Ledger {
    /// A version of a policy was read.
    pub(crate) fn read(&mut self, policy: &ObjectKey, version: &PolicyVersion) {
        let known = self.versions.get(policy);
        if known.is_none_or(|(known, _)| known != version) {
            self.read.insert(policy.clone(), version.clone());
        }
    }

    /// A policy is gone.
    pub(crate) fn forget(&mut self, policy: &ObjectKey) {
        self.read.remove(policy);
        self.versions.remove(policy);
    }

    /// Only these policies are there.
    pub(crate) fn forget_others(&mut self, policies: &HashSet<ObjectKey>) {
        self.read.retain(|policy, _| policies.contains(policy));
        self.versions.retain(|policy, _| policies.contains(policy));
    }

    /// The maps are in line with what was read; `enforced` are the endpoints that enforce it.
    pub(crate) fn in_force<'a>(
        &mut self,
        enforced: impl Iterator<Item = &'a EndpointView>,
        now: f64,
    ) {
        let read = self.read.drain();
        self.versions
            .extend(read.map(|(policy, version)| (policy, (version, now))));
        let mut lasting = HashSet::new();
        for view in enforced {
            lasting.insert(&view.pod);
            self.hold(view, now);
        }
        self.endpoints.retain(|pod, _| lasting.contains(pod));
    }

    fn hold(&mut self, view: &EndpointView, now: f64) {
        let known = self.endpoints.get_mut(&view.pod);
        let known = known.filter(|held| held.ifindex == view.ifindex);
        let known = match known {
            Some(held) if held.generation == view.generation => return,
            // An address moved, no policy came or went.
            Some(held) if held.has_policies_of(view) => {
                held.generation = view.generation;
                return;
            }
            known => known,
        };
        let since = |policy: &ObjectKey| {
            let held = known.as_ref().and_then(|held| held.policies.get(policy));
            held.copied().unwrap_or(now)
        };
        let policies = view.ingress.policies.iter().chain(&*view.egress.policies);
        let policies = policies.map(|policy| (policy.clone(), since(policy)));
        let held = Held {
            ifindex: view.ifindex,
            generation: view.generation,
            policies: policies.collect(),
        };
        self.endpoints.insert(view.pod.clone(), held);
    }

    /// Since when the version of `policy` that is in force is so on `pod`.
    pub(crate) fn since(&self, policy: &ObjectKey, pod: &ObjectKey) -> Option<f64> {
        let (_, version) = self.versions.get(policy)?;
        let selected = self.endpoints.get(pod)?.policies.get(policy)?;
        Some(version.max(*selected))
    }
}

#[cfg(test)]
mod tests {
    use netpol_policy::EndpointDirectionView;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("shop", name)
    }

    fn version(generation: i64) -> PolicyVersion {
        PolicyVersion {
            uid: "u".to_owned(),
            generation: Some(generation),
        }
    }

    fn endpoint(ifindex: u32, generation: u32, policies: &[&str]) -> EndpointView {
        EndpointView {
            pod: key("web"),
            addresses: Vec::new(),
            ifindex: Some(ifindex),
            ingress: EndpointDirectionView {
                isolated: true,
                policies: policies.iter().map(|name| key(name)).collect(),
                rejects: false,
            },
            egress: EndpointDirectionView::default(),
            generation,
            closed: None,
        }
    }

    fn since(ledger: &Ledger, policy: &str) -> Option<f64> {
        ledger.since(&key(policy), &key("web"))
    }

    fn first() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.read(&key("p"), &version(1));
        ledger.in_force([endpoint(7, 1, &["p"])].iter(), 10.0);
        ledger
    }

    #[test]
    fn a_policy_keeps_its_time_while_others_come_and_go() {
        let mut ledger = first();
        ledger.read(&key("q"), &version(1));
        ledger.in_force([endpoint(7, 2, &["p", "q"])].iter(), 20.0);
        assert_eq!(since(&ledger, "p"), Some(10.0));
        assert_eq!(since(&ledger, "q"), Some(20.0));
        ledger.forget(&key("q"));
        ledger.in_force([endpoint(7, 3, &["p"])].iter(), 30.0);
        assert_eq!(since(&ledger, "p"), Some(10.0));
        assert_eq!(since(&ledger, "q"), None);
    }

    #[test]
    fn a_new_version_counts_from_when_it_is_in_force_even_if_it_says_the_same() {
        let mut ledger = first();
        ledger.read(&key("p"), &version(1));
        ledger.in_force([endpoint(7, 1, &["p"])].iter(), 20.0);
        assert_eq!(since(&ledger, "p"), Some(10.0), "it was read again");
        ledger.read(&key("p"), &version(2));
        assert_eq!(since(&ledger, "p"), Some(10.0), "it is not in force yet");
        ledger.in_force([endpoint(7, 1, &["p"])].iter(), 30.0);
        assert_eq!(since(&ledger, "p"), Some(30.0));
    }

    #[test]
    fn another_interface_and_a_gap_start_anew() {
        let mut ledger = first();
        ledger.in_force([endpoint(8, 1, &["p"])].iter(), 20.0);
        assert_eq!(since(&ledger, "p"), Some(20.0));
        ledger.in_force([].iter(), 30.0);
        assert_eq!(since(&ledger, "p"), None);
        ledger.in_force([endpoint(8, 1, &["p"])].iter(), 40.0);
        assert_eq!(since(&ledger, "p"), Some(40.0));
    }
}
