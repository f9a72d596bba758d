//! A real cluster on this computer: etcd, a real API server, controllers, scheduler, and nodes with kubelet, containerd,
//! kube-proxy and the reference CNI plugins.
//!
//! ```text
//! Cluster::up(options)
//!   machine control-plane ── etcd, kube-apiserver ─(not light)─ kube-controller-manager, kube-scheduler
//!   machine nodeN ────────── containerd, kubelet, kube-proxy, pods
//!   machine outside ──────── nothing: a host that is no part of the cluster
//! ```
//! A [`Machine`] has namespaces and a disk of its own, all are linked by one bridge, everything is dual stack. This
//! computer reaches the API server over a wire of its own, so kubectl and kube clients need no namespace: use
//! [`Cluster::kubeconfig`] as it is. Programs inside machines use [`Cluster::kubeconfig_inside`].
//!
//! What is up is found by name: any process can [`Cluster::open`] a cluster and [`Cluster::down`] it, also when the one
//! that brought it up was killed.
//!
//! ```no_run
//! # fn main() -> Result<(), netpol_e2e::cluster::ClusterError> {
//! use netpol_e2e::cluster::{Cluster, Cni, Options};
//!
//! let cluster = Cluster::up(Options { cni: Cni::Ptp, ..Options::new("example") })?;
//! cluster.kubectl().apply("...")?;
//! println!("{}", cluster.node(1)?.run(&["ip", "route"])?);
//! cluster.reboot_node(2)?;
//! Cluster::down(&cluster.options().base, "example")?;
//! # Ok(())
//! # }
//! ```

pub mod address;
mod assets;
mod cni;
mod control_plane;
mod daemon;
mod directory;
mod error;
mod images;
mod kubectl;
mod lent;
mod machine;
mod network;
mod node;
mod options;
mod pki;
mod remains;
mod status;
mod up;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use self::{
    assets::{ASSETS_VARIABLE, Assets, BUILT_VARIABLE},
    cni::{BIN_DIR as CNI_BIN_DIR, CONF_DIR as CNI_CONF_DIR, CONF_FILE as CNI_CONF_FILE},
    daemon::Daemon,
    directory::BASE_VARIABLE,
    error::{ClusterError, Result},
    images::{AGNHOST, COREDNS, PAUSE, TOOLS, write_program},
    kubectl::Kubectl,
    lent::Lent,
    machine::Machine,
    node::name as node_name,
    options::{Cni, MOST_NODES, Options, ProxyMode},
    status::{DaemonStatus, Status},
};
use self::{
    directory::{Charter, Directory},
    pki::{From, Pki, User},
};

/// How much of a log is shown when something fails.
const TAIL_LINES: usize = 25;
/// How long nodes may take to be ready after their kubelets were started.
const NODE_PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(200);

/// A cluster that is up. Dropping this does not end it: see [`Cluster::down`], and [`Lent`] for tests.
#[derive(Debug)]
pub struct Cluster {
    directory: Directory,
    charter: Charter,
    assets: Assets,
    kubectl: Kubectl,
}

impl Cluster {
    /// Brings a cluster up and waits until its nodes are ready. When that fails, nothing of it runs any more; its logs
    /// are still there.
    ///
    /// # Errors
    ///
    /// Without root, when there is one of that name, when a program is missing, or when it does not come up.
    pub fn up(options: Options) -> Result<Self> {
        up::up(options)
    }

    /// A cluster that is up, whoever brought it up.
    ///
    /// # Errors
    ///
    /// When there is none of that name.
    pub fn open(base: &Path, name: &str) -> Result<Self> {
        let directory = Directory::of(base, name);
        if !directory.exists() {
            return Err(unknown(base, name));
        }
        let charter = directory.charter()?;
        Self::new(directory, charter)
    }

    fn new(directory: Directory, charter: Charter) -> Result<Self> {
        let assets = Assets::find();
        let admin = directory.path("kubeconfigs/admin");
        let kubectl = Kubectl::new(assets.kubernetes("kubectl")?, admin);
        Ok(Self {
            directory,
            charter,
            assets,
            kubectl,
        })
    }

