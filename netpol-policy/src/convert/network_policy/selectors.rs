//! Label selectors.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::Problem;
use crate::selector::{Operator, Requirement, Selector};

pub(super) fn selector(given: &LabelSelector, at: &str) -> Result<Selector, Problem> {
    let equalities = given
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| Ok(Requirement::equals(key, value)));
    let expressions = given
        .match_expressions
        .iter()
        .flatten()
        .enumerate()
        .map(|(place, given)| requirement(given, &format!("{at}.matchExpressions[{place}]")));
    equalities.chain(expressions).collect()
}

fn requirement(given: &LabelSelectorRequirement, at: &str) -> Result<Requirement, Problem> {
    let values = given.values.iter().flatten().cloned().collect();
    let count = given.values.as_ref().map_or(0, Vec::len);
    // "If the operator is In or NotIn, the values array must be non-empty. If the operator is
    // Exists or DoesNotExist, the values array must be empty."
    let wants_values = matches!(given.operator.as_str(), "In" | "NotIn");
    let operator = match given.operator.as_str() {
        "In" => Operator::In(values),
        "NotIn" => Operator::NotIn(values),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            return Err(Problem::new(
                format!("{at}.operator"),
                format!("{other:?} is none of In, NotIn, Exists, DoesNotExist"),
            ));
        }
    };
    match (wants_values, count) {
        (true, 0) => Err(Problem::new(
            format!("{at}.values"),
            format!("must not be empty for {}", given.operator),
        )),
        (false, 1..) => Err(Problem::new(
            format!("{at}.values"),
            format!("must be empty for {}", given.operator),
        )),
        _ => Ok(Requirement {
            key: given.key.clone(),
            operator,
        }),
    }
}
