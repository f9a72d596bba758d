//! A lab: one node, its pods, hosts outside, all as network namespaces of this machine.
//!
//! ```text
//! Lab::new(link) --- netns NODE (forwards; the agent runs here) --- veth --- netns of each pod
//!        |                     '------------------------------------ veth --- netns `outside`
//!        |
//!        +-- /run/netpol-lab-ID/  bpffs (a mount of its own), manifests/, agent.sock, agent.log
//!        '-- servers: one thread; sockets made inside the namespaces, served from here
//! ```
//! Names carry their owner, and nothing stays behind: see [`LabId`] and the module `sweep`.
//!
//! ```no_run
//! # fn main() -> Result<(), netpol_e2e::lab::LabError> {
//! use netpol_e2e::lab::{Lab, Link, PodSpec, QUICK, Traffic};
//!
//! let mut lab = Lab::new(Link::PointToPoint)?;
//! lab.add_pod(PodSpec::new("shop/db").label("app", "db"))?;
//! lab.add_pod(PodSpec::new("shop/web").label("app", "web"))?;
//! lab.pod("shop/db").serve_tcp(5432)?;
//! let mut agent = lab.start_agent()?;
//! lab.manifests().write("policies.yaml", "...")?;
//! agent.wait_ready()?;
//! let db = lab.pod("shop/db").addresses().v4.into();
//! println!("{}", lab.pod("shop/web").ask(db, Traffic::tcp(5432), QUICK));
//! # Ok(())
//! # }
//! ```

mod address;
mod agent;
mod binaries;
mod bystander;
pub mod cni;
pub(crate) mod command;
mod connection;
mod ctl;
pub(crate) mod error;
mod host;
mod id;
pub(crate) mod links;
mod manifests;
mod members;
pub(crate) mod netns;
mod offload;
mod outcome;
mod ping;
mod pod;
mod probe;
mod prober;
mod rights;
pub(crate) mod servers;
pub(crate) mod sweep;
mod traffic;
mod wiretap;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    unistd::geteuid,
};
use serde_json::json;

pub use self::{
    address::{Addresses, Family},
    agent::Agent,
    binaries::{AGENT_VARIABLE, Binaries, CNI_VARIABLE, CTL_VARIABLE, workspace},
    bystander::{Bystander, HookSide, pin_foreign_program, tcx_programs},
    connection::Connection,
    ctl::Ctl,
    error::{LabError, Result},
    host::Host,
    id::LabId,
    links::Link,
    manifests::Manifests,
    netns::Netns,
    outcome::{Answer, Outcome, PATIENT, QUICK},
    pod::{PodKey, PodSpec},
    probe::{Asked, Probe, ask_all},
    prober::{Missed, Prober, Tally},
    rights::Rights,
    servers::Arrival,
    traffic::{Protocol, Traffic, TrafficError},
    wiretap::{Seen, Wiretap, tcp_data_packet, udp_packet},
};
use self::{
    address::{NODE, POD_CIDRS},
    agent::Paths,
    error::Doing,
    servers::Servers,
};

/// The name of a lab's node, in its manifests and for its agent.
pub const NODE_NAME: &str = "node-1";
/// The name of the host outside that every lab has.
pub const OUTSIDE: &str = "outside";

/// Whether this process may build labs.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// For tests: whether they must do without, said in a line of its own that no test harness
/// swallows.
pub fn skipped_without_root(test: &str) -> bool {
    if !is_root() {
        skip(test, "a lab needs root: run the tests with sudo");
    }
    !is_root()
}

/// Says that a test was not run, and why.
pub fn skip(test: &str, why: &str) {
    // Not `eprintln`, which the harness of a passing test keeps to itself; and on a line of its
    // own, though the harness may have begun one.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {test}: {why}");
}

/// One lab. Everything it made is removed when it is dropped.
#[derive(Debug)]
pub struct Lab {
    id: LabId,
    link: Link,
    dir: PathBuf,
    manifests: Manifests,
    node: Host,
    hosts: BTreeMap<String, Host>,
    pods: BTreeMap<String, PodSpec>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    next: Next,
    servers: Servers,
    /// Last, so that it goes last.
    _remains: Remains,
}

/// Numbers not given away yet.
#[derive(Debug)]
struct Next {
    pod: u8,
    remote_pod: u8,
    uplink: u8,
    interface: u16,
}

/// Removes what a lab made, also when it could not be made whole.
#[derive(Debug)]
struct Remains(LabId);

impl Drop for Remains {
    fn drop(&mut self) {
        sweep::sweep_lab(self.0);
    }
}

