//! A machine: network, mount, process and cgroup namespaces of its own, and a disk.
//!
//! ```text
//! this computer                           the machine NAME of the cluster CLUSTER
//!   netns npc-CLUSTER-NAME ─────────────── its network
//!   first process (`sleep`) ────────────── process 1; when it is killed, all that run inside are
//!   DIR/disks/NAME/ ────────────────────── /etc /opt /var/lib (over this computer's), /var/log
//!   cgroup netpol-CLUSTER/NAME ─────────── / of every cgroup hierarchy
//! ```
//! `machine_init.sh` gives it its own view. What is not named above it shares: programs, `/dev`, `/tmp`.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    panic,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, setns, unshare},
    sys::signal::Signal,
};
use serde::{Deserialize, Serialize};

use super::{
    directory::Directory,
    error::{ClusterError, Result},
    remains,
};
use crate::{
    lab::{
        Netns,
        command::{self, ip_batch},
        error::Doing,
        links::sysctl,
        sweep::kill_all_in,
    },
    process::Process,
};

/// Start of the names of all network namespaces of clusters.
pub(super) const NETNS_PREFIX: &str = "npc";
const INIT_SCRIPT: &str = include_str!("machine_init.sh");
const PATIENCE: Duration = Duration::from_secs(10);

/// Namespaces that have no name: those of the first process.
const NAMESPACES: [(&str, CloneFlags); 4] = [
    ("net", CloneFlags::CLONE_NEWNET),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

/// A machine that is up.
#[derive(Debug, Clone)]
pub struct Machine {
    name: String,
    netns: Netns,
    first: Process,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    first: Process,
}

/// The name of a machine's network namespace.
pub(super) fn netns_name(cluster: &str, machine: &str) -> String {
    format!("{NETNS_PREFIX}-{cluster}-{machine}")
}

/// The name of a cluster's cgroup in every hierarchy.
pub(super) fn cgroup_name(cluster: &str) -> String {
    format!("netpol-{cluster}")
}

fn record(name: &str) -> String {
    format!("machines/{name}.json")
}

impl Machine {
    /// Makes its network namespace, with nothing in it but a loopback, and starts its first process.
    pub(super) fn boot(directory: &Directory, cluster: &str, name: &str) -> Result<Self> {
        let netns = Netns::named(netns_name(cluster, name));
        if netns.path().exists() {
            return Err(ClusterError::Exists(cluster.to_owned()));
        }
        make_netns(&netns)?;
        let first = start_first(directory, &netns, cluster, name)?;
        directory.write(&record(name), &Record { first })?;
        Ok(Self {
            name: name.to_owned(),
            netns,
            first,
        })
    }

    /// One that is recorded as up; `None` if it is not.
    pub(super) fn find(directory: &Directory, cluster: &str, name: &str) -> Option<Self> {
        let Record { first } = directory.read(&record(name)).ok()?;
        first.is_alive().then(|| Self {
            name: name.to_owned(),
            netns: Netns::named(netns_name(cluster, name)),
            first,
        })
    }

    /// Ends it like a power cut: every process, mount, namespace and interface is gone, its disk stays.
    pub(super) fn cut_power(self, directory: &Directory, cluster: &str) -> Result<()> {
        self.first.signal(Signal::SIGKILL);
        if !self.first.wait_end(PATIENCE) {
            return Err(ClusterError::Remains {
                cluster: self.name,
                what: format!("process {}", self.first.pid),
            });
        }
        kill_all_in(&[self.netns.name().to_owned()]);
        ip_batch(None, &[format!("netns del {}", self.netns.name())])?;
        // A kubelet that finds the cgroups of containers that are no more looks for each of them, for minutes.
        remains::remove_cgroups(cluster, &self.name)?;
        directory.forget(&record(&self.name));
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace, for sockets of this process: a thread or a tokio runtime inside.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// A file of the machine, as this process finds it. Not for symbolic links with absolute targets.
    pub fn path(&self, path: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.first.pid));
        root.join(path.trim_start_matches('/'))
    }

    /// Runs a command inside to its end; a failure carries what it said.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or fails.
    pub fn exec(&self, command: &mut Command) -> Result<Output> {
        Ok(self.inside(|| command::run(command))??)
    }

    /// As [`Machine::exec`], from words; returns what was said, without the last line's end.
    ///
    /// # Errors
    ///
    /// As [`Machine::exec`]; also when there is no first word.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(words.first().copied().unwrap_or_default());
        command.args(words.get(1..).unwrap_or_default());
        let output = self.exec(&mut command)?;
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said.trim_end().to_owned())
    }

    /// Starts a command inside, which the caller waits for and ends.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        Ok(self.inside(|| command::start(command, Command::spawn))??)
    }

    /// Runs `work` on a thread inside all of the machine's namespaces; processes it starts are inside as well. The
    /// working directory is `/`.
    ///
    /// # Errors
    ///
    /// When the machine is gone.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let first = self.first;
        let visit = || -> io::Result<T> {
            let open = |(kind, flag)| {
                File::open(format!("/proc/{}/ns/{kind}", first.pid)).map(|file| (file, flag))
            };
            let namespaces: Vec<(File, CloneFlags)> = NAMESPACES
                .into_iter()
                .map(open)
                .collect::<io::Result<_>>()?;
            if !first.is_alive() {
                return Err(io::ErrorKind::NotFound.into());
            }
            // A thread that shares its working directory with others may not change its mounts.
            unshare(CloneFlags::CLONE_FS)?;
            for (namespace, flag) in namespaces {
                setns(namespace, flag)?;
            }
            Ok(work())
        };
        let outcome = thread::scope(|scope| scope.spawn(visit).join())
            .unwrap_or_else(|payload| panic::resume_unwind(payload));
        Ok(outcome.doing(|| format!("enter the machine {}", self.name))?)
    }

    pub(super) fn first(&self) -> Process {
        self.first
    }

    /// Inode of its process namespace.
    pub(super) fn pid_namespace(&self) -> Option<u64> {
        crate::process::namespace_of(self.first.pid, "pid")
    }
}

