//! Following the directories for as long as the agent runs.

use std::{sync::Arc, time::Duration};

use netpol_api::CniInstallation;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{Directories, Installer, told};

/// How long events are gathered: writers make several files.
const GATHER: Duration = Duration::from_millis(5);
/// How often to look when nothing happens: events are a means to be fast, not to be right.
const SAFETY: Duration = Duration::from_secs(10);
/// How often while something is not as it should be.
const SOON: Duration = Duration::from_secs(1);

/// Installs, and installs again whenever others change what there is, until shutdown. Nothing is
/// taken out then.
pub(crate) async fn follow(
    mut installer: Installer,
    said: watch::Sender<CniInstallation>,
    shutdown: CancellationToken,
) {
    let bell = Arc::new(Notify::new());
    let mut watcher = None;
    loop {
        if watcher.is_none() {
            watcher = watch_directories(&installer.directories, &bell);
        }
        let result = tokio::task::block_in_place(|| installer.install());
        let now = told(&result);
        let pause = match &result {
            Ok(_) if installer.is_unsettled() || watcher.is_none() => SOON,
            Ok(_) => SAFETY,
            Err(_) => SOON,
        };
        said.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                match &now.problem {
                    Some(problem) => tracing::warn!(problem, "the CNI plugin is not installed"),
                    None => tracing::info!(file = now.file, "the CNI plugin is installed"),
                }
                *before = now;
            }
            changed
        });
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = bell.notified() => sleep(GATHER).await,
            () = sleep(pause) => {}
        }
    }
}

/// None when a directory is not there yet.
fn watch_directories(directories: &Directories, bell: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let ringing = Arc::clone(bell);
    let mut watcher = notify::recommended_watcher(move |event: Result<Event, _>| {
        // Reading is what the installer does itself.
        let is_read = |event: &Event| matches!(event.kind, EventKind::Access(access)
            if !matches!(access, notify::event::AccessKind::Close(notify::event::AccessMode::Write)));
        if !event.as_ref().is_ok_and(is_read) {
            ringing.notify_one();
        }
    })
    .ok()?;
    for directory in [&directories.conf, &directories.bin] {
        watcher.watch(directory, RecursiveMode::NonRecursive).ok()?;
    }
    Some(watcher)
}
