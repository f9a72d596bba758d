//! Labels, in little memory: a cluster has far more label maps than a node has use for.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Deserializer};

/// The label every namespace has, with its name as value.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Labels of an object, by key. Copies share their memory.
///
/// One text holds all of them, sorted by key, each key and each value after its length:
/// `3:app3:web4:tier4:back`. Pods have a handful of labels, which are faster read through than
/// looked up.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// The value of a label.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// Keys and values, by key.
    pub fn iter(&self) -> Iter<'_> {
        Iter(&self.0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These labels, with one more or another value for one.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        self.iter().chain([(key, value)]).collect()
    }

    /// How many share the memory.
    pub(crate) fn sharers(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

/// Keys and values of [`Labels`].
#[derive(Clone, Debug)]
pub struct Iter<'a>(&'a str);

impl<'a> Iter<'a> {
    fn text(&mut self) -> Option<&'a str> {
        let (length, rest) = self.0.split_once(':')?;
        let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
        self.0 = rest;
        Some(text)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.text()?, self.text()?))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Labels {
    /// Of labels with the same key, the last one counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let labels: Vec<(K, V)> = labels.into_iter().collect();
        let pairs = labels.iter().map(|(k, v)| (k.as_ref(), v.as_ref()));
        let sorted: BTreeMap<&str, &str> = pairs.collect();
        let mut text = String::new();
        for part in sorted.into_iter().flat_map(|(key, value)| [key, value]) {
            text.push_str(&part.len().to_string());
            text.push(':');
            text.push_str(part);
        }
        Self(text.into())
    }
}

impl<K: AsRef<str>, V: AsRef<str>, const N: usize> From<[(K, V); N]> for Labels {
    fn from(labels: [(K, V); N]) -> Self {
        labels.into_iter().collect()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let labels: BTreeMap<String, String> = Deserialize::deserialize(deserializer)?;
        Ok(labels.into_iter().collect())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_whatever_they_hold() {
        let labels = Labels::from([("b", "1:x"), ("a", ""), ("", "ü:"), ("b", "2:3:y")]);
        assert_eq!(labels.get("a"), Some(""));
        assert_eq!(labels.get("b"), Some("2:3:y"));
        assert_eq!(labels.get(""), Some("ü:"));
        assert_eq!(labels.get("x"), None);
        let all: Vec<_> = labels.iter().collect();
        assert_eq!(all, [("", "ü:"), ("a", ""), ("b", "2:3:y")]);
    }

    #[test]
    fn the_order_they_were_given_in_does_not_matter() {
        let labels = Labels::from([("a", "1"), ("b", "2")]);
        assert_eq!(labels, Labels::from([("b", "2"), ("a", "1")]));
        assert_eq!(
            labels,
            Labels::from([("b", "2")]).with("a", "0").with("a", "1")
        );
        assert!(Labels::default().is_empty());
        assert_eq!(Labels::default().iter().count(), 0);
    }
}
