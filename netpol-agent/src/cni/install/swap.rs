//! Replacing a file that others write too.
//!
//! ```text
//! temporary file --RENAME_EXCHANGE--> the name; what was there is in the temporary file now
//!   it is what the new text was made of     -> done
//!   it is not: somebody was faster          -> exchanged back, and all is read anew
//! ```
//! So nobody's file is lost in between, and a reader sees the one or the other, whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Swapped {
    /// The new text is there. The file is the one that was: a writer that had it open may still
    /// write to it.
    Done(File),
    /// There is another text than expected.
    Changed,
}

/// Where a file's next text is written; no runtime loads it.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.netpol-new"))
}

/// Replaces `expected` by `text`, and nothing else.
pub(crate) fn swap(path: &Path, expected: &[u8], text: &[u8]) -> io::Result<Swapped> {
    let there = match File::open(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Swapped::Changed),
        Err(error) => return Err(error),
    };
    let temporary = temporary(path);
    write(&temporary, text, Some(&there))?;
    let result = exchange(path, &temporary, expected, text, there);
    // What is left there is the text that was replaced, or ours that was not put in place.
    let _ = fs::remove_file(&temporary);
    sync_directory(path);
    result
}

fn exchange(
    path: &Path,
    temporary: &Path,
    expected: &[u8],
    text: &[u8],
    there: File,
) -> io::Result<Swapped> {
    let swap = || renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE);
    match swap() {
        Ok(()) => {}
        Err(rustix::io::Errno::NOENT) => return Ok(Swapped::Changed),
        // File systems that cannot exchange: the moment between look and rename is not covered.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            if fs::read(path)? != expected {
                return Ok(Swapped::Changed);
            }
            fs::rename(temporary, path)?;
            return Ok(Swapped::Done(there));
        }
        Err(error) => return Err(error.into()),
    }
    let mut former = File::open(temporary)?;
    let mut displaced = reread(&mut former)?;
    if displaced == expected {
        return Ok(Swapped::Done(former));
    }
    // Back, and again if yet another text was put there meanwhile: the newest stays.
    let mut in_place = text.to_vec();
    loop {
        swap()?;
        let found = fs::read(temporary)?;
        if found == in_place {
            return Ok(Swapped::Changed);
        }
        in_place = std::mem::replace(&mut displaced, found);
    }
}

/// Writes a whole file that is not there yet, durably, with the rights of another.
pub(crate) fn write(path: &Path, text: &[u8], like: Option<&File>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).open(path)?;
    if let Some(like) = like {
        let like = like.metadata()?;
        // An agent without the right to give files away leaves them root's, as directories of
        // configurations are.
        let _ = fchown(&file, Some(like.uid()), Some(like.gid()));
        file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
    }
    file.write_all(text)?;
    file.sync_all()
}

/// Puts a file in place, whatever was there.
pub(crate) fn put(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let temporary = temporary(path);
    write(&temporary, text, None)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))?;
    fs::rename(&temporary, path)?;
    sync_directory(path);
    Ok(())
}

/// All of a file from its start, by its descriptor.
pub(crate) fn reread(file: &mut File) -> io::Result<Vec<u8>> {
    use io::Seek;
    file.rewind()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

/// Renames are durable once their directory is.
fn sync_directory(path: &Path) {
    if let Some(directory) = path.parent() {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_replaced_with_its_rights() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.conflist");
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        let result = swap(&path, b"old", b"new").expect("swapped");
        let Swapped::Done(mut former) = result else {
            panic!("{result:?}");
        };
        assert_eq!(fs::read(&path).expect("there"), b"new");
        let mode = fs::metadata(&path).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(reread(&mut former).expect("open"), b"old");
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 1);
    }

    #[test]
    fn another_s_text_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.conflist");
        fs::write(&path, "theirs").expect("written");
        let result = swap(&path, b"old", b"new").expect("tried");
        assert!(matches!(result, Swapped::Changed), "{result:?}");
        assert_eq!(fs::read(&path).expect("there"), b"theirs");
        fs::remove_file(&path).expect("removed");
        let result = swap(&path, b"theirs", b"new").expect("tried");
        assert!(matches!(result, Swapped::Changed), "{result:?}");
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0);
    }

    #[test]
    fn what_is_written_meanwhile_by_rename_is_never_lost() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.conflist");
        let other = dir.path().join("other");
        fs::write(&path, "0").expect("written");
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                for number in 1..=500 {
                    fs::write(&other, number.to_string()).expect("written");
                    fs::rename(&other, &path).expect("renamed");
                }
            }
        });
        while !writer.is_finished() {
            let base = fs::read(&path).expect("there");
            if !base.ends_with(b"+") {
                let ours = [&*base, b"+"].concat();
                swap(&path, &base, &ours).expect("tried");
            }
        }
        writer.join().expect("written");
        let last = fs::read(&path).expect("there");
        assert!(last.starts_with(b"500"), "{last:?}");
    }
}
