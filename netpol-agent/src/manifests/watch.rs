//! inotify on the directory: wakes the reader, and notes what writers do.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::sync::Notify;

use super::directory::{Activities, Activity};

/// What the watch has seen, and the bell it rings.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    activities: Mutex<Activities>,
    bell: Notify,
}

impl Watched {
    /// What writers did, as of now. Locked for the time of a copy only.
    pub(crate) fn activities(&self) -> Activities {
        self.activities
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for the next event. Any number of events before rings once.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Forgets files that are gone.
    pub(crate) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        let mut activities = self
            .activities
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        activities.retain(|name, _| is_there(name));
    }

    fn note(&self, event: &Event) {
        let Some(activity) = activity(&event.kind) else {
            return;
        };
        if let Some(activity) = activity {
            let mut activities = self
                .activities
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for path in &event.paths {
                if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                    activities.insert(name.to_owned(), activity);
                }
            }
        }
        self.bell.notify_one();
    }
}

/// Watches a directory for as long as the watcher lives.
pub(crate) fn watch(
    directory: &Path,
    watched: &Arc<Watched>,
) -> Result<RecommendedWatcher, notify::Error> {
    let noting = Arc::clone(watched);
    let mut watcher = notify::recommended_watcher(move |event: Result<Event, _>| match event {
        Ok(event) => noting.note(&event),
        // What was lost the next look finds, by the files' stamps.
        Err(_) => noting.bell.notify_one(),
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// What an event says of a file: nothing at all (it was read), that it may have changed, or what
/// its writer did.
fn activity(kind: &EventKind) -> Option<Option<Activity>> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
            Some(Some(Activity::Finished(SystemTime::now())))
        }
        EventKind::Modify(ModifyKind::Data(_)) => Some(Some(Activity::Written(Instant::now()))),
        EventKind::Access(_) => None,
        _ => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use notify::event::DataChange;

    use super::*;

    #[test]
    fn reading_rings_no_bell_and_writing_is_told_from_closing() {
        let open = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert_eq!(activity(&open), None);
        let read = EventKind::Access(AccessKind::Close(AccessMode::Read));
        assert_eq!(activity(&read), None);
        let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        assert!(matches!(activity(&data), Some(Some(Activity::Written(_)))));
        let close = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(matches!(
            activity(&close),
            Some(Some(Activity::Finished(_)))
        ));
        let moved = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        assert!(matches!(
            activity(&moved),
            Some(Some(Activity::Finished(_)))
        ));
        let gone = EventKind::Modify(ModifyKind::Name(RenameMode::From));
        assert_eq!(activity(&gone), Some(None));
    }
}
