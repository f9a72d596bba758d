//! Label selectors in canonical form.

use std::{collections::BTreeSet, fmt};

use crate::labels::Labels;

/// A label selector: all requirements must hold, and none at all selects everything. Two
/// selectors that say the same in another order are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    requirements: BTreeSet<Requirement>,
}

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What must be true of it.
    pub operator: Operator,
}

/// What a requirement asks of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The label is there, with one of these values.
    In(BTreeSet<String>),
    /// The label is not there, or has none of these values.
    NotIn(BTreeSet<String>),
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

impl Requirement {
    /// `key=value`.
    #[must_use]
    pub fn equals(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            operator: Operator::In(BTreeSet::from([value.into()])),
        }
    }

    /// Whether labels satisfy it.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|v| values.contains(v)),
            Operator::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl Selector {
    /// The selector of all objects.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether it selects all objects.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Its requirements, sorted.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.requirements.iter()
    }

    /// Whether labels satisfy every requirement.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }
}

impl FromIterator<Requirement> for Selector {
    fn from_iter<I: IntoIterator<Item = Requirement>>(requirements: I) -> Self {
        Self {
            requirements: requirements.into_iter().collect(),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, requirement) in self.requirements.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let list = |values: &BTreeSet<String>| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            values.join(",")
        };
        match &self.operator {
            Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", list(values)),
            Operator::In(values) => write!(f, "{key} in ({})", list(values)),
            Operator::NotIn(values) => write!(f, "{key} notin ({})", list(values)),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    fn selector(key: &str, operator: Operator) -> Selector {
        Selector::from_iter([Requirement {
            key: key.to_owned(),
            operator,
        }])
    }

    #[test]
    fn the_negative_operators_match_objects_without_the_key() {
        let web = BTreeSet::from(["web".to_owned()]);
        let none = labels(&[]);
        assert!(selector("app", Operator::NotIn(web.clone())).matches(&none));
        assert!(selector("app", Operator::DoesNotExist).matches(&none));
        assert!(!selector("app", Operator::In(web.clone())).matches(&none));
        assert!(!selector("app", Operator::Exists).matches(&none));
        assert!(!selector("app", Operator::NotIn(web)).matches(&labels(&[("app", "web")])));
    }

    #[test]
    fn an_empty_selector_selects_everything() {
        assert!(Selector::everything().matches(&labels(&[])));
        assert!(Selector::everything().matches(&labels(&[("app", "web")])));
    }

    #[test]
    fn order_and_repetition_do_not_make_another_selector() {
        let a = Requirement::equals("app", "web");
        let b = Requirement::equals("tier", "front");
        let one = Selector::from_iter([a.clone(), b.clone(), a.clone()]);
        assert_eq!(one, Selector::from_iter([b, a]));
        assert_eq!(one.to_string(), "app=web,tier=front");
    }
}