    /// Ends a cluster and removes every trace of it, logs included. Also one that is up by half, or whose owner was
    /// killed.
    ///
    /// # Errors
    ///
    /// When there is none of that name, or something cannot be ended.
    pub fn down(base: &Path, name: &str) -> Result<()> {
        let directory = Directory::of(base, name);
        let is_there = directory.root().exists() || !remains::namespaces(name).is_empty();
        if !is_there {
            return Err(unknown(base, name));
        }
        remains::end(&directory, name)?;
        directory.give_back()
    }

    /// Names of all clusters that have something left, up or not.
    pub fn all(base: &Path) -> Vec<String> {
        directory::names(base)
    }

    /// Ends the clusters whose owner is dead. [`Cluster::up`] does so first.
    ///
    /// # Errors
    ///
    /// When something cannot be ended.
    pub fn down_orphans(base: &Path) -> Result<()> {
        for name in directory::names(base) {
            let owner = Directory::of(base, &name).charter().ok();
            let owner = owner.and_then(|charter| charter.owner);
            if owner.is_some_and(|owner| !owner.is_alive()) {
                Self::down(base, &name)?;
            }
        }
        Ok(())
    }

    /// What was asked for.
    pub fn options(&self) -> &Options {
        &self.charter.options
    }

    /// Its directory: logs, kubeconfigs, disks.
    pub fn directory(&self) -> &Path {
        self.directory.root()
    }

    /// The log of a daemon (`kube-apiserver`, `node1-kubelet`).
    pub fn log(&self, daemon: &str) -> PathBuf {
        self.directory.log(daemon)
    }

