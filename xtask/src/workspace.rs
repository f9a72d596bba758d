//! Where the sources and what is built from them are.

use std::path::PathBuf;

use anyhow::Context;
use cargo_metadata::{Metadata, MetadataCommand};

/// The cargo workspace this task was built from.
pub(crate) struct Workspace {
    /// The directory of the root `Cargo.toml`, absolute.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, absolute; tasks keep their own things in subdirectories.
    pub(crate) target: PathBuf,
    /// The members and what they declare to depend on; nothing is resolved.
    pub(crate) metadata: Metadata,
}

impl Workspace {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            .no_deps()
            .exec()
            .context("read the workspace with `cargo metadata`")?;
        Ok(Self {
            root: metadata.workspace_root.clone().into_std_path_buf(),
            target: metadata.target_directory.clone().into_std_path_buf(),
            metadata,
        })
    }

    /// The directory of the example scenarios' manifests.
    pub(crate) fn examples(&self) -> PathBuf {
        self.root.join("examples")
    }
}
