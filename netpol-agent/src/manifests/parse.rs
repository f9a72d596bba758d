//! The text of a manifest -> objects and what is wrong with it.

use netpol_policy::{InvalidObject, Object, ObjectRef, objects_of};
use serde::Deserialize as _;
use serde_norway::Value;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Documents divided by `---`.
    Yaml,
    /// One value after the other.
    Json,
}

impl Format {
    /// The format that a file's name tells; none for files that are no manifests.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        if name.starts_with('.') {
            return None;
        }
        match name.rsplit_once('.')?.1 {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// What a file that can be read holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Contents {
    /// The objects that are of use, in the file's order.
    pub(crate) objects: Vec<(ObjectRef, Object)>,
    /// The objects that are not what their kind asks for.
    pub(crate) invalid: Vec<InvalidObject>,
}

/// Reads a file's text; the error is a sentence with the place.
pub(crate) fn parse(text: &str, format: Format) -> Result<Contents, String> {
    let mut contents = Contents::default();
    for document in documents(text, format)? {
        for value in objects_of(document) {
            match Object::from_value(&value) {
                Ok(Some(object)) => contents.objects.push((object.reference(), object)),
                Ok(None) => {}
                Err(invalid) => contents.invalid.push(invalid),
            }
        }
    }
    Ok(contents)
}

/// Both formats are read into a YAML value first: it refuses a field that is there twice, where
/// JSON's would keep one of the two without a word.
fn documents(text: &str, format: Format) -> Result<Vec<serde_json::Value>, String> {
    let values: Vec<Value> = match format {
        Format::Yaml => serde_norway::Deserializer::from_str(text)
            .map(Value::deserialize)
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?,
        Format::Json => serde_json::Deserializer::from_str(text)
            .into_iter::<Value>()
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?,
    };
    let values = values.into_iter().map(serde_json::to_value);
    values
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: a}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: b}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: ignored, namespace: b}}
---
";

    fn names(contents: &Contents) -> Vec<String> {
        let objects = contents.objects.iter();
        objects
            .map(|(reference, _)| reference.to_string())
            .collect()
    }

    #[test]
    fn documents_and_lists_are_flattened_and_unknown_kinds_ignored() {
        let contents = parse(TWO, Format::Yaml).expect("valid");
        assert_eq!(names(&contents), ["Namespace a", "Namespace b"]);
        assert_eq!(contents.invalid, []);
    }

    #[test]
    fn json_is_read_as_yaml_is() {
        let text = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}
                      {"apiVersion":"v1","kind":"NamespaceList","items":[
                        {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"b"}}]}"#;
        let contents = parse(text, Format::Json).expect("valid");
        assert_eq!(names(&contents), ["Namespace a", "Namespace b"]);
    }

    #[test]
    fn a_field_that_is_there_twice_is_an_error() {
        let yaml = "kind: Namespace\nmetadata: {name: a}\nmetadata: {name: b}\n";
        parse(yaml, Format::Yaml).expect_err("twice");
        let json = r#"{"kind": "Namespace", "metadata": {"name": "a"}, "metadata": {}}"#;
        parse(json, Format::Json).expect_err("twice");
    }

    #[test]
    fn a_broken_document_breaks_its_file() {
        let broken = format!("{TWO}kind: [\n");
        let error = parse(&broken, Format::Yaml).expect_err("broken");
        assert!(error.contains("line"), "{error}");
    }

    #[test]
    fn an_empty_file_is_a_file_without_objects() {
        assert_eq!(parse("", Format::Yaml), Ok(Contents::default()));
        assert_eq!(
            parse("# nothing\n---\n", Format::Yaml),
            Ok(Contents::default())
        );
        assert_eq!(parse(" \n", Format::Json), Ok(Contents::default()));
    }

    #[test]
    fn names_tell_manifests_from_other_files() {
        assert_eq!(Format::of_name("a.yaml"), Some(Format::Yaml));
        assert_eq!(Format::of_name("a.b.yml"), Some(Format::Yaml));
        assert_eq!(Format::of_name("a.json"), Some(Format::Json));
        for other in ["a.txt", "yaml", ".hidden.yaml", "a.yaml.swp", "a.yaml~"] {
            assert_eq!(Format::of_name(other), None, "{other}");
        }
    }
}
