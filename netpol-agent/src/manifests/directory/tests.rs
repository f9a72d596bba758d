//! Files on disk, in every state in which a look can meet them.

use super::*;

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";

struct Fixture {
    manifests: tempfile::TempDir,
    copies: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self {
            manifests: tempfile::tempdir().expect("temporary directory"),
            copies: tempfile::tempdir().expect("temporary directory"),
        }
    }

    /// An agent's view, from its start.
    fn directory(&self) -> Directory {
        let path = self.manifests.path();
        Directory::new(path.to_owned(), LastGood::new(self.copies.path(), path))
    }

    /// A file that was written long ago.
    fn write(&self, name: &str, text: &str) {
        let file = self.write_now(name, text);
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(long_ago).expect("set the time");
    }

    fn write_now(&self, name: &str, text: &str) -> fs::File {
        let path = self.manifests.path().join(name);
        fs::write(&path, text).expect("write");
        fs::File::options().write(true).open(path).expect("open")
    }
}

fn scan(directory: &mut Directory) -> usize {
    directory.scan(&Activities::new()).changes.len()
}

fn files_and_objects(report: &Report) -> (u64, u64) {
    let Origin::Manifests(status) = &report.origin else {
        panic!("another source");
    };
    (status.files, status.objects)
}

#[test]
fn only_files_that_are_manifests_are_read() {
    let fixture = Fixture::new();
    fixture.write("a.yaml", NAMESPACE);
    fixture.write("notes.txt", "kind: [");
    fixture.write(".a.yaml.swp", "kind: [");
    fs::create_dir(fixture.manifests.path().join("d.yaml")).expect("directory");
    let mut directory = fixture.directory();
    assert_eq!(scan(&mut directory), 1);
    let report = directory.report();
    assert_eq!(files_and_objects(&report), (1, 1));
    assert_eq!(report.invalid, []);
    assert_eq!(scan(&mut directory), 0);
}

#[test]
fn a_broken_file_keeps_its_objects_across_a_restart() {
    let fixture = Fixture::new();
    fixture.write("a.yaml", NAMESPACE);
    let mut directory = fixture.directory();
    scan(&mut directory);
    fixture.write("a.yaml", "kind: [");
    assert_eq!(scan(&mut directory), 0);
    assert_eq!(directory.report().invalid.len(), 1);
    assert_eq!(directory.report().unread.len(), 1);

    let mut restarted = fixture.directory();
    assert_eq!(scan(&mut restarted), 1, "the copy's object");
    assert_eq!(restarted.report().invalid.len(), 1);
    fixture.write("a.yaml", NAMESPACE);
    assert_eq!(scan(&mut restarted), 0, "the same object again");
    assert_eq!(restarted.report().invalid, []);
}

#[test]
fn a_file_that_cannot_even_be_read_keeps_its_objects_across_a_restart() {
    let fixture = Fixture::new();
    fixture.write("a.yaml", NAMESPACE);
    scan(&mut fixture.directory());
    let path = fixture.manifests.path().join("a.yaml");
    fs::write(&path, [0xff, 0xfe]).expect("write");
    let file = fs::File::options().write(true).open(&path).expect("open");
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    file.set_modified(long_ago).expect("set the time");

    let mut restarted = fixture.directory();
    assert_eq!(scan(&mut restarted), 1, "the copy's object");
    assert_eq!(restarted.report().invalid.len(), 1);
    assert_eq!(scan(&mut restarted), 0, "once");
}

#[test]
fn a_file_that_is_gone_is_forgotten_after_a_moment_copy_and_all() {
    let fixture = Fixture::new();
    fixture.write("a.yaml", NAMESPACE);
    let mut directory = fixture.directory();
    scan(&mut directory);
    fs::remove_file(fixture.manifests.path().join("a.yaml")).expect("remove");
    let first = directory.scan(&Activities::new());
    assert_eq!(first.changes.len(), 0, "it may be on its way");
    assert!(first.unread && first.again.is_some());
    std::thread::sleep(GONE);
    assert_eq!(scan(&mut directory), 1);
    fixture.write("a.yaml", "kind: [");
    assert_eq!(scan(&mut fixture.directory()), 0, "no copy is left");
}

