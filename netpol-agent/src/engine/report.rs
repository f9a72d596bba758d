//! What is known, in the API's types.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netpol_api::{
    ApiServerStatus, CniInstallation, ConnectionCount, CounterRow, DropCount, Endpoint,
    EndpointState, InvalidObject, Isolation, Losses, ManifestStatus, Note, Policy, PolicyProblem,
    Status, Sweep, TableFill, Verdict, WaitOutcome,
};
use netpol_common::{
    ABI_VERSION,
    counter::{self, Counter, DropReason},
    held::Place,
    maps,
};
use netpol_policy::{EndpointDirectionView, EndpointView, REFUSE_ANNOTATION, RuleAttribution};

use super::{
    Announcer, Engine,
    names::{EXEMPTIONS, direction_of, object_name, rule_of, rule_ref},
    wait,
};
use crate::{bpf::shares::Count, source::Origin};

/// How long a repair is shown after it was made.
const REPAIRS_SHOWN: Duration = Duration::from_secs(3600);

/// Seconds since the Unix epoch.
pub(crate) fn unix_seconds() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

impl Engine {
    pub(crate) fn status(&self) -> Status {
        let endpoints = self.endpoints();
        Status {
            node: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            abi: ABI_VERSION,
            started: self.started,
            enforcing: wait::outcome(&endpoints, &self.failures()).enforced,
            hook: self.hooks.hook(),
            generation: self.generation,
            manifests: self.manifest_status(),
            api_server: self.api_server_status(),
            cni: self.installation(),
            endpoints,
            invalid: self.invalid(),
            tables: self.table_fill(),
            sweeps: self.sweeps(),
            drops: self.drops(),
            losses: self.losses(),
            notes: self.notes(),
        }
    }

    fn manifest_status(&self) -> Option<ManifestStatus> {
        match &self.source.origin {
            Origin::Manifests(status) => Some(status.clone()),
            Origin::ApiServer(_) => None,
        }
    }

    fn api_server_status(&self) -> Option<ApiServerStatus> {
        let Origin::ApiServer(status) = &self.source.origin else {
            return None;
        };
        let mut status = status.clone();
        let counts = self.state.objects();
        for watch in &mut status.watches {
            let count = counts
                .iter()
                .find(|(kind, _)| kind.to_string() == watch.kind);
            watch.objects = count.map_or(0, |(_, count)| *count as u64);
        }
        Some(status)
    }

