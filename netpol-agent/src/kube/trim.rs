//! Decoding JSON without the parts nobody looks at.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use serde_json::{Map, Value};

/// Decodes any JSON into a value, and passes over the paths given, or over all but those. `*` stands
/// for the items of a list.
#[derive(Clone, Default)]
pub(super) struct Trim<'p> {
    paths: Vec<&'p [&'p str]>,
    /// Whether the paths are what is kept.
    keeps: bool,
}

impl<'p> Trim<'p> {
    pub(super) fn new(paths: impl IntoIterator<Item = &'p [&'p str]>) -> Self {
        Self {
            paths: paths.into_iter().collect(),
            keeps: false,
        }
    }

    /// Keeps these paths, with all that is below them.
    pub(super) fn to(paths: impl IntoIterator<Item = &'p [&'p str]>) -> Self {
        Self {
            keeps: true,
            ..Self::new(paths)
        }
    }

    /// What is passed over below a field; none if the field itself is.
    fn below(&self, field: &str) -> Option<Self> {
        let mut below = Self {
            keeps: self.keeps,
            ..Self::default()
        };
        for path in &self.paths {
            match path {
                [only] if *only == field => return self.keeps.then(Self::default),
                [first, rest @ ..] if *first == field => below.paths.push(rest),
                _ => {}
            }
        }
        (!below.keeps || !below.paths.is_empty()).then_some(below)
    }
}

impl<'de> DeserializeSeed<'de> for Trim<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.paths.is_empty() {
            return Value::deserialize(deserializer);
        }
        deserializer.deserialize_any(Visitor(self))
    }
}

struct Visitor<'p>(Trim<'p>);

impl<'de> serde::de::Visitor<'de> for Visitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(field) = map.next_key::<String>()? {
            match self.0.below(&field) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(trim) => drop(kept.insert(field, map.next_value_seed(trim)?)),
            }
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let items = self.0.below("*").unwrap_or_default();
        let mut kept = Vec::new();
        while let Some(item) = seq.next_element_seed(items.clone())? {
            kept.push(item);
        }
        Ok(Value::Array(kept))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trim(paths: &[&[&str]], value: &Value) -> Value {
        let text = value.to_string();
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let trim = Trim::new(paths.iter().copied());
        trim.deserialize(&mut deserializer).expect("any JSON")
    }

    #[test]
    fn paths_are_passed_over_and_nothing_else() {
        let paths: &[&[&str]] = &[&["a", "b"], &["list", "*", "x"], &["gone"]];
        let value = json!({
            "a": { "b": { "deep": [1, 2] }, "c": 1 },
            "list": [{ "x": 1, "y": 2 }, { "z": [{ "x": 3 }] }, 7, null],
            "gone": "text", "kept": { "gone": true, "b": -1.5 },
        });
        let expected = json!({
            "a": { "c": 1 },
            "list": [{ "y": 2 }, { "z": [{ "x": 3 }] }, 7, null],
            "kept": { "gone": true, "b": -1.5 },
        });
        assert_eq!(trim(paths, &value), expected);
    }

    #[test]
    fn paths_are_kept_and_nothing_else() {
        let value = json!({
            "a": { "b": { "deep": [1, 2] }, "c": 1 },
            "list": [{ "x": { "z": 1 }, "y": 2 }, 7, null],
            "gone": { "a": 1 }, "a.b": 1,
        });
        let expected = json!({
            "a": { "b": { "deep": [1, 2] } },
            "list": [{ "x": { "z": 1 } }, 7, null],
        });
        let paths: &[&[&str]] = &[&["a", "b"], &["list", "*", "x"], &["absent", "b"]];
        let text = value.to_string();
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let kept = Trim::to(paths.iter().copied()).deserialize(&mut deserializer);
        assert_eq!(kept.expect("any JSON"), expected);
    }

    #[test]
    fn another_shape_than_expected_is_kept_as_it_is() {
        let paths: &[&[&str]] = &[&["a", "*", "b"]];
        for value in [
            json!({ "a": "b" }),
            json!([1]),
            json!(null),
            json!({ "a": { "b": 1 } }),
        ] {
            assert_eq!(trim(paths, &value), value);
        }
    }
}
