//! Label selectors.

use super::cluster::Labels;
use super::json::{At, Reading};

/// "The result of matchLabels and matchExpressions are ANDed. An empty label selector matches all
/// objects."
#[derive(Debug)]
pub(super) struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Debug)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
}

impl Selector {
    /// The selector that was not written: "This field is optional. If it is not specified, it
    /// defaults to an empty selector." (`NetworkPolicySpec.podSelector`)
    pub(super) const fn empty() -> Self {
        Self {
            requirements: Vec::new(),
        }
    }

    pub(super) fn read(at: &At<'_>) -> Reading<Self> {
        let mut requirements = Vec::new();
        if let Some(labels) = at.get("matchLabels")? {
            // "A single {key,value} in the matchLabels map is equivalent to an element of
            // matchExpressions, whose key field is "key", the operator is "In", and the values
            // array contains only "value"."
            for (key, value) in labels.text_map()? {
                requirements.push(Requirement::In(key, vec![value]));
            }
        }
        for expression in at.list_or_empty("matchExpressions")? {
            requirements.push(Requirement::read(&expression)?);
        }
        Ok(Self { requirements })
    }

    /// "The requirements are ANDed."
    pub(super) fn matches(&self, labels: &Labels) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn read(at: &At<'_>) -> Reading<Self> {
        let key = at.text_or_empty("key")?.to_owned();
        let operator = at.text_or_empty("operator")?;
        let values = at.list_or_empty("values")?;
        let values: Vec<String> = values
            .iter()
            .map(|value| value.text().map(str::to_owned))
            .collect::<Reading<_>>()?;
        if key.is_empty() {
            return Err(at.fault("has no key"));
        }
        // "If the operator is In or NotIn, the values array must be non-empty. If the operator is
        // Exists or DoesNotExist, the values array must be empty."
        match (operator, values.is_empty()) {
            ("In", false) => Ok(Self::In(key, values)),
            ("NotIn", false) => Ok(Self::NotIn(key, values)),
            ("Exists", true) => Ok(Self::Exists(key)),
            ("DoesNotExist", true) => Ok(Self::DoesNotExist(key)),
            ("In" | "NotIn", true) => Err(at.fault(format!("{operator} without values"))),
            ("Exists" | "DoesNotExist", false) => Err(at.fault(format!("{operator} with values"))),
            // "Valid operators are In, NotIn, Exists and DoesNotExist."
            _ => Err(at.fault(format!("unknown operator {operator:?}"))),
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            // Kubernetes' documentation, page "Labels and Selectors", of `tier notin (frontend,
            // backend)`: it "selects all resources with key equal to tier and values other than
            // frontend and backend, and all resources with no labels with the tier key".
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}