    /// What a wait is answered. A file that cannot be read does not keep the endpoints from
    /// enforcing, but from enforcing what is on disk.
    pub(crate) fn wait_outcome(&self) -> WaitOutcome {
        let mut problems = self.failures();
        problems.extend_from_slice(&self.source.unread);
        wait::outcome(&self.endpoints(), &problems)
    }

    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let views = self.state.endpoints().into_iter();
        views.map(|view| self.endpoint(view)).collect()
    }

    fn endpoint(&self, view: EndpointView) -> Endpoint {
        let found = self.findings.found.get(&view.pod);
        let found = found.filter(|found| Some(found.ifindex) == view.ifindex);
        let told = self.sandboxes.of_pod(&view.pod);
        let told = told.map(|attachment| attachment.host_interface.clone());
        Endpoint {
            pod: object_name(&view.pod),
            interface: told.or_else(|| found.map(|found| found.name.clone())),
            ifindex: view.ifindex,
            state: self.endpoint_state(&view),
            ingress: isolation(&view.ingress),
            egress: isolation(&view.egress),
            generation: view.generation,
            addresses: view.addresses,
            connections: self.connection_count(view.ifindex),
        }
    }

    fn connection_count(&self, ifindex: Option<u32>) -> ConnectionCount {
        let shares = &self.tables.endpoints.shares;
        let count = ifindex.map(|ifindex| shares.of(ifindex)).transpose();
        let count = count.unwrap_or_else(|error| {
            tracing::warn!(?ifindex, %error, "cannot read what a pod holds");
            None
        });
        let count = count.flatten().unwrap_or_default();
        ConnectionCount {
            new: count.now(Place::NewV4) + count.now(Place::NewV6),
            replied: count.now(Place::RepliedV4) + count.now(Place::RepliedV6),
            refused: count.held.refused,
        }
    }

    fn installation(&self) -> Option<CniInstallation> {
        let installation = self.installation.as_ref()?;
        Some(installation.borrow().clone())
    }

    pub(super) fn endpoint_state(&self, view: &EndpointView) -> EndpointState {
        let pending = |reason: &str| EndpointState::Pending {
            reason: reason.to_owned(),
        };
        let Some(ifindex) = view.ifindex else {
            let reason = self.findings.missing.get(&view.pod);
            return pending(reason.map_or("its interface is being looked for", String::as_str));
        };
        if let Some(problem) = self.hook_problems.get(&ifindex) {
            return pending(problem);
        }
        if !self.attached.contains(&ifindex) {
            return pending("the programs are not attached to its interface yet");
        }
        if self.failure.is_some() {
            return pending("the maps could not be written");
        }
        match &view.closed {
            Some(reason) => EndpointState::Closed {
                reason: reason.clone(),
            },
            None => EndpointState::Enforced,
        }
    }

    /// Sentences about what concerns all endpoints.
    pub(super) fn failures(&self) -> Vec<String> {
        let failure = self.failure.iter();
        let words = |error| format!("the maps could not be written: {error}");
        failure.map(|(error, _)| words(error)).collect()
    }

    pub(crate) fn policies(&self) -> Vec<Policy> {
        let views = self.state.policies().into_iter();
        views
            .map(|view| Policy {
                policy: object_name(&view.key),
                directions: view.directions.into_iter().map(direction_of).collect(),
                pods: view.pods.iter().map(object_name).collect(),
                ingress_rules: view.ingress_rules as u32,
                egress_rules: view.egress_rules as u32,
                problem: view.problem.map(|problem| PolicyProblem {
                    field: problem.field,
                    reason: problem.reason,
                }),
            })
            .collect()
    }

    fn invalid(&self) -> Vec<InvalidObject> {
        let mut invalid = self.source.invalid.clone();
        for view in self.state.policies() {
            if let Some(problem) = view.problem {
                invalid.push(InvalidObject {
                    file: None,
                    object: Some(format!("NetworkPolicy {}", view.key)),
                    field: Some(problem.field),
                    reason: problem.reason,
                    effect: "the pods it selects stay isolated, and none of its rules allows \
                             anything"
                        .to_owned(),
                });
            }
        }
        invalid
    }

    /// What else deserves a look.
    fn notes(&self) -> Vec<Note> {
        let note = |text: String, effect: &str| Note {
            text,
            effect: effect.to_owned(),
        };
        let loading = self.notes.iter().cloned();
        let mut notes: Vec<Note> = loading
            .map(|text| note(text, "the map keeps its size"))
            .collect();
        if let Some(problem) = self.installation().and_then(|cni| cni.problem) {
            let effect = "new pods are open until their interface is found; it is tried again";
            notes.push(note(
                format!("the CNI plugin is not installed: {problem}"),
                effect,
            ));
        }
        for (namespace, value) in self.state.unknown_refusals() {
            let text = format!(
                "Namespace {namespace}: the annotation {REFUSE_ANNOTATION} is {value:?}: write \
                 \"drop\" or \"reject\""
            );
            notes.push(note(text, "what its policies refuse is dropped"));
        }
        let lost = self.announcer.as_ref().map_or(0, Announcer::lost);
        if lost > 0 {
            let text =
                format!("{lost} Events about policies and pods were not written: see the log");
            notes.push(note(text, "what is enforced does not depend on them"));
        }
        if let Some((error, _)) = &self.failure {
            let effect = "what was in force before stays; it is tried again";
            notes.push(note(error.clone(), effect));
        }
        if let (times, Some(last)) = self.repairs
            && last.elapsed() < REPAIRS_SHOWN
        {
            let text = format!("others changed netpol's programs or maps {times} times");
            notes.push(note(text, "it was repaired each time; see the log"));
        }
        notes
    }

    fn table_fill(&self) -> Vec<TableFill> {
        let fill = |table: &str, used: u64, capacity: u64| TableFill {
            table: table.to_owned(),
            used,
            capacity,
        };
        let tables = self.state.tables().into_iter();
        let mut fills: Vec<TableFill> = tables
            .map(|table| fill(table.map, table.used, table.capacity))
            .collect();
        let own = [
            (
                maps::NODE,
                self.mirror.node.len(),
                self.tables.node_capacity(),
            ),
            (
                maps::NUMBERS,
                self.mirror.numbers.len(),
                self.tables.numbers_capacity(),
            ),
        ];
        fills.extend(own.map(|(name, used, capacity)| fill(name, used as u64, capacity.into())));
        let total = self.tables.endpoints.shares.total();
        let total = total.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read how many connections there are");
            Count::default()
        });
        let conntrack = &self.conntrack;
        fills.extend(Place::ALL.map(|place| {
            fill(
                conntrack.name(place),
                total.now(place),
                conntrack.capacity(place),
            )
        }));
        fills
    }

    fn sweeps(&self) -> Vec<Sweep> {
        let reports = self.sweeps.borrow();
        let places = Place::ALL.into_iter();
        places
            .filter_map(|place| {
                let table = self.conntrack.name(place);
                let report = reports.get(table)?;
                Some(Sweep {
                    table: table.to_owned(),
                    seen: report.seen,
                    removed: report.removed,
                    microseconds: report.took.as_micros() as u64,
                    corrected: report.corrected,
                })
            })
            .collect()
    }

    fn drops(&self) -> Vec<DropCount> {
        let reasons = DropReason::ALL.into_iter();
        reasons
            .map(|reason| (reason, self.count(reason.counter())))
            .filter(|(_, count)| count.packets > 0)
            .map(|(reason, count)| DropCount {
                reason: reason.words().to_owned(),
                packets: count.packets,
                bytes: count.bytes,
            })
            .collect()
    }

    fn losses(&self) -> Losses {
        Losses {
            events: self.count(counter::EVENTS_LOST).packets + self.flows.missed(),
            events_limited: self.count(counter::EVENTS_LIMITED).packets,
            answers_limited: self.count(counter::ANSWERS_LIMITED).packets,
            answers_failed: self.count(counter::ANSWERS_FAILED).packets,
            connections_not_promoted: self.count(counter::CONNTRACK_NOT_PROMOTED).packets,
            counts: self.count(counter::COUNTS_LOST).packets,
        }
    }

    pub(crate) fn stats(&self) -> Vec<CounterRow> {
        let rules = self.state.rules().into_iter().map(|(number, view)| {
            let verdict = match view.attribution {
                RuleAttribution::Rule { .. } => Verdict::Allow,
                RuleAttribution::DefaultDeny { .. } | RuleAttribution::SourceDeny { .. } => {
                    Verdict::Deny
                }
            };
            let pods = view.pods.iter().map(object_name).collect();
            self.row(number, rule_of(view), verdict, pods)
        });
        let drops = DropReason::ALL.map(|reason| (reason.counter(), Verdict::Deny));
        let exemptions = EXEMPTIONS.map(|number| (number, Verdict::Allow));
        let fixed = drops
            .into_iter()
            .chain(exemptions)
            .map(|(number, verdict)| {
                let rule = rule_ref(number, &self.state);
                self.row(number, rule, verdict, Vec::new())
            });
        rules.chain(fixed.filter(|row| row.packets > 0)).collect()
    }

    fn row(
        &self,
        number: u32,
        rule: netpol_api::RuleRef,
        verdict: Verdict,
        pods: Vec<netpol_api::ObjectName>,
    ) -> CounterRow {
        let count = self.baseline.since(number, self.count(number));
        CounterRow {
            rule,
            verdict,
            packets: count.packets,
            bytes: count.bytes,
            connections_cut: self.baseline.cuts_since(number, self.cuts(number)),
            pods,
        }
    }

    /// What every counter that can be shown stands at.
    pub(crate) fn counts(&self) -> Vec<(u32, Counter)> {
        let rules = self.state.rules().into_iter().map(|(number, _)| number);
        let numbers = rules.chain(0..counter::FIRST_RULE);
        numbers.map(|number| (number, self.count(number))).collect()
    }

    /// How many connections every counter that can be shown has cut.
    pub(crate) fn cut_counts(&self) -> Vec<(u32, u64)> {
        let numbers = self.counts().into_iter();
        numbers
            .map(|(number, _)| (number, self.cuts(number)))
            .collect()
    }

    fn cuts(&self, number: u32) -> u64 {
        self.tables.counters.cuts(number).unwrap_or_else(|error| {
            tracing::warn!(number, %error, "cannot read how many connections were cut");
            0
        })
    }

    fn count(&self, number: u32) -> Counter {
        self.tables.counters.read(number).unwrap_or_else(|error| {
            tracing::warn!(number, %error, "cannot read a counter");
            Counter::default()
        })
    }
}

fn isolation(view: &EndpointDirectionView) -> Isolation {
    Isolation {
        isolated: view.isolated,
        policies: view.policies.iter().map(object_name).collect(),
        rejects: view.rejects,
    }
}