/// A network namespace that forwards and does not wait for duplicate addresses.
fn make_netns(netns: &Netns) -> Result<()> {
    ip_batch(None, &[format!("netns add {}", netns.name())])?;
    ip_batch(Some(netns.name()), &["link set lo up".to_owned()])?;
    let settings = [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/disable_ipv6", "0"),
        ("net/ipv6/conf/default/disable_ipv6", "0"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv6/conf/all/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
    ];
    Ok(sysctl(netns, &settings)?)
}

/// Starts a machine's first process and waits until it has made the machine's own view.
fn start_first(directory: &Directory, netns: &Netns, cluster: &str, name: &str) -> Result<Process> {
    let disk = directory.path("disks").join(name);
    fs::create_dir_all(&disk).doing(|| format!("create {}", disk.display()))?;
    // Its own copy: machines boot side by side, and a shell reads its script as it goes.
    let script = directory.path(&format!("{name}-init.sh"));
    fs::write(&script, INIT_SCRIPT).doing(|| format!("write {}", script.display()))?;
    let log_path = directory.log(&format!("{name}-boot"));
    let log = File::create(&log_path).doing(|| format!("create {}", log_path.display()))?;
    let mut command = Command::new("setsid");
    command
        .arg("sh")
        .arg(&script)
        .arg(&disk)
        .arg(format!("{}/{name}", cgroup_name(cluster)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    let spawn = || -> Result<Child> {
        // Of the thread alone: the first process it starts is the first of the new process namespace.
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)
            .doing(|| "make namespaces".to_owned())?;
        Ok(command::start(&mut command, Command::spawn)?)
    };
    let mut child = netns
        .inside(spawn)
        .doing(|| format!("enter {}", netns.name()))??;
    let first = Process::with_pid(child.id());
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        let _ = BufReader::new(stdout).read_line(&mut said);
    }
    match first {
        Some(first) if said.trim() == "ready" => Ok(first),
        _ => {
            let _ = child.kill();
            let _ = child.wait();
            Err(ClusterError::NotReady {
                what: format!("the machine {name} is not up"),
                within: PATIENCE,
                tail: super::tail(&log_path),
                log: log_path,
            })
        }
    }
}
