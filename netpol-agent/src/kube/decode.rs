//! What the API server sends -> objects. One that cannot be read is an item as well, and never
//! spoils its neighbours.

use netpol_policy::{InvalidObject, Kind, Object, ObjectKey, ObjectRef, REFUSE_ANNOTATION};
use serde::{Deserialize, de::DeserializeSeed};
use serde_json::{Value, value::RawValue};

use super::{
    resources::{METADATA, Resource},
    trim::Trim,
};

/// An object that was sent.
#[derive(Debug)]
pub(super) struct Item {
    /// Its name, as far as it can be read.
    pub(super) key: Option<ObjectKey>,
    /// Its `resourceVersion`.
    pub(super) version: Option<String>,
    pub(super) object: Result<Object, InvalidObject>,
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    /// The version that the list is of.
    pub(super) version: Option<String>,
    /// By what the next part is asked for.
    pub(super) next: Option<String>,
}

/// A line of a watch.
#[derive(Debug)]
pub(super) enum Event {
    /// The object is there, and is this.
    Set(Item),
    /// The object is gone.
    Gone(Item),
    /// Nothing to say up to this version.
    Bookmark {
        version: Option<String>,
        /// All that was there when the watch began has been sent.
        complete: bool,
    },
    /// The server ends the watch.
    Error { code: u64, message: String },
}

/// Reads a part of a list.
pub(super) fn page(text: &[u8], resource: &Resource) -> serde_json::Result<Page> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(default)]
        metadata: ListMeta,
        #[serde(borrow, default)]
        items: Option<Vec<&'a RawValue>>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ListMeta {
        resource_version: Option<String>,
        r#continue: Option<String>,
    }
    let list: List<'_> = serde_json::from_slice(text)?;
    let items = list.items.unwrap_or_default().into_iter();
    Ok(Page {
        items: items.map(|raw| item(raw, resource)).collect(),
        version: list.metadata.resource_version.filter(|v| !v.is_empty()),
        next: list.metadata.r#continue.filter(|token| !token.is_empty()),
    })
}

/// Reads a line of a watch.
pub(super) fn event(line: &[u8], resource: &Resource) -> serde_json::Result<Event> {
    #[derive(Deserialize)]
    struct Line<'a> {
        r#type: String,
        #[serde(borrow)]
        object: &'a RawValue,
    }
    let line: Line<'_> = serde_json::from_slice(line)?;
    Ok(match line.r#type.as_str() {
        "DELETED" => Event::Gone(item(line.object, resource)),
        "BOOKMARK" => bookmark(&serde_json::from_str(line.object.get())?),
        "ERROR" => error(&serde_json::from_str(line.object.get())?),
        // ADDED, MODIFIED
        _ => Event::Set(item(line.object, resource)),
    })
}

fn bookmark(object: &Value) -> Event {
    let metadata = &object["metadata"];
    Event::Bookmark {
        version: text(metadata, "resourceVersion"),
        complete: metadata["annotations"]["k8s.io/initial-events-end"] == "true",
    }
}

fn error(status: &Value) -> Event {
    Event::Error {
        code: status["code"].as_u64().unwrap_or_default(),
        message: text(status, "message").unwrap_or_default(),
    }
}

fn text(object: &Value, field: &str) -> Option<String> {
    let text = object[field].as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned)
}

fn item(raw: &RawValue, resource: &Resource) -> Item {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    let trim = if resource.only.is_empty() {
        // A namespace's annotations say how to refuse.
        let keeps = |path: &&&[&str]| resource.kind == Kind::Namespace && path[1] == "annotations";
        let metadata = METADATA.iter().filter(|path| !keeps(path));
        Trim::new(metadata.chain(resource.skip).copied())
    } else {
        Trim::to(resource.only.iter().copied())
    };
    let mut value = match trim.deserialize(&mut deserializer) {
        Ok(value) => value,
        Err(error) => return unreadable(None, resource, "", error.to_string()),
    };
    if resource.kind == Kind::Namespace {
        keep_refusal(&mut value);
    }
    if let Value::Object(fields) = &mut value {
        // Items of a list come without.
        fields.insert("apiVersion".to_owned(), resource.group_version.into());
        fields.insert("kind".to_owned(), resource.kind.to_string().into());
    }
    let metadata = &value["metadata"];
    let key = text(metadata, "name").map(|name| {
        let namespace = text(metadata, "namespace").unwrap_or_default();
        ObjectKey::new(namespace, name)
    });
    let version = text(metadata, "resourceVersion");
    let object = match Object::from_value(&value) {
        Ok(Some(object)) => Ok(object),
        Ok(None) => return unreadable(key, resource, "kind", "is another".to_owned()),
        Err(invalid) => Err(invalid),
    };
    Item {
        key,
        version,
        object,
    }
}

/// Leaves a namespace no annotation but the one that is looked at.
fn keep_refusal(namespace: &mut Value) {
    let annotations = namespace.pointer_mut("/metadata/annotations");
    if let Some(Value::Object(annotations)) = annotations {
        annotations.retain(|key, _| key == REFUSE_ANNOTATION);
    }
}

fn unreadable(key: Option<ObjectKey>, resource: &Resource, field: &str, reason: String) -> Item {
    let object = key.clone().map(|key| ObjectRef {
        kind: resource.kind,
        key,
    });
    Item {
        key,
        version: None,
        object: Err(InvalidObject {
            object,
            field: field.to_owned(),
            reason,
        }),
    }
}

#[cfg(test)]
mod tests;
