//! One NetworkPolicy object: whom it isolates in which directions, and what it grants.

use serde_json::{Value, json};

use super::Direction;
use super::cluster::{self, Pod};
use super::json::{At, Fault, Reading};
use super::rule::{Rule, Traffic};
use super::selector::Selector;

#[derive(Debug)]
pub(super) struct Policy {
    namespace: String,
    name: String,
    /// An error where the selector cannot be understood.
    subjects: Reading<Selector>,
    /// An error where `policyTypes` cannot be understood.
    types: Reading<Vec<Direction>>,
    /// An error where anything in either list cannot be understood.
    rules: Reading<Rules>,
}

#[derive(Debug)]
struct Rules {
    ingress: Vec<Rule>,
    egress: Vec<Rule>,
}

impl Policy {
    pub(super) fn read(object: &Value) -> Self {
        // A spec that is not written is one whose every field is absent.
        let empty = json!({});
        let spec = match &object["spec"] {
            Value::Null => At::spec(&empty),
            spec => At::spec(spec),
        };
        Self {
            namespace: cluster::namespace(object),
            name: cluster::name(object),
            subjects: read_subjects(&spec),
            types: read_types(&spec),
            rules: read_rules(&spec),
        }
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The first thing that is wrong with the policy. Whatever it is, and in whichever direction,
    /// the policy is invalid as a whole: the API server refuses the object, not the rule.
    pub(super) fn fault(&self) -> Option<&Fault> {
        let faults = [
            self.subjects.as_ref().err(),
            self.types.as_ref().err(),
            self.rules.as_ref().err(),
        ];
        faults.into_iter().flatten().next()
    }

    /// "podSelector selects the pods to which this NetworkPolicy object applies. [...] An empty
    /// selector matches all pods in the policy's namespace."
    ///
    /// A policy that cannot be understood still isolates, and where it leaves open whom or how, it
    /// isolates every pod of its namespace, and in both directions: what is not understood closes.
    pub(super) fn isolates(&self, pod: &Pod, direction: Direction) -> bool {
        let selected = match &self.subjects {
            Ok(selector) => selector.matches(&pod.labels),
            Err(_) => true,
        };
        let relates = match &self.types {
            Ok(types) => types.contains(&direction),
            Err(_) => true,
        };
        pod.namespace == self.namespace && selected && relates
    }

    /// Whether one of the rules of `direction` matches. An invalid policy grants nothing at all.
    ///
    /// To be asked only of policies that isolate the pod in `direction`: rules of a direction that
    /// `policyTypes` leaves out have no effect.
    pub(super) fn grants(&self, direction: Direction, traffic: &Traffic<'_>) -> bool {
        if self.fault().is_some() {
            return false;
        }
        let Ok(rules) = &self.rules else { return false };
        let rules = match direction {
            Direction::Egress => &rules.egress,
            Direction::Ingress => &rules.ingress,
        };
        rules
            .iter()
            .any(|rule| rule.matches(&self.namespace, traffic))
    }

    /// Whether one of the rules of `direction` restricts neither peers nor ports.
    pub(super) fn grants_everything(&self, direction: Direction) -> bool {
        let Ok(rules) = &self.rules else { return false };
        let mut rules = match direction {
            Direction::Egress => rules.egress.iter(),
            Direction::Ingress => rules.ingress.iter(),
        };
        self.fault().is_none() && rules.any(Rule::restricts_nothing)
    }
}

fn read_subjects(spec: &At<'_>) -> Reading<Selector> {
    match spec.get("podSelector")? {
        Some(selector) => Selector::read(&selector),
        None => Ok(Selector::empty()),
    }
}

fn read_types(spec: &At<'_>) -> Reading<Vec<Direction>> {
    let types = spec.list_or_empty("policyTypes")?;
    if types.is_empty() {
        return Ok(default_types(spec));
    }
    types
        .iter()
        .map(|entry| match entry.text()? {
            "Ingress" => Ok(Direction::Ingress),
            "Egress" => Ok(Direction::Egress),
            unknown => Err(entry.fault(format!("unknown policy type {unknown:?}"))),
        })
        .collect()
}

/// "If this field is not specified, it will default based on the existence of ingress or egress
/// rules; policies that contain an egress section are assumed to affect egress, and all policies
/// (whether or not they contain an ingress section) are assumed to affect ingress."
///
/// A section contains something when there is a rule in it (`SetDefaults_NetworkPolicy` asks for
/// `len(Egress) > 0`). One that cannot be read as a list counts as there.
fn default_types(spec: &At<'_>) -> Vec<Direction> {
    let has_egress = match spec.list_or_empty("egress") {
        Ok(rules) => !rules.is_empty(),
        Err(_) => true,
    };
    match has_egress {
        true => vec![Direction::Ingress, Direction::Egress],
        false => vec![Direction::Ingress],
    }
}

fn read_rules(spec: &At<'_>) -> Reading<Rules> {
    let read = |field, direction| -> Reading<Vec<Rule>> {
        let rules = spec.list_or_empty(field)?;
        rules
            .iter()
            .map(|rule| Rule::read(rule, direction))
            .collect()
    };
    Ok(Rules {
        ingress: read("ingress", Direction::Ingress)?,
        egress: read("egress", Direction::Egress)?,
    })
}
