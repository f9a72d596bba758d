//! The archive: an OCI image layout, and beside it what `docker load` looks for.
//!
//! ```text
//! oci-layout, index.json -> blobs/sha256/<manifest> -> <configuration>, <layer>
//! manifest.json ------------------------------------> <configuration>, <layer>
//! ```

use std::fmt::Write as _;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::layer::append;

/// An image of one layer.
pub(super) struct Image {
    pub(super) layer: Vec<u8>,
    pub(super) version: String,
    pub(super) architecture: &'static str,
}

/// This machine's architecture by its OCI name.
pub(super) fn architecture() -> anyhow::Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no image is built for {other}: build on x86_64 or aarch64"),
    }
}

/// What a digest names.
struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let mut digest = String::new();
        for byte in Sha256::digest(&bytes) {
            // Writing to a string does not fail.
            let _ = write!(digest, "{byte:02x}");
        }
        Self { digest, bytes }
    }

    fn json(value: &Value) -> anyhow::Result<Self> {
        Ok(Self::new(
            serde_json::to_vec(value).context("write the image's JSON")?,
        ))
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({
            "mediaType": media_type,
            "digest": format!("sha256:{}", self.digest),
            "size": self.bytes.len(),
        })
    }
}

impl Image {
    /// The archive under these names.
    pub(super) fn archive(self, tags: &[String]) -> anyhow::Result<Vec<u8>> {
        let layer = Blob::new(self.layer);
        let configuration = Blob::json(&json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "User": "0:0",
                "Env": ["PATH=/"],
                "Entrypoint": ["/netpol-agent"],
                "Labels": {
                    "org.opencontainers.image.title": "netpol",
                    "org.opencontainers.image.version": self.version,
                    "org.opencontainers.image.licenses": "Apache-2.0",
                },
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)] },
        }))?;
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": configuration.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")],
        }))?;
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": tags.iter().map(|tag| named(&manifest, tag)).collect::<Vec<_>>(),
        });
        let docker = json!([{
            "Config": configuration.path(),
            "RepoTags": tags,
            "Layers": [layer.path()],
        }]);
        let layout = json!({ "imageLayoutVersion": "1.0.0" });
        let mut tar = tar::Builder::new(Vec::new());
        let mut blobs = [layer, configuration, manifest];
        blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
        for blob in &blobs {
            append(&mut tar, &blob.path(), &blob.bytes, 0o644)?;
        }
        for (name, value) in [
            ("index.json", &index),
            ("manifest.json", &docker),
            ("oci-layout", &layout),
        ] {
            append(&mut tar, name, value.to_string().as_bytes(), 0o644)?;
        }
        tar.into_inner().context("write the archive")
    }
}

fn named(manifest: &Blob, tag: &str) -> Value {
    let mut descriptor = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
    descriptor["annotations"] = json!({
        "io.containerd.image.name": tag,
        "org.opencontainers.image.ref.name": tag.rsplit(':').next().unwrap_or(tag),
    });
    descriptor
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().expect("entries");
        entries
            .map(|entry| {
                let mut entry = entry.expect("readable");
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).expect("its bytes");
                let name = entry.path().expect("a path").display().to_string();
                (name, bytes)
            })
            .collect()
    }

    fn image() -> Vec<u8> {
        let image = Image {
            layer: b"layer".to_vec(),
            version: "1".to_owned(),
            architecture: "amd64",
        };
        let tags = ["a/b:1".to_owned(), "a/b:2".to_owned()];
        image.archive(&tags).expect("an archive")
    }

    #[test]
    fn every_digest_leads_to_what_it_is_the_digest_of() {
        let files = files(&image());
        let index: Value = serde_json::from_slice(&files["index.json"]).expect("JSON");
        let digest = index["manifests"][1]["digest"].as_str().expect("a digest");
        let place = |digest: &str| digest.replace("sha256:", "blobs/sha256/");
        let manifest: Value = serde_json::from_slice(&files[&place(digest)]).expect("JSON");
        for descriptor in [&manifest["config"], &manifest["layers"][0]] {
            let digest = descriptor["digest"].as_str().expect("a digest");
            let bytes = &files[&place(digest)];
            assert_eq!(
                Blob::new(bytes.clone()).digest,
                digest.trim_start_matches("sha256:")
            );
            assert_eq!(descriptor["size"], bytes.len());
        }
    }

    #[test]
    fn docker_and_oci_name_the_same_image() {
        let files = files(&image());
        let index: Value = serde_json::from_slice(&files["index.json"]).expect("JSON");
        let docker: Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
        let names: Vec<&Value> = (0..2)
            .map(|i| &index["manifests"][i]["annotations"]["io.containerd.image.name"])
            .collect();
        assert_eq!(docker[0]["RepoTags"], json!(names));
        for path in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
            assert!(
                files.contains_key(path.as_str().expect("a path")),
                "{path} is there"
            );
        }
    }

    #[test]
    fn the_same_layer_gives_the_same_bytes() {
        assert_eq!(image(), image());
    }
}
