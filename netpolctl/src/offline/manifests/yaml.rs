//! YAML documents as JSON values, the way `kubectl` turns one into the other. JSON is YAML.

use serde::Deserialize;
use serde_json::{Map, Number, Value as Json};
use serde_norway::{Deserializer, Value as Yaml};

/// The documents of a text; empty ones (comments between two `---`) are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Json>, String> {
    let mut documents = Vec::new();
    for document in Deserializer::from_str(text) {
        let mut value = Yaml::deserialize(document).map_err(|e| e.to_string())?;
        value.apply_merge().map_err(|e| e.to_string())?;
        match json(value)? {
            Json::Null => {}
            value => documents.push(value),
        }
    }
    Ok(documents)
}

fn json(value: Yaml) -> Result<Json, String> {
    Ok(match value {
        Yaml::Null => Json::Null,
        Yaml::Bool(value) => Json::Bool(value),
        Yaml::Number(number) => self::number(&number)?,
        Yaml::String(text) => Json::String(text),
        Yaml::Sequence(items) => {
            Json::Array(items.into_iter().map(json).collect::<Result<_, _>>()?)
        }
        Yaml::Mapping(fields) => {
            let mut object = Map::new();
            for (key, value) in fields {
                object.insert(self::key(&key)?, json(value)?);
            }
            Json::Object(object)
        }
        Yaml::Tagged(tagged) => json(tagged.value)?,
    })
}

fn number(number: &serde_norway::Number) -> Result<Json, String> {
    let whole = number.as_u64().map(Number::from);
    let whole = whole.or_else(|| number.as_i64().map(Number::from));
    let number = whole.or_else(|| Number::from_f64(number.as_f64()?));
    number
        .map(Json::Number)
        .ok_or_else(|| "a number that JSON does not have (.nan or .inf)".to_owned())
}

/// The key of a mapping: YAML has keys that are no text, which JSON has not.
fn key(key: &Yaml) -> Result<String, String> {
    match key {
        Yaml::String(text) => Ok(text.clone()),
        Yaml::Number(number) => Ok(number.to_string()),
        Yaml::Bool(value) => Ok(value.to_string()),
        _ => Err("a key of a mapping that is no text".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn several_documents_and_empty_ones() {
        let text = "# nothing\n---\na: 1\n---\n---\nb: [true, 1.5, -2]\n";
        let expected = vec![json!({"a": 1}), json!({"b": [true, 1.5, -2]})];
        assert_eq!(documents(text), Ok(expected));
    }

    #[test]
    fn json_is_yaml() {
        let text = "{\"kind\": \"Pod\", \"n\": null}";
        assert_eq!(documents(text), Ok(vec![json!({"kind": "Pod", "n": null})]));
    }

    #[test]
    fn keys_that_are_numbers_become_text_as_kubectl_has_it() {
        assert_eq!(
            documents("data: {80: web}"),
            Ok(vec![json!({"data": {"80": "web"}})])
        );
    }

    #[test]
    fn merge_keys_are_merged() {
        let text = "base: &b {app: web}\nlabels:\n  <<: *b\n  tier: front\n";
        let merged = documents(text).expect("YAML");
        assert_eq!(merged[0]["labels"], json!({"app": "web", "tier": "front"}));
    }

    #[test]
    fn an_error_names_its_line() {
        let error = documents("a: 1\nb: [\n").expect_err("an error");
        assert!(error.contains("line"), "{error}");
    }
}
