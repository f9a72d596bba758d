//! The agent that is measured: the program that is shipped, in a network namespace of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{sys::signal::Signal, sys::signal::kill, time::clock_getcpuclockid, unistd::Pid};
use serde::Serialize;
use serde_json::Value;

use super::world::NODE;
use crate::lab::Netns;

/// How long an agent may take to do anything at all.
const PATIENCE: Duration = Duration::from_secs(180);
/// The silence after which a start, or a change, has nothing more to come.
pub(super) const CALM: Duration = Duration::from_secs(1);
pub(super) const SETTLED: Duration = Duration::from_millis(30);

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was.
    pub peak: u64,
}

/// Where an agent runs.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) program: PathBuf,
    pub(super) netns: Netns,
    pub(super) bpffs: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) kubeconfig: PathBuf,
}

/// A running agent. Killed when dropped.
#[derive(Debug)]
pub(super) struct Agent {
    child: Child,
    started: Instant,
    words: Receiver<Word>,
}

/// A line of its log.
#[derive(Clone, Debug)]
struct Word {
    at: Instant,
    line: Value,
}

/// How a start went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// From the start of the process until every object was there.
    pub(super) synced: Duration,
    /// Until everything was in force.
    pub(super) ready: Duration,
    /// Operations on the maps.
    pub(super) operations: u64,
    /// What the process used of a processor until then.
    pub(super) cpu: Duration,
}

impl Agent {
    /// Starts one.
    pub(super) fn start(place: &Place) -> Result<Self> {
        let mut command = Command::new(&place.program);
        command
            .args(["run", "--node", NODE, "--log-format", "json"])
            .arg("--kubeconfig")
            .arg(&place.kubeconfig)
            .arg("--bpffs")
            .arg(&place.bpffs)
            .arg("--socket")
            .arg(&place.socket)
            // A hundred thousand pods are more than the tables are made for where nobody says so.
            .args(["--max-addresses", "262144"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = place
            .netns
            .inside(|| command.spawn())
            .context("enter the node's network namespace")?
            .with_context(|| format!("start {}", place.program.display()))?;
        let stderr = child.stderr.take().context("the agent has a log")?;
        let words = follow(stderr);
        Ok(Self {
            child,
            started,
            words,
        })
    }

    /// Waits until everything is in force.
    pub(super) fn ready(&self) -> Result<Start> {
        let mut start = Start {
            synced: Duration::ZERO,
            ready: Duration::ZERO,
            operations: 0,
            cpu: Duration::ZERO,
        };
        loop {
            let word = self.next(PATIENCE)?;
            let since = word.at - self.started;
            match word.message() {
                "in sync" => start.synced = since,
                "in force" => start.operations += word.operations(),
                "ready" => {
                    start.ready = since;
                    start.cpu = self.cpu()?;
                    return Ok(start);
                }
                _ => {}
            }
        }
    }

    /// Waits until a change is in force: when, and by how many operations.
    pub(super) fn in_force(&self, patience: Duration) -> Result<(Instant, u64)> {
        loop {
            let word = self.next(patience)?;
            if word.message() == "in force" {
                return Ok((word.at, word.operations()));
            }
        }
    }

    /// Passes over what it says until it is silent for a while; the operations of that time.
    pub(super) fn calm(&self, silence: Duration) -> u64 {
        let mut operations = 0;
        while let Ok(word) = self.words.recv_timeout(silence) {
            if word.message() == "in force" {
                operations += word.operations();
            }
        }
        operations
    }

    fn next(&self, patience: Duration) -> Result<Word> {
        match self.words.recv_timeout(patience) {
            Ok(word) => {
                if word.line["level"] == "ERROR" {
                    bail!("the agent: {}", word.line);
                }
                Ok(word)
            }
            Err(RecvTimeoutError::Timeout) => bail!("the agent is silent for {patience:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the agent ended"),
        }
    }

    /// What the process has used of a processor.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let clock = clock_getcpuclockid(self.pid()).context("the agent's processor time")?;
        let time = clock.now().context("the agent's processor time")?;
        Ok(Duration::from(time))
    }

    /// Its memory.
    pub(super) fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        Ok(Memory {
            resident: field(&status, "VmRSS:")?,
            peak: field(&status, "VmHWM:")?,
        })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Ends it as the kubelet does; what is in force stays.
    pub(super) fn stop(mut self) -> Result<()> {
        kill(self.pid(), Signal::SIGTERM).context("stop the agent")?;
        self.child.wait().context("wait for the agent's end")?;
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Word {
    fn message(&self) -> &str {
        self.line["message"].as_str().unwrap_or_default()
    }

    fn operations(&self) -> u64 {
        self.line["operations"].as_u64().unwrap_or_default()
    }
}

fn follow(stderr: ChildStderr) -> Receiver<Word> {
    let (heard, words) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let at = Instant::now();
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            if heard.send(Word { at, line }).is_err() {
                return;
            }
        }
    });
    words
}

fn field(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: u64 = number.with_context(|| format!("no {name}"))?.parse()?;
    Ok(kilobytes * 1024)
}

/// Writes how to reach a server.
pub(super) fn write_kubeconfig(path: &Path, url: &str) -> Result<()> {
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{ "name": "bench", "cluster": { "server": url } }],
        "users": [{ "name": "bench", "user": {} }],
        "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "bench" } }],
    });
    fs::write(path, config.to_string()).with_context(|| format!("write {}", path.display()))
}
