//! Reading a policy strictly: every step either yields what the API's schema says is there, or the
//! fault.

use std::fmt;

use serde_json::Value;

pub(super) type Reading<T> = Result<T, Fault>;

/// What is wrong with a policy, and where.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    path: String,
    reason: String,
}

/// A value and its place in the object.
#[derive(Clone, Debug)]
pub(super) struct At<'v> {
    value: &'v Value,
    path: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl<'v> At<'v> {
    /// A policy's spec.
    pub(super) fn spec(value: &'v Value) -> Self {
        Self {
            value,
            path: "spec".to_owned(),
        }
    }

    /// A field of an object; absent and `null` are one, as in every decoder of the API.
    pub(super) fn get(&self, field: &str) -> Reading<Option<Self>> {
        let Value::Object(fields) = self.value else {
            return Err(self.fault("is not an object"));
        };
        Ok(fields
            .get(field)
            .filter(|value| !value.is_null())
            .map(|value| Self {
                value,
                path: format!("{}.{field}", self.path),
            }))
    }

    pub(super) fn list(&self) -> Reading<Vec<Self>> {
        let Value::Array(values) = self.value else {
            return Err(self.fault("is not a list"));
        };
        let at = |(index, value)| Self {
            value,
            path: format!("{}[{index}]", self.path),
        };
        Ok(values.iter().enumerate().map(at).collect())
    }

    /// The elements of a list field, none where the field is absent.
    pub(super) fn list_or_empty(&self, field: &str) -> Reading<Vec<Self>> {
        self.get(field)?.map_or(Ok(Vec::new()), |at| at.list())
    }

    pub(super) fn text(&self) -> Reading<&'v str> {
        self.value
            .as_str()
            .ok_or_else(|| self.fault("is not a string"))
    }

    /// The text of a string field, empty where the field is absent (so is a decoder's default).
    pub(super) fn text_or_empty(&self, field: &str) -> Reading<&'v str> {
        self.get(field)?.map_or(Ok(""), |at| at.text())
    }

    /// An `int32`, as all integers of NetworkPolicy are.
    pub(super) fn number(&self) -> Reading<i32> {
        let number = self
            .value
            .as_i64()
            .and_then(|number| i32::try_from(number).ok());
        number.ok_or_else(|| self.fault("is not a 32-bit integer"))
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_string()
    }

    /// The entries of a map of strings.
    pub(super) fn text_map(&self) -> Reading<Vec<(String, String)>> {
        let Value::Object(fields) = self.value else {
            return Err(self.fault("is not a map"));
        };
        fields
            .iter()
            .map(|(key, value)| match value {
                Value::String(value) => Ok((key.clone(), value.clone())),
                _ => Err(self.fault("has a value that is not a string")),
            })
            .collect()
    }

    pub(super) fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault {
            path: self.path.clone(),
            reason: reason.into(),
        }
    }
}
