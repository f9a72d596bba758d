//! What of a cluster runs and what does not.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use super::{Cluster, Machine, daemon::Daemon, remains};

/// A cluster's state.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// How pods are linked.
    pub cni: String,
    /// How Services are made.
    pub proxy: String,
    /// Whether it is etcd and the API server alone.
    pub light: bool,
    /// Whether there is DNS for Services.
    pub dns: bool,
    /// Its directory.
    pub directory: PathBuf,
    /// For programs of this computer.
    pub kubeconfig: PathBuf,
    /// Names of the machines that are up.
    pub machines: Vec<String>,
    /// Names of the machines that should be.
    pub machines_down: Vec<String>,
    /// All daemons.
    pub daemons: Vec<DaemonStatus>,
}

/// One daemon's state.
#[derive(Debug, Clone, Serialize)]
pub struct DaemonStatus {
    /// Its name.
    pub name: String,
    /// Its machine.
    pub machine: String,
    /// Its process, if it runs.
    pub pid: Option<u32>,
    /// It was stopped on purpose.
    pub stopped: bool,
    /// Its log.
    pub log: PathBuf,
}

impl Status {
    /// Whether everything that should run does.
    pub fn is_whole(&self) -> bool {
        let runs = |daemon: &DaemonStatus| daemon.pid.is_some() || daemon.stopped;
        self.machines_down.is_empty() && !self.daemons.is_empty() && self.daemons.iter().all(runs)
    }

    /// The ends of the logs of daemons that ended by themselves, on standard error.
    pub(super) fn show_troubled_logs(&self) {
        for daemon in &self.daemons {
            if daemon.pid.is_none() && !daemon.stopped {
                let tail = super::tail(&daemon.log);
                eprintln!("--- {} ended; the end of its log\n{tail}\n---", daemon.name);
            }
        }
    }
}

pub(super) fn of(cluster: &Cluster) -> Status {
    let directory = &cluster.directory;
    let options = cluster.options();
    let is_up = |name: &String| Machine::find(directory, &options.name, name).is_some();
    let mut wanted = vec![super::control_plane::MACHINE.to_owned()];
    if !options.light {
        wanted.push(remains::OUTSIDE.to_owned());
        wanted.extend((1..=options.nodes).map(super::node::name));
    }
    let (machines, machines_down) = wanted.into_iter().partition(is_up);
    let daemons = directory
        .records("daemons")
        .iter()
        .filter_map(|name| Daemon::find(directory, name))
        .map(|daemon| DaemonStatus {
            pid: daemon
                .process
                .filter(|process| process.is_alive())
                .map(|process| process.pid),
            stopped: daemon.process.is_none(),
            log: daemon.log(directory),
            name: daemon.name,
            machine: daemon.machine,
        })
        .collect();
    Status {
        name: options.name.clone(),
        cni: options.cni.to_string(),
        proxy: options.proxy.to_string(),
        light: options.light,
        dns: options.dns,
        directory: directory.root().to_owned(),
        kubeconfig: cluster.kubeconfig(),
        machines,
        machines_down,
        daemons,
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.light {
            writeln!(f, "cluster {}: etcd and the API server alone", self.name)?;
        } else {
            writeln!(
                f,
                "cluster {}: {} nodes, CNI {}, kube-proxy with {}, {}",
                self.name,
                self.machines.len().saturating_sub(2),
                self.cni,
                self.proxy,
                if self.dns {
                    "DNS"
                } else {
                    "no DNS (CoreDNS is not built)"
                }
            )?;
        }
        for machine in &self.machines_down {
            writeln!(f, "  machine {machine} is down")?;
        }
        for daemon in &self.daemons {
            let state = match (daemon.pid, daemon.stopped) {
                (Some(pid), _) => format!("runs, process {pid}"),
                (None, true) => "stopped".to_owned(),
                (None, false) => format!("ENDED, see {}", daemon.log.display()),
            };
            writeln!(f, "  {:<26} {state}", daemon.name)?;
        }
        writeln!(f, "  logs in {}", self.directory.join("logs").display())
    }
}
