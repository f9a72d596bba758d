//! netpol-cni in a CNI configuration, as an edit of its text: what others wrote stays as it is, to
//! the byte, and taking the edit back gives the text there was.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// The plugin's name in a configuration, and its file's.
pub(crate) const TYPE: &str = "netpol-cni";
/// The oldest version that has chains.
const OLDEST: &str = "0.3.1";

/// Why a text is no configuration that a runtime would load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfError {
    #[error("{0}")]
    Json(String),
    #[error("it has no plugins")]
    NoPlugins,
    #[error("it has no \"type\", so no plugin would be run")]
    NoType,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow, default)]
    plugins: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Single {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    cni_version: String,
}

/// An element of the list, by its place in the text.
struct Element {
    start: usize,
    end: usize,
    is_ours: bool,
}

/// The text with `entry` in its list, at the end unless it has a place already.
pub(crate) fn insert(text: &str, entry: &Value) -> Result<String, ConfError> {
    let elements = elements(text)?;
    let ours = elements.iter().find(|element| element.is_ours);
    let Some(last) = elements.last() else {
        return Err(ConfError::NoPlugins);
    };
    if let Some(ours) = ours {
        let there = &text[ours.start..ours.end];
        if serde_json::from_str::<Value>(there).ok().as_ref() == Some(entry) {
            return Ok(text.to_owned());
        }
        let (before, after) = (&text[..ours.start], &text[ours.end..]);
        return Ok(format!("{before}{entry}{after}"));
    }
    // As the others are set apart, so is this one.
    let before_last = &text[..last.start];
    let blank = before_last.len() - before_last.trim_end().len();
    let blank = &before_last[before_last.len() - blank..];
    let (before, after) = (&text[..last.end], &text[last.end..]);
    Ok(format!("{before},{blank}{entry}{after}"))
}

/// The text without our entries.
pub(crate) fn remove(text: &str) -> Result<String, ConfError> {
    let elements = elements(text)?;
    let mut text = text.to_owned();
    for (place, element) in elements.iter().enumerate().rev() {
        if !element.is_ours {
            continue;
        }
        let (start, end) = match (place.checked_sub(1), elements.get(place + 1)) {
            (Some(before), _) => (elements[before].end, element.end),
            (None, Some(after)) => (element.start, after.start),
            (None, None) => (element.start, element.end),
        };
        text.replace_range(start..end, "");
    }
    Ok(text)
}

/// A list of the one plugin that a text configures, and ours.
pub(crate) fn list_of(text: &str, entry: &Value) -> Result<String, ConfError> {
    let single: Single = read(text)?;
    if single.kind.is_empty() {
        return Err(ConfError::NoType);
    }
    let version = match single.cni_version.as_str() {
        "" | "0.1.0" | "0.2.0" => OLDEST,
        version => version,
    };
    let (version, name) = (Value::from(version), Value::from(single.name));
    let plugin = text.trim();
    Ok(format!(
        "{{\n  \"cniVersion\": {version},\n  \"name\": {name},\n  \"plugins\": [\n{plugin},\n    \
         {entry}\n  ]\n}}\n"
    ))
}

/// Whether a runtime would load the text as a list.
pub(crate) fn is_list(text: &str) -> Result<(), ConfError> {
    match elements(text)?.as_slice() {
        [] => Err(ConfError::NoPlugins),
        _ => Ok(()),
    }
}