impl Lab {
    /// A node with one host outside and no pods.
    ///
    /// # Errors
    ///
    /// Without root, or when the system refuses a namespace or a mount.
    pub fn new(link: Link) -> Result<Self> {
        if !is_root() {
            return Err(LabError::NotRoot);
        }
        sweep::arm()?;
        let id = LabId::fresh();
        let remains = Remains(id);
        let dir = make_dir(id)?;
        let netns = Netns::named(id.netns("node"));
        links::make_node(&netns, link)?;
        let servers = Servers::start().doing(|| "start the servers".to_owned())?;
        let mut lab = Self {
            id,
            link,
            manifests: Manifests::create(&dir)?,
            dir,
            node: Host {
                name: "node".to_owned(),
                netns,
                addresses: NODE,
                interface: String::new(),
                desk: servers.desk(),
            },
            hosts: BTreeMap::new(),
            pods: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            next: Next {
                pod: 2,
                remote_pod: 2,
                uplink: 0,
                interface: 1,
            },
            servers,
            _remains: remains,
        };
        lab.announce_node()?;
        lab.add_outside(OUTSIDE)?;
        Ok(lab)
    }

    /// Its id, the start of the names of all it made.
    pub fn id(&self) -> LabId {
        self.id
    }

    /// How its pods are linked.
    pub fn link(&self) -> Link {
        self.link
    }

    /// The directory its agent watches.
    pub fn manifests(&self) -> &Manifests {
        &self.manifests
    }

    /// The mount for pins, of this lab alone.
    pub fn bpffs(&self) -> PathBuf {
        self.dir.join("bpffs")
    }

    /// The node.
    pub fn node(&self) -> &Host {
        &self.node
    }

    /// A pod, as `namespace/name`.
    ///
    /// # Panics
    ///
    /// When there is none: [`Lab::host`] answers with an error instead.
    pub fn pod(&self, key: &str) -> Host {
        self.host(key).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The host outside that every lab has.
    ///
    /// # Panics
    ///
    /// Never: it cannot be removed.
    pub fn outside(&self) -> Host {
        self.pod(OUTSIDE)
    }

    /// Any host but the node.
    ///
    /// # Errors
    ///
    /// When there is none; the error lists those there are.
    pub fn host(&self, name: &str) -> Result<Host> {
        let host = self.hosts.get(name).cloned();
        host.ok_or_else(|| LabError::UnknownHost {
            name: name.to_owned(),
            known: self.hosts.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// All hosts but the node, by name.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// An agent for this node, not yet running.
    ///
    /// # Errors
    ///
    /// When there are no binaries and they cannot be built.
    pub fn agent(&self) -> Result<Agent> {
        let binaries = Binaries::find()?;
        let paths = Paths {
            program: binaries.agent.clone(),
            manifests: self.manifests.dir().to_owned(),
            bpffs: self.bpffs(),
            socket: self.dir.join("agent.sock"),
            log: self.dir.join("agent.log"),
        };
        let ctl = Ctl::new(&binaries.ctl, &paths.socket);
        Ok(Agent::new(NODE_NAME, &self.node.netns, paths, ctl))
    }

    /// An agent for this node that enforces what is on disk.
    ///
    /// # Errors
    ///
    /// As [`Lab::agent`] and [`Agent::start`].
    pub fn start_agent(&self) -> Result<Agent> {
        let mut agent = self.agent()?;
        agent.start()?;
        Ok(agent)
    }

    fn announce_node(&self) -> Result<()> {
        let object = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": NODE_NAME},
            "spec": {"podCIDR": POD_CIDRS[0], "podCIDRs": POD_CIDRS},
            "status": {"addresses": [
                {"type": "InternalIP", "address": NODE.v4},
                {"type": "InternalIP", "address": NODE.v6},
                {"type": "Hostname", "address": NODE_NAME},
            ]},
        });
        self.manifests.write_object("node.json", &object)
    }
}

/// Makes a lab's directory, with a mount for pins in it.
fn make_dir(id: LabId) -> Result<PathBuf> {
    let _guard = sweep::building();
    let dir = sweep::lab_dir(id);
    let bpffs = dir.join("bpffs");
    fs::create_dir_all(&bpffs).doing(|| format!("create {}", bpffs.display()))?;
    mount(
        Some("bpffs"),
        &bpffs,
        Some("bpf"),
        MsFlags::empty(),
        None::<&Path>,
    )
    .doing(|| format!("mount bpffs at {}", bpffs.display()))?;
    Ok(dir)
}
