//! The agent: a child process inside the node's namespace.

use std::{
    fs::{self, OpenOptions},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    command,
    ctl::Ctl,
    error::{Doing, LabError, Result},
    netns::Netns,
    rights::Rights,
    sweep::building,
};

/// How long an agent may take to enforce what is on disk, or to say why not; nothing is lost when
/// it takes less. The kernel's verifier works through every program first, on a processor that
/// others may keep busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long an agent may take to end when told to: what the kubelet gives a pod.
const GRACE: Duration = Duration::from_secs(30);
/// How often a wait looks whether the agent still runs.
const SLICE: Duration = Duration::from_millis(500);
/// How much of its log is shown when something fails.
const TAIL_LINES: usize = 60;

/// Where an agent of a lab works.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) program: PathBuf,
    pub(crate) manifests: PathBuf,
    pub(crate) bpffs: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) log: PathBuf,
}

/// One agent, running or not. Killed when dropped; what it enforces then goes with the lab.
#[derive(Debug)]
pub struct Agent {
    node_name: String,
    netns: Netns,
    paths: Paths,
    arguments: Vec<String>,
    rights: Option<Rights>,
    ctl: Ctl,
    child: Option<Child>,
}

impl Agent {
    pub(crate) fn new(node_name: &str, netns: &Netns, paths: Paths, ctl: Ctl) -> Self {
        Self {
            node_name: node_name.to_owned(),
            netns: netns.clone(),
            paths,
            arguments: Vec::new(),
            rights: None,
            ctl,
            child: None,
        }
    }

    /// Further arguments of `netpol-agent run` from the next start on.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&word| word.to_owned()).collect();
    }

    /// What it may do from the next start on.
    pub fn set_rights(&mut self, rights: Rights) {
        self.rights = Some(rights);
    }

    /// Waits until it has ended by itself; its exit code, if it has one.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn wait_end(&mut self) -> Result<Option<i32>> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                self.child = None;
                return Ok(status.code());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(self.failure("does not end by itself".to_owned()))
    }

    /// netpolctl towards this agent.
    pub fn ctl(&self) -> &Ctl {
        &self.ctl
    }

    /// Starts it and waits until it enforces what is on disk.
    ///
    /// # Errors
    ///
    /// When it ends, or takes too long.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_ready()
    }

    /// Starts it and does not wait.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn launch(&mut self) -> Result<()> {
        self.kill();
        let mut command = self.command("run");
        command
            .args(["--node", &self.node_name])
            .arg("--manifests")
            .arg(&self.paths.manifests)
            .arg("--socket")
            .arg(&self.paths.socket)
            .args(&self.arguments);
        // Its own group: Ctrl-C is for the lab, which then ends the agent.
        command.stdin(Stdio::null()).process_group(0);
        if let Some(rights) = self.rights {
            rights.limit(&mut command);
        }
        let log = self.open_log()?;
        let for_stderr = log.try_clone().doing(|| "share the log".to_owned())?;
        command.stdout(log).stderr(for_stderr);
        let _guard = building();
        let child = self
            .netns
            .inside(|| command::start(&mut command, Command::spawn))
            .doing(|| format!("enter {}", self.netns.name()))??;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it enforces what is on disk now.
    ///
    /// # Errors
    ///
    /// When it ends, or takes too long.
    pub fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // In slices: netpolctl waits for an agent that is not there, also for one that has
            // ended.
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.ctl.wait(left.min(SLICE)) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if let Some(status) = self.ended()? {
                return Err(self.failure(format!("ended by itself ({status})")));
            }
            if Instant::now() >= deadline {
                return Err(self.failure(format!("is not ready: {error}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as a service manager does (SIGTERM).
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        let Some(child) = &mut self.child else {
            return Err(self.failure("does not run".to_owned()));
        };
        let pid = Pid::from_raw(child.id().cast_signed());
        kill(pid, Signal::SIGTERM).doing(|| format!("end agent {pid}"))?;
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                self.child = None;
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
        Err(self.failure("does not end on SIGTERM".to_owned()))
    }

    /// Kills it (SIGKILL) and waits for its end. Does nothing if it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it by SIGTERM, starts it again, waits until it enforces what is on disk.
    ///
    /// # Errors
    ///
    /// When it does not end, or does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.terminate()?;
        self.start()
    }

    /// Runs `netpol-agent cleanup` on this node.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn cleanup(&self) -> Result<Output> {
        let mut command = self.command("cleanup");
        self.netns
            .inside(|| command::run(&mut command))
            .doing(|| format!("enter {}", self.netns.name()))?
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.paths.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// Where its pins are.
    pub fn bpffs(&self) -> &Path {
        &self.paths.bpffs
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.paths.program);
        command
            .arg(subcommand)
            .arg("--bpffs")
            .arg(&self.paths.bpffs);
        command
    }

    fn open_log(&self) -> Result<fs::File> {
        let path = &self.paths.log;
        let mut options = OpenOptions::new();
        options
            .create(true)
            .append(true)
            .open(path)
            .doing(|| format!("open {}", path.display()))
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.as_mut().map_or(Ok(None), |child| {
            child.try_wait().doing(|| "wait for the agent".to_owned())
        })
    }

    fn failure(&self, what: String) -> LabError {
        LabError::Agent {
            what,
            log: self.paths.log.clone(),
            tail: self.log_tail(),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "--- end of the agent's log ({})\n{}\n---",
                self.netns.name(),
                self.log_tail()
            );
        }
    }
}