fn elements(text: &str) -> Result<Vec<Element>, ConfError> {
    let list: List<'_> = read(text)?;
    let elements = list.plugins.into_iter().map(|raw| {
        let plugin: Single = read(raw.get())?;
        // A raw value is a part of the text it was read from.
        let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        Ok(Element {
            start,
            end: start + raw.get().len(),
            is_ours: plugin.kind == TYPE,
        })
    });
    elements.collect()
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ConfError> {
    serde_json::from_str(text).map_err(|error| ConfError::Json(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PRETTY: &str = "{\n  \"name\": \"n\",\n  \"x\": 1.10,\n  \"plugins\": [\n    {\n      \
                          \"type\": \"bridge\"\n    },\n    {\"type\": \"portmap\", \"a\": \
                          [1, 2]}\n  ],\n  \"cniVersion\": \"1.0.0\"\n}\n";

    fn entry() -> Value {
        json!({"type": TYPE, "socket": "/run/x.sock"})
    }

    #[test]
    fn an_entry_comes_last_and_goes_without_a_trace() {
        let lists = [
            PRETTY,
            r#"{"plugins":[{"type":"ptp"}]}"#,
            "{\"plugins\" : [ {\"type\":\"ptp\",\"s\":\"]}\\\"\"} ]\t}",
            "\n{\"plugins\": [\n\t{\"type\":\"a\"}\n\t, {\"type\":\"b\"}]}",
        ];
        for text in lists {
            let with = insert(text, &entry()).expect("a list");
            let value: Value = serde_json::from_str(&with).expect("JSON");
            let plugins = value["plugins"].as_array().expect("plugins");
            assert_eq!(plugins.last(), Some(&entry()), "{with}");
            assert_eq!(insert(&with, &entry()).as_deref(), Ok(&*with), "once");
            assert_eq!(remove(&with).as_deref(), Ok(text));
            assert_eq!(remove(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn an_entry_looks_like_those_before() {
        let with = insert(PRETTY, &entry()).expect("a list");
        assert!(
            with.contains(
                "[1, 2]},\n    {\"socket\":\"/run/x.sock\",\"type\":\"netpol-cni\"}\n  ],"
            ),
            "{with}"
        );
    }

    #[test]
    fn an_entry_of_another_release_is_renewed_in_its_place() {
        let text = r#"{"plugins":[{"type":"ptp"}, {"type":"netpol-cni","old":1}, {"type":"z"}]}"#;
        let with = insert(text, &entry()).expect("a list");
        let there = r#"{"plugins":[{"type":"ptp"}, {"socket":"/run/x.sock","type":"netpol-cni"}, {"type":"z"}]}"#;
        assert_eq!(with, there);
        let without = r#"{"plugins":[{"type":"ptp"}, {"type":"z"}]}"#;
        assert_eq!(remove(&with).as_deref(), Ok(without));
        let first = r#"{"plugins":[{"type":"netpol-cni"}, {"type":"z"}]}"#;
        assert_eq!(
            remove(first).as_deref(),
            Ok(r#"{"plugins":[{"type":"z"}]}"#)
        );
    }

    #[test]
    fn a_single_plugin_becomes_a_list_that_holds_it_as_it_was() {
        let text = "{ \"cniVersion\": \"0.4.0\", \"name\": \"n\", \"type\": \"ptp\" }\n";
        let list = list_of(text, &entry()).expect("a configuration");
        let value: Value = serde_json::from_str(&list).expect("JSON");
        assert_eq!(
            (&value["cniVersion"], &value["name"]),
            (&json!("0.4.0"), &json!("n"))
        );
        assert_eq!(value["plugins"][1], entry());
        assert!(list.contains(text.trim()));
        let old = list_of(r#"{"type":"ptp"}"#, &entry()).expect("a configuration");
        assert!(old.contains("0.3.1"), "{old}");
    }

    #[test]
    fn what_no_runtime_would_load_is_refused() {
        assert!(matches!(insert("{", &entry()), Err(ConfError::Json(_))));
        assert!(matches!(insert("", &entry()), Err(ConfError::Json(_))));
        assert_eq!(insert("{}", &entry()), Err(ConfError::NoPlugins));
        assert_eq!(is_list(r#"{"plugins":[]}"#), Err(ConfError::NoPlugins));
        assert_eq!(list_of("{}", &entry()), Err(ConfError::NoType));
    }
}