    /// kubectl as the administrator.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The administrator's kubeconfig, for programs of this computer outside the machines.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path("kubeconfigs/admin")
    }

    /// The administrator's kubeconfig, for programs inside the machines.
    pub fn kubeconfig_inside(&self) -> PathBuf {
        self.directory.path("kubeconfigs/admin-inside")
    }

    /// Makes a user that RBAC knows by name and groups; returns its kubeconfig, for programs of this computer.
    ///
    /// # Errors
    ///
    /// When files cannot be written.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        self.issue(user, groups, From::Here)
    }

    /// As [`Cluster::kubeconfig_for`], for programs inside the machines.
    ///
    /// # Errors
    ///
    /// As [`Cluster::kubeconfig_for`].
    pub fn kubeconfig_inside_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        self.issue(user, groups, From::Inside)
    }

    fn issue(&self, name: &str, groups: &[&str], from: From) -> Result<PathBuf> {
        let place = if from == From::Here { "here" } else { "inside" };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        let plain: String = name
            .chars()
            .map(|c| if is_plain(c) { c } else { '-' })
            .collect();
        let wire = self.charter.wire;
        let wire = wire.ok_or_else(|| self.no_such("wire to this computer".to_owned()))?;
        Pki::open(&self.directory, wire)?.issue_user(&User {
            file: &format!("user-{plain}-{place}"),
            name,
            groups,
            from,
        })
    }

    /// A node, counted from 1.
    ///
    /// # Errors
    ///
    /// When there is no such node, or it is not up.
    pub fn node(&self, number: u8) -> Result<Machine> {
        self.machine(&node::name(number))
    }

    /// The machine of etcd and the API server.
    ///
    /// # Errors
    ///
    /// When it is not up.
    pub fn control_plane(&self) -> Result<Machine> {
        self.machine(control_plane::MACHINE)
    }

    /// A host beside the nodes that is no part of the cluster ([`address::OUTSIDE`]). It reaches pods by their addresses.
    ///
    /// # Errors
    ///
    /// When it is not up.
    pub fn outside(&self) -> Result<Machine> {
        self.machine(remains::OUTSIDE)
    }

    fn machine(&self, name: &str) -> Result<Machine> {
        Machine::find(&self.directory, &self.options().name, name)
            .ok_or_else(|| self.no_such(format!("machine {name} that is up")))
    }

    fn no_such(&self, what: String) -> ClusterError {
        ClusterError::NoSuch {
            cluster: self.options().name.clone(),
            what,
        }
    }

    /// Loads a docker archive on all nodes, side by side.
    ///
    /// # Errors
    ///
    /// When a node does not take it.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        let archive = archive.canonicalize().unwrap_or_else(|_| archive.into());
        std::thread::scope(|scope| {
            let load = |number| node::load_image(&self.node(number)?, &archive);
            let loads: Vec<_> = (1..=self.options().nodes)
                .map(|number| scope.spawn(move || load(number)))
                .collect();
            loads.into_iter().try_for_each(up::joined)
        })
    }

    /// Ends the API server.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn stop_api_server(&self) -> Result<()> {
        self.stop_daemon(control_plane::API_SERVER)
    }

    /// Starts the API server again and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not get ready.
    pub fn start_api_server(&self) -> Result<()> {
        self.start_daemon(control_plane::API_SERVER)?;
        control_plane::wait_ready(&self.directory, &self.kubectl)
    }

    /// Ends kube-proxy on a node. Its rules stay.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn stop_proxy(&self, node: u8) -> Result<()> {
        self.stop_daemon(&node::daemon_name(node, node::PROXY))
    }

    /// Starts kube-proxy on a node again.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start_proxy(&self, node: u8) -> Result<()> {
        self.start_daemon(&node::daemon_name(node, node::PROXY))
    }

    /// Ends the kubelet of a node. Its pods go on.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn stop_kubelet(&self, node: u8) -> Result<()> {
        self.stop_daemon(&node::daemon_name(node, node::KUBELET))
    }

    /// Starts the kubelet of a node again.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start_kubelet(&self, node: u8) -> Result<()> {
        self.start_daemon(&node::daemon_name(node, node::KUBELET))
    }

    /// Ends any daemon by its name, as [`Status`] shows it.
    ///
    /// # Errors
    ///
    /// When there is none, or it does not end.
    pub fn stop_daemon(&self, name: &str) -> Result<()> {
        self.daemon(name)?.stop(&self.directory)
    }

    /// Starts any daemon again, and does not wait.
    ///
    /// # Errors
    ///
    /// When there is none, or it does not start.
    pub fn start_daemon(&self, name: &str) -> Result<()> {
        let mut daemon = self.daemon(name)?;
        let machine = self.machine(&daemon.machine)?;
        daemon.start(&self.directory, &machine)
    }

    fn daemon(&self, name: &str) -> Result<Daemon> {
        Daemon::find(&self.directory, name).ok_or_else(|| self.no_such(format!("daemon {name}")))
    }

    /// Cuts a node's power and boots it again: processes, namespaces, interfaces, pins and everything in `/run` are gone;
    /// its disk, with images, CNI configuration and the kubelet's state, is as it was. Returns once containerd and the
    /// kubelet run; see [`Cluster::wait_nodes`].
    ///
    /// # Errors
    ///
    /// When it does not come up again.
    pub fn reboot_node(&self, number: u8) -> Result<()> {
        self.power_off_node(number)?;
        self.power_on_node(number)
    }

    /// The first half of [`Cluster::reboot_node`].
    ///
    /// # Errors
    ///
    /// When there is no such node, or it does not end.
    pub fn power_off_node(&self, number: u8) -> Result<()> {
        self.node(number)?
            .cut_power(&self.directory, &self.options().name)
    }

    /// The second half of [`Cluster::reboot_node`].
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn power_on_node(&self, number: u8) -> Result<()> {
        let (directory, options) = (&self.directory, self.options());
        let control_plane = self.control_plane()?;
        let machine = node::boot(directory, &control_plane, &self.assets, options, number)?;
        node::join(directory, &machine, &self.assets, options, number)
    }

    /// Waits until all nodes are ready, as the API server says.
    ///
    /// # Errors
    ///
    /// When that takes too long.
    pub fn wait_nodes(&self) -> Result<()> {
        const READY: &str =
            r#"{range .items[*].status.conditions[?(@.type=="Ready")]}{.status}{"\n"}{end}"#;
        let path = format!("jsonpath={READY}");
        let deadline = Instant::now() + NODE_PATIENCE;
        loop {
            let said = self.kubectl.run(&["get", "nodes", "-o", &path]);
            let said = said.unwrap_or_default();
            let ready = said.lines().filter(|line| *line == "True").count();
            if ready == usize::from(self.options().nodes) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let name = node::daemon_name(1, node::KUBELET);
                let what = format!("{ready} of {} nodes are ready", self.options().nodes);
                return Err(ClusterError::NotReady {
                    what,
                    within: NODE_PATIENCE,
                    tail: tail(&self.log(&name)),
                    log: self.log(&name),
                });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// What runs and what does not.
    pub fn status(&self) -> Status {
        status::of(self)
    }
}

fn unknown(base: &Path, name: &str) -> ClusterError {
    let known = directory::names(base);
    ClusterError::Unknown {
        name: name.to_owned(),
        known: if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        },
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
