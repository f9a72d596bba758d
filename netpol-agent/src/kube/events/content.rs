//! What an Event says, and its name.
//!
//! The name of an Event about a policy follows from what it says: the agents of all nodes that have
//! something to say write the same one, and the API server keeps the first.

use std::fmt::Write;

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use netpol_policy::{Kind, ObjectKey, default_group_version};
use sha2::{Digest, Sha256};

use crate::engine::Notice;

/// Whom it is from.
const CONTROLLER: &str = "netpol";
/// What was being done.
const ACTION: &str = "Enforcing";
/// Bytes that a note can have: "Maximal length of the note is 1kB".
const NOTE: usize = 1024;
/// Bytes that the reporting instance can have.
const INSTANCE: usize = 128;
/// Bytes that a name can have.
const NAME: usize = 253;
/// Bytes of the digest in a name.
const DIGEST: usize = 8;

struct Content<'a> {
    kind: Kind,
    object: &'a ObjectKey,
    uid: &'a str,
    type_: &'static str,
    reason: &'static str,
    note: String,
    /// What tells it from others that say the same.
    occasion: String,
}

/// The Event of a notice of a node's agent.
pub(super) fn event(notice: &Notice, node: &str, now: Timestamp) -> Event {
    let content = content(notice, now);
    let kind = content.kind.to_string();
    let namespace = Some(content.object.namespace.clone());
    Event {
        metadata: ObjectMeta {
            name: Some(content.name()),
            namespace: namespace.clone(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(shortened(node, INSTANCE).to_owned()),
        action: Some(ACTION.to_owned()),
        type_: Some(content.type_.to_owned()),
        reason: Some(content.reason.to_owned()),
        note: Some(noted(&content.note)),
        regarding: Some(ObjectReference {
            api_version: Some(default_group_version(&kind).to_owned()),
            kind: Some(kind),
            namespace,
            name: Some(content.object.name.clone()),
            uid: Some(content.uid.to_owned()),
            ..ObjectReference::default()
        }),
        ..Event::default()
    }
}

fn content(notice: &Notice, now: Timestamp) -> Content<'_> {
    match notice {
        Notice::InvalidPolicy {
            policy,
            version,
            problem,
        } => {
            let (field, reason) = (&problem.field, &problem.reason);
            let problem = match field.is_empty() {
                true => reason.clone(),
                false => format!("{field}: {reason}"),
            };
            Content {
                kind: Kind::NetworkPolicy,
                object: policy,
                uid: &version.uid,
                type_: "Warning",
                reason: "InvalidPolicy",
                note: format!(
                    "Not enforced as written. The pods it selects stay isolated, and none of its \
                     rules allows anything, until this is mended: {problem}"
                ),
                occasion: version.generation.unwrap_or_default().to_string(),
            }
        }
        Notice::Closed { pod, uid, reason } => Content {
            type_: "Warning",
            reason: "NetworkClosed",
            note: format!("All its traffic is dropped: {reason}"),
            ..of_pod(pod, uid, now)
        },
        Notice::Judged { pod, uid } => Content {
            note: "Its traffic is judged by its policies again".to_owned(),
            ..of_pod(pod, uid, now)
        },
    }
}

fn of_pod<'a>(pod: &'a ObjectKey, uid: &'a str, now: Timestamp) -> Content<'a> {
    Content {
        kind: Kind::Pod,
        object: pod,
        uid,
        type_: "Normal",
        reason: "NetworkEnforced",
        note: String::new(),
        occasion: now.as_nanosecond().to_string(),
    }
}

impl Content<'_> {
    fn name(&self) -> String {
        let mut digest = Sha256::new();
        for part in [self.uid, self.reason, &self.note, &self.occasion] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        let object = shortened(&self.object.name, NAME - 1 - 2 * DIGEST);
        let mut name = format!("{}.", object.trim_end_matches(['.', '-']));
        for byte in &digest.finalize()[..DIGEST] {
            // A String takes everything.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}

fn noted(note: &str) -> String {
    const MORE: &str = "...";
    if note.len() <= NOTE {
        return note.to_owned();
    }
    format!("{}{MORE}", shortened(note, NOTE - MORE.len()))
}

/// The longest beginning that has at most so many bytes.
fn shortened(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use netpol_policy::{PolicyProblem, PolicyVersion};

    use super::*;

    fn invalid(name: &str, generation: i64, reason: &str) -> Notice {
        Notice::InvalidPolicy {
            policy: ObjectKey::new("shop", name),
            version: PolicyVersion {
                uid: "u-1".to_owned(),
                generation: Some(generation),
            },
            problem: PolicyProblem {
                field: "spec.ingress[0].from[0].ipBlock.cidr".to_owned(),
                reason: reason.to_owned(),
            },
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn name(event: &Event) -> &str {
        event.metadata.name.as_deref().expect("a name")
    }

    #[test]
    fn an_invalid_policy_is_told_with_field_reason_and_what_holds() {
        let event = event(&invalid("to-db", 3, "no CIDR"), "node-a", at(5));
        let regarding = event.regarding.clone().expect("an object");
        assert_eq!(
            regarding.api_version.as_deref(),
            Some("networking.k8s.io/v1")
        );
        assert_eq!(regarding.kind.as_deref(), Some("NetworkPolicy"));
        assert_eq!(regarding.name.as_deref(), Some("to-db"));
        assert_eq!(regarding.uid.as_deref(), Some("u-1"));
        assert_eq!(event.metadata.namespace.as_deref(), Some("shop"));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.reason.as_deref(), Some("InvalidPolicy"));
        let note = event.note.expect("a note");
        for part in ["spec.ingress[0].from[0].ipBlock.cidr: no CIDR", "isolated"] {
            assert!(note.contains(part), "{note}");
        }
    }

    #[test]
    fn agents_of_all_nodes_give_a_policys_event_one_name_and_each_version_its_own() {
        let first = event(&invalid("p", 1, "no CIDR"), "node-a", at(5));
        let same = event(&invalid("p", 1, "no CIDR"), "node-b", at(9));
        assert_eq!(name(&first), name(&same));
        let again = event(&invalid("p", 3, "no CIDR"), "node-a", at(5));
        assert_ne!(name(&first), name(&again));
        let other = event(&invalid("p", 1, "no port"), "node-a", at(5));
        assert_ne!(name(&first), name(&other));
    }

    #[test]
    fn a_pod_that_is_closed_again_has_another_event() {
        let closed = Notice::Closed {
            pod: ObjectKey::new("shop", "db"),
            uid: "u-2".to_owned(),
            reason: "its policies do not fit".to_owned(),
        };
        let first = event(&closed, "node-a", at(5));
        assert_ne!(name(&first), name(&event(&closed, "node-a", at(6))));
        let regarding = first.regarding.expect("an object");
        assert_eq!(regarding.api_version.as_deref(), Some("v1"));
        assert_eq!(regarding.kind.as_deref(), Some("Pod"));
        assert!(
            first
                .note
                .expect("a note")
                .contains("its policies do not fit")
        );
    }

    #[test]
    fn what_the_api_server_would_not_take_is_shortened() {
        let long = format!("{}-{}", "a".repeat(235), "b".repeat(17));
        let event = event(
            &invalid(&long, 1, &"ä".repeat(2000)),
            &"n".repeat(253),
            at(5),
        );
        assert!(name(&event).len() <= NAME);
        assert!(
            name(&event).starts_with(&format!("{}.", "a".repeat(235))),
            "{}",
            name(&event)
        );
        assert!(event.note.is_some_and(|note| note.len() <= NOTE));
        assert!(
            event
                .reporting_instance
                .is_some_and(|i| i.len() == INSTANCE)
        );
    }
}
