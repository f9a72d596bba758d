//! How the watches stand, and what they make of the cluster: pure.

use std::collections::{BTreeMap, HashSet};

use netpol_api::{ApiServerStatus, InvalidObject, WatchState, WatchStatus};
use netpol_policy::{Change, Kind, ObjectKey, ObjectRef};

use super::{
    failure::Failure,
    reflect::{News, Word},
    resources::RESOURCES,
};
use crate::source::{Origin, Report};

/// All watches.
pub(super) struct Watches {
    url: String,
    node: String,
    /// Whether this node's own object is there.
    has_node: bool,
    by_kind: BTreeMap<Kind, Watch>,
    /// Objects that are there and cannot be read.
    invalid: BTreeMap<(Kind, Option<ObjectKey>), InvalidObject>,
}

struct Watch {
    state: WatchState,
    since: u64,
    relists: u64,
    /// It has been listed, whole, and is followed or was.
    listed: bool,
    followed: bool,
    /// The last failure, while it lasts.
    failure: Option<Failure>,
}

impl Watches {
    /// Watches that have not begun.
    pub(super) fn new(url: String, node: String, now: u64) -> Self {
        let watch = || Watch {
            state: WatchState::Listing,
            since: now,
            relists: 0,
            listed: false,
            followed: false,
            failure: None,
        };
        Self {
            url,
            node,
            has_node: false,
            by_kind: RESOURCES.iter().map(|r| (r.kind, watch())).collect(),
            invalid: BTreeMap::new(),
        }
    }

    /// Whether every kind has been listed and is followed: from then on the state is whole.
    pub(super) fn in_sync(&self) -> bool {
        let mut watches = self.by_kind.values();
        watches.all(|watch| watch.listed && watch.followed)
    }

    /// Whether this node's own object is there.
    pub(super) fn has_node(&self) -> bool {
        self.has_node
    }

    /// What keeps the first lists from being whole: a refusal counts before a server that is away.
    pub(super) fn obstacle(&self) -> Option<&Failure> {
        let failures = self.by_kind.values().filter_map(|w| w.failure.as_ref());
        failures.max_by_key(|failure| matches!(failure, Failure::Refused(_)))
    }

    /// Takes what was heard; gives the change that it is.
    pub(super) fn hear(&mut self, word: Word, now: u64) -> Option<Change> {
        let Word { kind, news } = word;
        match news {
            News::Set(object) => {
                let reference = object.reference();
                self.has_node |= reference.kind == Kind::Node && reference.key.name == self.node;
                self.invalid.remove(&(kind, Some(reference.key)));
                Some(Change::Set(object))
            }
            News::Invalid(key, invalid) => {
                self.take_invalid(kind, key, invalid);
                None
            }
            News::Gone(key) => {
                self.has_node &= kind != Kind::Node || key.name != self.node;
                self.invalid.remove(&(kind, Some(key.clone())));
                Some(Change::Remove(ObjectRef { kind, key }))
            }
            News::Listed(keys) => {
                self.take_list(kind, &keys);
                Some(Change::Only { kind, keys })
            }
            News::Listing { anew } => {
                let watch = self.by_kind.get_mut(&kind)?;
                watch.relists += u64::from(anew);
                watch.enter(WatchState::Listing, now);
                None
            }
            News::Watching => {
                let watch = self.by_kind.get_mut(&kind)?;
                watch.followed = true;
                let was_interrupted = watch.failure.take().is_some();
                watch.enter(WatchState::Watching, now);
                if was_interrupted && self.obstacle().is_none() {
                    tracing::info!(url = self.url, "all changes arrive again");
                }
                None
            }
            News::Interrupted(failure) => {
                if self.obstacle().is_none() {
                    tracing::warn!(url = self.url, %kind, reason = failure.words(), "changes do not arrive, trying again");
                }
                let watch = self.by_kind.get_mut(&kind)?;
                let reason = failure.words().to_owned();
                watch.failure = Some(failure);
                watch.enter(WatchState::Interrupted { reason }, now);
                None
            }
        }
    }

    fn take_invalid(
        &mut self,
        kind: Kind,
        key: Option<ObjectKey>,
        invalid: netpol_policy::InvalidObject,
    ) {
        let named = key.as_ref().map(|key| format!("{kind} {key}"));
        let object = named.unwrap_or_else(|| format!("a {kind} without a name"));
        let report = InvalidObject {
            file: None,
            object: Some(object),
            field: Some(invalid.field).filter(|field| !field.is_empty()),
            reason: invalid.reason,
            effect: "its last version that could be read, if there was one, stays in force"
                .to_owned(),
        };
        if self.invalid.get(&(kind, key.clone())) != Some(&report) {
            tracing::warn!(
                object = report.object,
                field = report.field,
                reason = report.reason,
                "unreadable object"
            );
            self.invalid.insert((kind, key), report);
        }
    }

    fn take_list(&mut self, kind: Kind, keys: &HashSet<ObjectKey>) {
        self.invalid.retain(|(of, key), _| {
            *of != kind || key.as_ref().is_some_and(|key| keys.contains(key))
        });
        if kind == Kind::Node {
            self.has_node = keys.contains(&ObjectKey::new("", &self.node));
        }
        if let Some(watch) = self.by_kind.get_mut(&kind) {
            watch.listed = true;
        }
    }

    /// What there is to say.
    pub(super) fn report(&self) -> Report {
        let interrupted = self
            .by_kind
            .values()
            .filter(|watch| watch.failure.is_some());
        let since = interrupted.map(|watch| watch.since).min();
        let watches = self.by_kind.iter().map(|(kind, watch)| WatchStatus {
            kind: kind.to_string(),
            // The engine knows: it has them.
            objects: 0,
            state: watch.state.clone(),
            since: watch.since,
            relists: watch.relists,
        });
        Report {
            origin: Origin::ApiServer(ApiServerStatus {
                url: self.url.clone(),
                interrupted_since: since,
                watches: watches.collect(),
            }),
            invalid: self.invalid.values().cloned().collect(),
            unread: self.unread(),
        }
    }

    /// Sentences about what may be there and is not known.
    fn unread(&self) -> Vec<String> {
        let mut unread = Vec::new();
        for (kind, watch) in &self.by_kind {
            if let Some(failure) = &watch.failure {
                let words = failure.words();
                unread.push(format!("changes of {kind} objects do not arrive: {words}"));
            }
        }
        if self.in_sync() && !self.has_node {
            unread.push(no_such_node(&self.node));
        }
        unread
    }
}

/// The sentence about a node that the API server does not have.
pub(super) fn no_such_node(node: &str) -> String {
    format!(
        "the cluster has no Node {node}: --node (or NETPOL_NODE) must be this node's name as \
         `kubectl get nodes` shows it"
    )
}

impl Watch {
    /// A state lasts from when it began, however often it is said.
    fn enter(&mut self, state: WatchState, now: u64) {
        let is_interrupted = |state: &WatchState| matches!(state, WatchState::Interrupted { .. });
        // Attempts to list while the server is away do not end the interruption.
        if state == WatchState::Listing && self.failure.is_some() {
            return;
        }
        let goes_on = is_interrupted(&self.state) && is_interrupted(&state) || self.state == state;
        if !goes_on {
            self.since = now;
        }
        self.state = state;
    }
}

#[cfg(test)]
mod tests;
