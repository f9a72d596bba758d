//! Working inside a network namespace.
//!
//! A socket belongs for life to the namespace it was made in. So only the making happens inside, on
//! a thread of its own that ends afterwards; the socket is then used from anywhere.

use std::{fs::File, io, panic, path::PathBuf, thread};

use nix::sched::{CloneFlags, setns};

/// Where `ip netns` keeps its names. Not `/run`: in a small VM the two may be different
/// directories.
pub(crate) const NETNS_DIR: &str = "/var/run/netns";

/// A network namespace that a file stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns {
    name: String,
    path: PathBuf,
}

impl Netns {
    /// The namespace of that name; it need not exist yet.
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        let path = PathBuf::from(NETNS_DIR).join(&name);
        Self { name, path }
    }

    /// The namespace that a file stands for, wherever it is: `/proc/PID/ns/net`, or what a
    /// container runtime has mounted.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.display().to_string();
        Self { name, path }
    }

    /// Its name, as `ip netns exec` takes it; the file of one that has no name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Runs `work` on a thread inside the namespace and waits for it. Processes it starts are
    /// inside as well.
    ///
    /// # Errors
    ///
    /// When the namespace is gone; what `work` returns is passed on as it is.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let namespace = File::open(self.path())?;
        let visit = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(visit).join())
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    }
}
