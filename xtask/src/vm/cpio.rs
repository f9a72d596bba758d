//! Writing cpio archives in the "newc" format, which the kernel unpacks at boot (its
//! `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail};

/// An archive that grows in memory. Paths are those in the virtual machine, without the leading slash; directories
/// on the way to an entry come by themselves.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    known: BTreeSet<String>,
}

/// What an entry is: the file type bits of `st_mode`.
#[derive(Clone, Copy)]
enum Kind {
    Directory = 0o040_000,
    File = 0o100_000,
    Link = 0o120_000,
}

const EXECUTABLE: u32 = 0o755;
const LAST_ENTRY: &str = "TRAILER!!!";
/// Header, name and content each start at a multiple of this.
const ALIGNMENT: usize = 4;

impl Archive {
    pub(super) fn contains(&self, path: &str) -> bool {
        self.known.contains(path)
    }

    pub(super) fn directory(&mut self, path: &str) -> anyhow::Result<()> {
        if path.is_empty() || self.contains(path) {
            return Ok(());
        }
        self.entry(path, Kind::Directory, EXECUTABLE, &[])
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
        self.entry(path, Kind::File, mode, content)
    }

    pub(super) fn program(&mut self, path: &str, content: &[u8]) -> anyhow::Result<()> {
        self.file(path, EXECUTABLE, content)
    }

    pub(super) fn link(&mut self, path: &str, to: &str) -> anyhow::Result<()> {
        self.entry(path, Kind::Link, 0o777, to.as_bytes())
    }

    /// A copy of a file or a whole directory of the host; symbolic links are followed.
    pub(super) fn copy(&mut self, from: &Path, to: &str) -> anyhow::Result<()> {
        let metadata = fs::metadata(from).with_context(|| format!("find {}", from.display()))?;
        if !metadata.is_dir() {
            let content = fs::read(from).with_context(|| format!("read {}", from.display()))?;
            return self.file(to, metadata.permissions().mode() & 0o777, &content);
        }
        self.directory(to)?;
        for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            self.copy(&entry.path(), &format!("{to}/{}", name.to_string_lossy()))?;
        }
        Ok(())
    }

    /// The complete archive. Several may follow each other; the kernel unpacks them in turn.
    pub(super) fn finish(mut self) -> anyhow::Result<Vec<u8>> {
        self.append(LAST_ENTRY, 0, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, path: &str, kind: Kind, mode: u32, content: &[u8]) -> anyhow::Result<()> {
        if !self.known.insert(path.to_owned()) {
            bail!("/{path} is put into the initramfs twice");
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent)?;
        }
        self.append(path, kind as u32 | mode, content)
    }

    fn append(&mut self, path: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
        let size = u32::try_from(content.len())
            .with_context(|| format!("/{path} is too large for an initramfs"))?;
        let name_size = u32::try_from(path.len() + 1)?;
        self.entries += 1;
        let (user, group, links, time) = (0, 0, 1, 0);
        let (device, own_device, check) = ((0, 0), (0, 0), 0);
        let fields = [
            self.entries,
            mode,
            user,
            group,
            links,
            time,
            size,
            device.0,
            device.1,
            own_device.0,
            own_device.1,
            name_size,
            check,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        let length = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive back: name, mode and content of each entry.
    fn entries(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            assert_eq!(&bytes[at..at + 6], b"070701", "a header at {at}");
            let field = |index: usize| {
                let start = at + 6 + 8 * index;
                let text = std::str::from_utf8(&bytes[start..start + 8]).expect("hex digits");
                usize::from_str_radix(text, 16).expect("hex digits")
            };
            let (mode, size, name_size) = (field(1), field(6), field(11));
            let name = at + 110;
            let content = (name + name_size).next_multiple_of(4);
            let text = String::from_utf8(bytes[name..name + name_size - 1].to_vec());
            found.push((
                text.expect("names are text"),
                u32::try_from(mode).expect("a mode"),
                bytes[content..content + size].to_vec(),
            ));
            at = (content + size).next_multiple_of(4);
        }
        found
    }

    #[test]
    fn entries_read_back_with_their_parents_first() {
        let mut archive = Archive::default();
        archive.program("bin/a", b"12345").expect("it is new");
        archive.link("bin/b", "a").expect("it is new");
        let bytes = archive.finish().expect("it is small");
        assert_eq!(
            entries(&bytes),
            [
                ("bin".to_owned(), 0o040_755, vec![]),
                ("bin/a".to_owned(), 0o100_755, b"12345".to_vec()),
                ("bin/b".to_owned(), 0o120_777, b"a".to_vec()),
                (LAST_ENTRY.to_owned(), 0, vec![]),
            ]
        );
    }

    #[test]
    fn every_length_is_aligned() {
        for length in 0..9 {
            let mut archive = Archive::default();
            let content = vec![7; length];
            archive.file("f", 0o644, &content).expect("it is new");
            let bytes = archive.finish().expect("it is small");
            assert_eq!(bytes.len() % ALIGNMENT, 0);
            assert_eq!(entries(&bytes)[0].2, content);
        }
    }

    #[test]
    fn one_path_is_one_entry() {
        let mut archive = Archive::default();
        archive.file("f", 0o644, b"1").expect("it is new");
        assert!(archive.file("f", 0o644, b"2").is_err());
    }
}
