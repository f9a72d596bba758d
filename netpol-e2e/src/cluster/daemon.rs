//! Daemons: started inside a machine, known again by any later process.

use std::{
    fs::{self, OpenOptions},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    directory::Directory,
    error::{ClusterError, Result},
    machine::Machine,
};
use crate::{
    lab::error::Doing,
    process::{Process, namespace_of, pids},
};

/// Joins the machine's cgroup, starts a program that nobody waits for, says its id. The machine's first process inherits
/// it, so that it leaves no zombie whoever started it.
const LAUNCH: &str = r#"
set -e
if [ -d /sys/fs/cgroup/init ]; then
    echo 0 >/sys/fs/cgroup/init/cgroup.procs
else
    for procs in /sys/fs/cgroup/*/cgroup.procs; do echo 0 >"$procs"; done
fi
setsid "$@" </dev/null >&2 &
echo $!
"#;
const GRACE: Duration = Duration::from_secs(10);

/// One daemon: what it is, and its process while it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Daemon {
    /// Its name, that of its log as well.
    pub name: String,
    /// The machine it runs in.
    pub machine: String,
    /// Program and arguments.
    pub words: Vec<String>,
    /// Further environment.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
    /// The process, while it is wanted.
    pub process: Option<Process>,
}

impl Daemon {
    /// One that does not run yet.
    pub(super) fn new(name: impl Into<String>, machine: &str, words: Vec<String>) -> Self {
        Self {
            name: name.into(),
            machine: machine.to_owned(),
            words,
            environment: Vec::new(),
            process: None,
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.process.is_some_and(Process::is_alive)
    }

    /// One that is recorded.
    pub(super) fn find(directory: &Directory, name: &str) -> Option<Self> {
        directory.read(&record(name)).ok()
    }

    /// Starts it, unless it runs, and records it. Its log goes on.
    pub(super) fn start(&mut self, directory: &Directory, machine: &Machine) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let log_path = self.log(directory);
        let mut options = OpenOptions::new();
        let log = options
            .create(true)
            .append(true)
            .open(&log_path)
            .doing(|| format!("open {}", log_path.display()))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", LAUNCH, "launch"])
            .args(&self.words)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stderr(log);
        let output = machine.exec(&mut command)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let process = said
            .trim()
            .parse()
            .ok()
            .and_then(|inner| seen_from_here(machine, inner));
        let Some(process) = process else {
            return Err(self.failure(directory, "does not start", Duration::ZERO));
        };
        self.process = Some(process);
        directory.write(&record(&self.name), self)
    }

    /// Ends it (SIGTERM, then SIGKILL), and records that.
    pub(super) fn stop(&mut self, directory: &Directory) -> Result<()> {
        if let Some(process) = self.process.take()
            && !process.end(GRACE)
        {
            return Err(self.failure(directory, "does not end", GRACE));
        }
        directory.write(&record(&self.name), self)
    }

    pub(super) fn log(&self, directory: &Directory) -> PathBuf {
        directory.log(&self.name)
    }

    pub(super) fn failure(
        &self,
        directory: &Directory,
        what: &str,
        within: Duration,
    ) -> ClusterError {
        let log = self.log(directory);
        ClusterError::NotReady {
            what: format!("{} {what}", self.name),
            within,
            tail: super::tail(&log),
            log,
        }
    }
}

fn record(name: &str) -> String {
    format!("daemons/{name}.json")
}

/// The process that has this id inside the machine.
fn seen_from_here(machine: &Machine, inner: u32) -> Option<Process> {
    let namespace = machine.pid_namespace()?;
    let is_it = |pid: &u32| {
        namespace_of(*pid, "pid") == Some(namespace) && innermost_id(*pid) == Some(inner)
    };
    Process::with_pid(pids().find(is_it)?)
}

/// A process's id in its own namespace: the last of `NSpid: 4711 12`.
fn innermost_id(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    ids.split_whitespace().last()?.parse().ok()
}