#[test]
fn a_file_that_comes_back_at_once_never_was_away() {
    let fixture = Fixture::new();
    fixture.write("a.yaml", NAMESPACE);
    let mut directory = fixture.directory();
    scan(&mut directory);
    fs::remove_file(fixture.manifests.path().join("a.yaml")).expect("remove");
    assert_eq!(scan(&mut directory), 0);
    fixture.write("a.yaml", NAMESPACE);
    assert_eq!(scan(&mut directory), 0);
    std::thread::sleep(GONE);
    assert_eq!(scan(&mut directory), 0);
}

#[test]
fn an_object_that_moves_to_another_file_never_was_away() {
    let fixture = Fixture::new();
    fixture.write("a.yaml", NAMESPACE);
    let mut directory = fixture.directory();
    scan(&mut directory);
    let path = fixture.manifests.path();
    fs::rename(path.join("a.yaml"), path.join("b.yaml")).expect("rename");
    std::thread::sleep(GONE);
    scan(&mut directory);
    std::thread::sleep(GONE);
    let changes = directory.scan(&Activities::new()).changes;
    assert!(
        changes
            .iter()
            .all(|change| !matches!(change, Change::Remove(_))),
        "{changes:?}"
    );
    assert_eq!(files_and_objects(&directory.report()).1, 1);
}

#[test]
fn a_directory_that_vanishes_keeps_what_it_held() {
    let fixture = Fixture::new();
    fixture.write("a.yaml", NAMESPACE);
    let mut directory = fixture.directory();
    scan(&mut directory);
    fs::remove_dir_all(fixture.manifests.path()).expect("remove");
    assert_eq!(scan(&mut directory), 0);
    assert!(directory.problem().is_some());
    assert_eq!(files_and_objects(&directory.report()).1, 1);
}

#[test]
fn a_file_that_is_written_right_now_waits_for_its_writer() {
    let fixture = Fixture::new();
    fixture.write_now("a.yaml", NAMESPACE);
    let mut directory = fixture.directory();
    let written = Activities::from([("a.yaml".to_owned(), Activity::Written(Instant::now()))]);
    let scan = directory.scan(&written);
    assert!(scan.unread && scan.changes.is_empty());
    assert_eq!(directory.report().unread, ["a.yaml is being written"]);
    let finished = Activity::Finished(SystemTime::now() + Duration::from_millis(1));
    let finished = Activities::from([("a.yaml".to_owned(), finished)]);
    let scan = directory.scan(&finished);
    assert_eq!(scan.changes.len(), 1);
    assert!(!scan.unread);
}

#[test]
fn when_a_changed_file_can_be_read() {
    let now = SystemTime::now();
    let young = Some(Duration::from_millis(5));
    let old = Some(SETTLED + Duration::from_millis(1));
    let finished = Activity::Finished(now);
    let before = Some(now - Duration::from_millis(5));
    let after = Some(now + Duration::from_millis(5));
    let written = Activity::Written(Instant::now());
    let held_open = Instant::now()
        .checked_sub(HELD_OPEN * 2)
        .map(Activity::Written);

    assert_eq!(unsettled(old, before, None, false), None);
    assert!(unsettled(young, before, None, false).is_some());
    assert_eq!(unsettled(young, before, Some(&finished), false), None);
    assert!(
        unsettled(young, after, Some(&finished), false).is_some(),
        "written since"
    );
    assert!(
        unsettled(young, before, Some(&finished), true).is_some(),
        "emptied"
    );
    assert_eq!(
        unsettled(old, before, Some(&finished), true),
        None,
        "emptied, and left so"
    );
    assert!(unsettled(old, before, Some(&written), false).is_some());
    assert_eq!(unsettled(old, before, held_open.as_ref(), false), None);
    assert_eq!(
        unsettled(None, after, None, false),
        None,
        "a time of the future"
    );
}
