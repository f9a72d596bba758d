//! The manifests: a directory of Kubernetes objects, followed.
//!
//! ```text
//! inotify, slow rescan, `wait` -> Directory (which files) -> Catalog (which objects) -> engine
//! ```

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::RecommendedWatcher;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

mod catalog;
mod directory;
mod last_good;
mod parse;
mod watch;

use directory::{Directory, Scan};
use last_good::LastGood;
use netpol_policy::Change;
use watch::Watched;

use crate::source::{ReadNow, Report, Update};

/// How long events are gathered: a file moved into place is several of them.
const GATHER: Duration = Duration::from_millis(5);
/// A look without an event: for what inotify does not see (a symbolic link's target, some network
/// file systems).
const RESCAN: Duration = Duration::from_secs(2);
/// How long `wait` and the start wait for files that are being written.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Why there is no directory to follow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("cannot read the manifests in {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
}

/// The reader of a directory.
pub(crate) struct Manifests {
    path: PathBuf,
    directory: Directory,
    watched: Arc<Watched>,
    /// With the directory it watches: another one may be moved to its path.
    watcher: Option<(RecommendedWatcher, Option<(u64, u64)>)>,
    reported: Option<Report>,
}

impl Manifests {
    /// Starts to watch, then reads everything.
    pub(crate) async fn open(path: &Path, copies: &Path) -> Result<(Self, Update), ManifestError> {
        let mut manifests = Self {
            path: path.to_owned(),
            directory: Directory::new(path.to_owned(), LastGood::new(copies, path)),
            watched: Arc::default(),
            watcher: None,
            reported: None,
        };
        manifests.watch();
        let mut changes = Vec::new();
        manifests.read_all(&mut changes).await;
        // Later on, a directory that vanishes keeps what it held. Here there is nothing to keep,
        // and an empty state would open what a former agent closed.
        if let Some(reason) = manifests.directory.problem() {
            return Err(ManifestError::Unreadable {
                path: path.to_owned(),
                reason: reason.to_owned(),
            });
        }
        let report = manifests.report();
        Ok((manifests, Update { changes, report }))
    }

    /// Follows the directory until shutdown.
    pub(crate) async fn run(
        mut self,
        mut wishes: mpsc::Receiver<ReadNow>,
        updates: mpsc::Sender<Update>,
        shutdown: CancellationToken,
    ) {
        let mut next = Instant::now() + RESCAN;
        loop {
            let mut answer_to = None;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.watched.rung() => sleep(GATHER).await,
                Some(wish) = wishes.recv() => answer_to = Some(wish),
                () = sleep_until(next) => {}
            }
            let mut changes = Vec::new();
            let scan = if answer_to.is_some() {
                self.read_all(&mut changes).await
            } else {
                self.scan()
            };
            changes.extend(scan.changes);
            next = Instant::now() + scan.again.unwrap_or(RESCAN);
            let identity = self.directory.identity();
            if self
                .watcher
                .as_ref()
                .is_none_or(|(_, watched)| *watched != identity)
            {
                self.watch();
            }
            let before = self.reported.clone();
            let report = self.report();
            if (!changes.is_empty() || before.as_ref() != Some(&report))
                && updates.send(Update { changes, report }).await.is_err()
            {
                return;
            }
            if let Some(wish) = answer_to {
                // Whoever wished may have given up.
                let _ = wish.send(());
            }
        }
    }

    /// Reads until no file is being written, or patience ends.
    async fn read_all(&mut self, changes: &mut Vec<Change>) -> Scan {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut scan = self.scan();
            changes.append(&mut scan.changes);
            match scan.again {
                Some(after) if scan.unread && Instant::now() + after < deadline => {
                    sleep(after).await;
                }
                _ => return scan,
            }
        }
    }

    /// File reads block for microseconds each; a slow disk must not hold up the other tasks.
    fn scan(&mut self) -> Scan {
        let activities = self.watched.activities();
        let scan = tokio::task::block_in_place(|| self.directory.scan(&activities));
        self.watched.retain(|name| self.path.join(name).exists());
        scan
    }

    fn watch(&mut self) {
        let identity = self.directory.identity();
        self.watcher = match watch::watch(&self.path, &self.watched) {
            Ok(watcher) => Some((watcher, identity)),
            Err(error) => {
                let directory = self.path.display();
                tracing::debug!(%directory, %error, "cannot watch, rescanning");
                None
            }
        };
    }

    /// The report, with what is new in it logged.
    fn report(&mut self) -> Report {
        let report = self.directory.report();
        let before = self.reported.take();
        let known = before
            .as_ref()
            .map(|report| report.invalid.as_slice())
            .unwrap_or_default();
        for problem in report
            .invalid
            .iter()
            .filter(|problem| !known.contains(problem))
        {
            tracing::warn!(
                file = problem.file,
                object = problem.object,
                field = problem.field,
                reason = problem.reason,
                effect = problem.effect,
                "manifest"
            );
        }
        self.reported = Some(report.clone());
        report
    }
}
