//! Images without a registry: docker archives written by hand.
//!
//! agnhost, the test image of Kubernetes, is one static program: it is its own image, and that of the pause container. A
//! third one adds busybox, for those who want a shell.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::{assets::Assets, directory::Directory, error::Result, options::Options};
use crate::lab::error::Doing;

/// The test image, under the name that the end-to-end suite of Kubernetes 1.35 uses.
pub const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.59";
/// What holds a pod's namespaces.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10.1";
/// CoreDNS, with the plugins of `netpol-e2e/kubernetes/coredns`.
pub const COREDNS: &str = "registry.k8s.io/coredns/coredns:v1.14.0";
/// agnhost and a shell with busybox's commands; there only where this computer has a static busybox.
pub const TOOLS: &str = "localhost/netpol-tools:1";

const BUSYBOX: &str = "/bin/busybox";
/// Not those that resolve names: a static C library cannot, without files that are not in the image. agnhost can
/// (`agnhost connect HOST:PORT`).
const APPLETS: [&str; 9] = [
    "sh", "cat", "date", "echo", "ip", "ls", "sleep", "tail", "timeout",
];

/// Writes the archive of the images that every node has; returns its path.
pub(super) fn write_base(
    directory: &Directory,
    assets: &Assets,
    options: &Options,
) -> Result<PathBuf> {
    let path = directory.path("images.tar");
    let agnhost = assets.kubernetes("agnhost")?;
    let doing = || format!("write {}", path.display());
    let base = agnhost_layer(&agnhost).doing(doing)?;
    let entry = |command: &[&str]| json!({"Entrypoint": command, "Env": ["PATH=/bin:/"]});
    let mut agnhost = entry(&["/agnhost"]);
    agnhost["Cmd"] = json!(["pause"]);
    let mut images = vec![
        Image::new(AGNHOST, &agnhost, vec![&base]),
        Image::new(PAUSE, &entry(&["/agnhost", "pause"]), vec![&base]),
    ];
    let coredns = if options.dns {
        let program = assets.kubernetes("coredns")?;
        Some(program_layer("coredns", &program).doing(doing)?)
    } else {
        None
    };
    if let Some(coredns) = &coredns {
        images.push(Image::new(COREDNS, &entry(&["/coredns"]), vec![coredns]));
    }
    let busybox = busybox_layer().doing(doing)?;
    if let Some(busybox) = &busybox {
        let mut tools = entry(&[]);
        tools["Cmd"] = json!(["/agnhost", "pause"]);
        images.push(Image::new(TOOLS, &tools, vec![&base, busybox]));
    }
    write_archive(&path, &images).doing(doing)?;
    Ok(path)
}

/// Writes the archive of an image that is one static program, run without arguments if nothing else is said.
///
/// # Errors
///
/// When the program cannot be read or the archive not be written.
pub fn write_program(archive: &Path, image: &str, program: &Path) -> Result<()> {
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let write = || {
        let mut layer = Builder::new(Vec::new());
        append_program(&mut layer, &name, program)?;
        let layer = Layer::new(layer)?;
        let config = json!({"Entrypoint": [format!("/{name}")]});
        write_archive(archive, &[Image::new(image, &config, vec![&layer])])
    };
    Ok(write().doing(|| format!("write an image of {}", program.display()))?)
}

/// One layer: a tar archive and its digest.
struct Layer {
    bytes: Vec<u8>,
    digest: String,
}

struct Image<'a> {
    name: &'a str,
    config: Vec<u8>,
    layers: Vec<&'a Layer>,
}

impl Layer {
    fn new(archive: Builder<Vec<u8>>) -> std::io::Result<Self> {
        let bytes = archive.into_inner()?;
        let digest = hex(&bytes);
        Ok(Self { bytes, digest })
    }

    fn file_name(&self) -> String {
        format!("{}.tar", self.digest)
    }
}

impl<'a> Image<'a> {
    fn new(name: &'a str, config: &Value, layers: Vec<&'a Layer>) -> Self {
        let ids: Vec<String> = layers
            .iter()
            .map(|layer| format!("sha256:{}", layer.digest))
            .collect();
        let config = json!({
            "architecture": architecture(), "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": ids},
        });
        Self {
            name,
            config: config.to_string().into_bytes(),
            layers,
        }
    }

    fn config_name(&self) -> String {
        format!("{}.json", hex(&self.config))
    }
}

/// As Go, and so containerd, calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn agnhost_layer(program: &Path) -> std::io::Result<Layer> {
    let mut archive = Builder::new(Vec::new());
    for name in ["tmp/", "uploads/", "etc/"] {
        let mut header = header(EntryType::Directory, 0, 0o1777);
        archive.append_data(&mut header, name, std::io::empty())?;
    }
    append(&mut archive, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")?;
    append_program(&mut archive, "agnhost", program)?;
    Layer::new(archive)
}

fn program_layer(name: &str, program: &Path) -> std::io::Result<Layer> {
    let mut archive = Builder::new(Vec::new());
    append_program(&mut archive, name, program)?;
    Layer::new(archive)
}

fn busybox_layer() -> std::io::Result<Option<Layer>> {
    if !Path::new(BUSYBOX).exists() {
        return Ok(None);
    }
    let mut archive = Builder::new(Vec::new());
    append_program(&mut archive, "bin/busybox", Path::new(BUSYBOX))?;
    for applet in APPLETS {
        let mut header = header(EntryType::Symlink, 0, 0o777);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    Ok(Some(Layer::new(archive)?))
}

fn write_archive(path: &Path, images: &[Image<'_>]) -> std::io::Result<()> {
    let mut archive = Builder::new(File::create(path)?);
    let mut written: Vec<&str> = Vec::new();
    let mut manifest = Vec::new();
    for image in images {
        for layer in &image.layers {
            if !written.contains(&layer.digest.as_str()) {
                append(&mut archive, &layer.file_name(), &layer.bytes)?;
                written.push(&layer.digest);
            }
        }
        append(&mut archive, &image.config_name(), &image.config)?;
        let layers: Vec<String> = image.layers.iter().map(|layer| layer.file_name()).collect();
        manifest.push(json!({
            "Config": image.config_name(), "RepoTags": [image.name], "Layers": layers,
        }));
    }
    let manifest = Value::from(manifest).to_string();
    append(&mut archive, "manifest.json", manifest.as_bytes())?;
    archive.into_inner()?.flush()
}

fn append_program(archive: &mut Builder<Vec<u8>>, name: &str, from: &Path) -> std::io::Result<()> {
    let bytes = fs::read(from)?;
    let mut header = header(EntryType::Regular, bytes.len() as u64, 0o755);
    archive.append_data(&mut header, name, bytes.as_slice())
}

fn append(archive: &mut Builder<impl Write>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = header(EntryType::Regular, bytes.len() as u64, 0o644);
    archive.append_data(&mut header, name, bytes)
}

/// No times and no owners: the same content is the same image.
fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
