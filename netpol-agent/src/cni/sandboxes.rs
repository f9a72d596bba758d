//! What the plugin told of the sandboxes, a file each, beside the socket.
//!
//! Between a pod's ADD and the moment the API shows its addresses nobody else knows them: a new
//! agent would look for the pod in vain, and leave its interface. The directory is one that a
//! reboot empties, as it does with sandboxes.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use netpol_api::{CniAttachment, CniKey};

/// The directory of what was told, beside a socket.
pub(crate) fn directory(socket: &Path) -> PathBuf {
    socket.with_extension("sandboxes")
}

/// What was told.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

impl Store {
    /// Makes the directory.
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&directory)?;
        Ok(Self { directory })
    }

    /// All of it. A file that cannot be read is left out, and said so: its sandbox is looked for
    /// as those from before netpol came are.
    pub(crate) fn load(&self) -> io::Result<Vec<CniAttachment>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?));
            match read {
                Ok(attachment) => found.push(attachment),
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "cannot read what a plugin told");
                }
            }
        }
        Ok(found)
    }

    /// Keeps an attachment; on disk when this returns, as far as the agent's own end goes.
    pub(crate) fn save(&self, attachment: &CniAttachment) -> io::Result<()> {
        let path = self.path(&attachment.key);
        let fresh = path.with_extension("new");
        let mut file = fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(attachment)?)?;
        fs::rename(fresh, path)
    }

    /// Forgets an attachment.
    pub(crate) fn remove(&self, key: &CniKey) {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %path.display(), %error, "cannot forget a sandbox");
            }
            _ => {}
        }
    }

    /// `@` is in no container's id, and neither in it nor in an interface's name is a slash.
    fn path(&self, key: &CniKey) -> PathBuf {
        let name = |text: &str| text.replace(['/', '@'], "_");
        let (container, interface) = (name(&key.container_id), name(&key.interface));
        self.directory.join(format!("{container}@{interface}.json"))
    }
}

#[cfg(test)]
mod tests {
    use netpol_api::ObjectName;

    use super::*;

    #[test]
    fn what_was_told_is_known_until_it_is_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path().join("x")).expect("made");
        let attachment = CniAttachment {
            key: CniKey {
                container_id: "c.1".to_owned(),
                interface: "../eth0".to_owned(),
            },
            network: "n".to_owned(),
            pod: ObjectName {
                namespace: "a".to_owned(),
                name: "x".to_owned(),
            },
            uid: "1".to_owned(),
            host_interface: "veth1".to_owned(),
            ifindex: 7,
            addresses: vec!["10.0.0.1".parse().expect("an address")],
        };
        store.save(&attachment).expect("saved");
        fs::write(dir.path().join("x/other.json"), "{").expect("written");
        let again = Store::open(dir.path().join("x")).expect("there");
        assert_eq!(
            again.load().expect("read"),
            std::slice::from_ref(&attachment)
        );
        again.remove(&attachment.key);
        again.remove(&attachment.key);
        assert_eq!(store.load().expect("read"), []);
    }
}
