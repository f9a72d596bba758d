//! Reading a directory of manifests: which files changed, and which can be read now.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use netpol_api::{InvalidObject, ManifestStatus};
use netpol_policy::Change;

use super::{
    catalog::Catalog,
    last_good::LastGood,
    parse::{Contents, Format, parse},
};
use crate::source::{Origin, Report};

/// A file that changed this lately may still be written, unless its writer was seen to close it.
/// Twice the coarsest tick by which kernels stamp files.
const SETTLED: Duration = Duration::from_millis(20);
/// A file whose writer keeps it open is read all the same after so long without a write.
const HELD_OPEN: Duration = Duration::from_secs(1);
/// A file that is gone may be on its way: editors move it aside and write it anew.
const GONE: Duration = Duration::from_millis(40);

/// What the watch has seen a file's writers do last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Written to, at that time.
    Written(Instant),
    /// Closed after writing, or moved into place, at that time.
    Finished(SystemTime),
}

/// What the watch has seen, by file name.
pub(crate) type Activities = HashMap<String, Activity>;

/// The outcome of a look at the directory.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// From what was in force to what is now.
    pub(crate) changes: Vec<Change>,
    /// When to look again.
    pub(crate) again: Option<Duration>,
    /// A file is being written or moved, so what is on disk is not all taken.
    pub(crate) unread: bool,
}

/// A directory of manifests.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    catalog: Catalog,
    seen: BTreeMap<String, Seen>,
    last_good: LastGood,
    /// Files that are being written.
    unfinished: BTreeSet<String>,
    /// Why the directory itself cannot be read.
    problem: Option<String>,
}

