//! The image's one layer: a tar of programs.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// A program of the layer's root directory.
pub(super) struct File {
    name: String,
    bytes: Vec<u8>,
}

impl File {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_name().context("name a file of the image")?;
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            bytes: fs::read(path).with_context(|| format!("read {}", path.display()))?,
        })
    }
}

/// A tar of the files, in the order of their names.
pub(super) fn write(mut files: Vec<File>) -> anyhow::Result<Vec<u8>> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut layer = tar::Builder::new(Vec::new());
    for file in &files {
        append(&mut layer, &file.name, &file.bytes, 0o755)?;
    }
    layer.into_inner().context("write the layer")
}

/// Adds a file of root's, as old as the epoch.
pub(super) fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    name: &str,
    bytes: &[u8],
    mode: u32,
) -> anyhow::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, bytes)
        .with_context(|| format!("add {name} to the archive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> File {
        File {
            name: name.to_owned(),
            bytes: name.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_order_of_the_files_changes_no_byte() {
        let one = write(vec![file("a"), file("b")]).expect("a layer");
        let other = write(vec![file("b"), file("a")]).expect("a layer");
        assert_eq!(one, other);
    }

    #[test]
    fn programs_are_roots_and_executable_and_have_no_time() {
        let layer = write(vec![file("agent")]).expect("a layer");
        let mut archive = tar::Archive::new(layer.as_slice());
        let entry = archive
            .entries()
            .expect("entries")
            .next()
            .expect("one")
            .expect("readable");
        let header = entry.header();
        assert_eq!(
            (header.mode().ok(), header.uid().ok(), header.mtime().ok()),
            (Some(0o755), Some(0), Some(0))
        );
    }
}