/// A file as it was when it was read.
#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    /// The stamp may be that of a later write too: the clock had not moved on.
    fleeting: bool,
    text: String,
    gone: Option<Instant>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Directory {
    pub(crate) fn new(path: PathBuf, last_good: LastGood) -> Self {
        Self {
            path,
            catalog: Catalog::default(),
            seen: BTreeMap::new(),
            last_good,
            unfinished: BTreeSet::new(),
            problem: None,
        }
    }

    /// Reads what changed. A directory that cannot be read changes nothing.
    pub(crate) fn scan(&mut self, activities: &Activities) -> Scan {
        let names = match list(&self.path) {
            Ok(names) => names,
            Err(error) => {
                self.problem = Some(format!("cannot read the directory: {error}"));
                return Scan::default();
            }
        };
        self.problem = None;
        self.unfinished.clear();
        let mut scan = Scan::default();
        for (name, format) in &names {
            self.visit(name, *format, activities.get(name), &mut scan);
        }
        // Removals last: what moved to another file is handed over, and never away in between.
        for name in self.catalog.names().cloned().collect::<Vec<_>>() {
            if !names.contains_key(&name) {
                self.visit_gone(&name, &mut scan);
            }
        }
        scan
    }

    /// What there is to say of the directory.
    pub(crate) fn report(&self) -> Report {
        let mut invalid = self.catalog.reports();
        let mut unread = self.catalog.unreadable();
        let unfinished = self.unfinished.iter();
        unread.extend(unfinished.map(|name| format!("{name} is being written")));
        unread.extend(self.problem.clone());
        invalid.extend(self.problem.iter().map(|reason| InvalidObject {
            file: Some(self.path.display().to_string()),
            object: None,
            field: None,
            reason: reason.clone(),
            effect: "the last good objects stay in force".to_owned(),
        }));
        Report {
            origin: Origin::Manifests(ManifestStatus {
                directory: self.path.display().to_string(),
                files: self.catalog.names().count() as u64,
                objects: self.catalog.objects() as u64,
            }),
            invalid,
            unread,
        }
    }

    /// Which directory the path names now; none if it names none.
    pub(crate) fn identity(&self) -> Option<(u64, u64)> {
        let metadata = fs::metadata(&self.path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// Why the directory could not be read last time.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn visit(&mut self, name: &str, format: Format, activity: Option<&Activity>, scan: &mut Scan) {
        let path = self.path.join(name);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return,
            Err(error) => return self.unreadable(name, format, &error, scan),
        };
        let stamp = Stamp::of(&metadata);
        if let Some(seen) = self.seen.get_mut(name) {
            seen.gone = None;
            if seen.stamp == stamp && !seen.fleeting {
                return;
            }
        }
        let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
        let empties =
            metadata.len() == 0 && self.seen.get(name).is_some_and(|s| !s.text.is_empty());
        if let Some(wait) = unsettled(age, metadata.modified().ok(), activity, empties) {
            self.unfinished.insert(name.to_owned());
            return scan.unread(wait);
        }
        let fleeting = age.is_some_and(|age| age < SETTLED);
        if fleeting {
            scan.look_again(SETTLED);
        }
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return self.unreadable(name, format, &error, scan),
        };
        let before = self.seen.insert(
            name.to_owned(),
            Seen {
                stamp,
                fleeting,
                text: text.clone(),
                gone: None,
            },
        );
        if before.as_ref().is_some_and(|seen| seen.text == text) {
            return;
        }
        self.take(name, format, &text, before.is_none(), scan);
    }

    fn take(&mut self, name: &str, format: Format, text: &str, first: bool, scan: &mut Scan) {
        let parsed = parse(text, format);
        let good = parsed
            .as_ref()
            .is_ok_and(|contents| contents.invalid.is_empty());
        if good {
            self.last_good.store(name, text);
        } else if first && let Some(contents) = self.copy_of(name, format) {
            scan.changes.extend(self.catalog.set(name, contents));
        }
        match parsed {
            Ok(contents) => scan.changes.extend(self.catalog.set(name, contents)),
            Err(reason) => self.catalog.set_unreadable(name, reason),
        }
    }

    fn unreadable(&mut self, name: &str, format: Format, error: &io::Error, scan: &mut Scan) {
        // Read again as soon as it can be, whatever its stamp.
        let first = self.seen.remove(name).is_none();
        // What an agent before this one could read of it stays in force.
        if first && let Some(contents) = self.copy_of(name, format) {
            scan.changes.extend(self.catalog.set(name, contents));
        }
        self.catalog.set_unreadable(name, error.to_string());
    }

    fn copy_of(&self, name: &str, format: Format) -> Option<Contents> {
        parse(&self.last_good.load(name)?, format).ok()
    }

    fn visit_gone(&mut self, name: &str, scan: &mut Scan) {
        if let Some(seen) = self.seen.get_mut(name) {
            let since = seen.gone.get_or_insert_with(Instant::now).elapsed();
            if since < GONE {
                return scan.unread(GONE - since);
            }
        }
        self.seen.remove(name);
        self.last_good.remove(name);
        scan.changes.extend(self.catalog.remove(name));
    }
}

impl Scan {
    fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }

    fn unread(&mut self, wait: Duration) {
        self.unread = true;
        self.look_again(wait);
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// How long to wait before a file that changed can be read: it may be half written. `age` is none
/// for a file from the future, which says nothing. A file that is emptied gets a second look in
/// any case: to truncate is how most writers begin.
fn unsettled(
    age: Option<Duration>,
    modified: Option<SystemTime>,
    activity: Option<&Activity>,
    empties: bool,
) -> Option<Duration> {
    let by_age = age
        .and_then(|age| SETTLED.checked_sub(age))
        .filter(|wait| !wait.is_zero());
    match activity {
        Some(Activity::Written(at)) => HELD_OPEN
            .checked_sub(at.elapsed())
            .map(|wait| wait.min(SETTLED)),
        Some(Activity::Finished(at)) if !empties && modified.is_some_and(|m| m <= *at) => None,
        Some(Activity::Finished(_)) | None => by_age,
    }
}

fn list(directory: &Path) -> io::Result<BTreeMap<String, Format>> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        // A name that is no UTF-8 ends in none of the extensions either, as far as can be told.
        if let Ok(name) = entry?.file_name().into_string()
            && let Some(format) = Format::of_name(&name)
        {
            names.insert(name, format);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
