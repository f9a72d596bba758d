//! The test bed: a real cluster with netpol on it, as a user installs it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{agents::NAMESPACE, objects::NEWBORN_IMAGE, prerequisites::Prerequisites};
use crate::{
    cluster::{Cluster, Lent, Machine, Options, address, node_name, write_program},
    install,
    lab::{
        Addresses, Host,
        servers::{Desk, Servers},
    },
};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What is left out, to see trials fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Without {
    /// netpol: nobody enforces anything
    Netpol,
    /// The CNI plugin: new pods do not wait for the agent
    Plugin,
    /// Pins: what a killed agent leaves in the kernel goes with it
    Pins,
    /// The wait for a change to be in force: answers are judged at once
    Wait,
}

/// A cluster with netpol.
pub struct Bed {
    cluster: Lent,
    pub(super) desk: Arc<Desk>,
    /// After the cluster's hosts, which use it.
    _servers: Servers,
    pub(super) parts: Prerequisites,
    /// netpol's image as the DaemonSet has it; empty without netpol.
    pub(super) image: String,
    pub(super) without: Option<Without>,
}

impl Bed {
    /// Brings the cluster up and installs netpol as the README says: the image made known to the
    /// nodes, `kubectl apply -k deploy`.
    ///
    /// # Errors
    ///
    /// When the cluster or netpol does not come up.
    pub fn up(
        name: &str,
        parts: Prerequisites,
        without: Option<Without>,
        progress: &dyn Fn(&str),
    ) -> Result<Self> {
        progress("starting a cluster of two nodes");
        let cluster = Lent::up(Options::new(name))?;
        let servers = Servers::start().context("start the servers of the test")?;
        let mut bed = Self {
            cluster,
            desk: servers.desk(),
            _servers: servers,
            parts,
            image: String::new(),
            without,
        };
        let newborn = bed.cluster.directory().join("newborn.tar");
        write_program(&newborn, NEWBORN_IMAGE, &bed.parts.newborn)?;
        bed.cluster.load_image(&newborn)?;
        if without != Some(Without::Netpol) {
            progress("installing netpol");
            bed.cluster.load_image(&bed.parts.image)?;
            bed.install()?;
        }
        Ok(bed)
    }

    /// `kubectl apply -k deploy`, and until every agent is ready.
    pub fn install(&mut self) -> Result<()> {
        let deploy = install::manifests();
        if self.without == Some(Without::Plugin) {
            let manifests = without_plugin(&self.kubectl(&["kustomize", &deploy])?)?;
            self.cluster.kubectl().apply(&manifests)?;
        } else {
            self.kubectl(&["apply", "-k", &deploy])?;
        }
        let path = "jsonpath={.spec.template.spec.containers[?(@.name==\"agent\")].image}";
        self.image = self.kubectl(&["get", "daemonset", "netpol", "-n", NAMESPACE, "-o", path])?;
        self.rolled_out()
    }

    /// The cluster itself.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The programs under test.
    pub fn parts(&self) -> &Prerequisites {
        &self.parts
    }

    /// Whether netpol is there.
    pub(super) fn has_netpol(&self) -> bool {
        !self.image.is_empty()
    }

    /// kubectl as the administrator; what it said.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        Ok(self.cluster.kubectl().run(words)?)
    }

    /// `kubectl apply` of objects.
    pub fn apply(&self, objects: &[Value]) -> Result<()> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        Ok(self.cluster.kubectl().apply(&list.to_string())?)
    }

    /// Names of the nodes.
    pub fn nodes(&self) -> Vec<String> {
        (1..=self.cluster.options().nodes).map(node_name).collect()
    }

    /// A node.
    pub fn node(&self, name: &str) -> Result<Machine> {
        Ok(self.cluster.node(self.number(name)?)?)
    }

    fn number(&self, name: &str) -> Result<u8> {
        let mut numbers = 1..=self.cluster.options().nodes;
        let number = numbers.find(|it| node_name(*it) == name);
        number.with_context(|| format!("no node `{name}`"))
    }

    /// The host outside of the cluster, with routes to its pods.
    pub fn outside(&self) -> Result<Host> {
        let machine = self.cluster.outside()?;
        Ok(self.machine_host("outside", &machine, address::OUTSIDE))
    }

    /// A node as a host, with its own addresses.
    pub fn node_host(&self, name: &str) -> Result<Host> {
        let addresses = address::node(self.number(name)?);
        Ok(self.machine_host(name, &self.node(name)?, addresses))
    }

    fn machine_host(&self, name: &str, machine: &Machine, addresses: Addresses) -> Host {
        Host {
            name: name.to_owned(),
            netns: machine.netns().clone(),
            addresses,
            interface: String::new(),
            desk: Arc::clone(&self.desk),
        }
    }

    /// Ends a host's servers.
    pub fn close(&self, host: &Host) {
        self.desk.close_host(host.name());
    }

    /// Waits until every pod of a namespace is ready.
    pub fn ready(&self, namespace: &str) -> Result<()> {
        self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            "pod",
            "--all",
            "-n",
            namespace,
            "--timeout=120s",
        ])?;
        Ok(())
    }

    /// What there is to see when something went wrong: pods that are not well, the last warnings, the agents' last
    /// words.
    pub fn scene(&self) -> String {
        let mut said = String::new();
        let mut add = |title: &str, text: String, last: usize| {
            let lines: Vec<&str> = text.lines().collect();
            let shown = lines[lines.len().saturating_sub(last)..].join("\n    | ");
            said.push_str(&format!("    {title}:\n    | {shown}\n"));
        };
        let run = |words: &[&str]| {
            self.kubectl(words)
                .unwrap_or_else(|error| format!("{error:#}"))
        };
        let pods = run(&["get", "pods", "-A", "-o", "wide", "--no-headers"]);
        let unwell = pods
            .lines()
            .filter(|line| !line.contains("1/1") && !line.contains("Completed"));
        add(
            "pods that are not well",
            unwell.collect::<Vec<_>>().join("\n"),
            20,
        );
        let warnings = [
            "--field-selector=type=Warning",
            "--sort-by=.lastTimestamp",
            "--no-headers",
        ];
        add(
            "warnings",
            run(&[&["get", "events", "-A"], &warnings[..]].concat()),
            15,
        );
        if self.has_netpol() {
            let logs = [
                "logs",
                "-n",
                NAMESPACE,
                "daemonset/netpol",
                "--all-pods",
                "--prefix",
                "--tail=12",
            ];
            add("agents", run(&logs), 24);
        }
        said
    }

    /// Removes namespaces and waits until they are gone.
    pub fn remove(&self, namespaces: &[&str]) -> Result<()> {
        let words = [
            "delete",
            "namespace",
            "--ignore-not-found",
            "--timeout=120s",
        ];
        self.kubectl(&[&words[..], namespaces].concat())?;
        Ok(())
    }
}

/// The manifests without the arguments that have the agent install its CNI plugin.
fn without_plugin(manifests: &str) -> Result<String> {
    let is_of_plugin = |line: &&str| line.trim_start().starts_with("- --cni-");
    if !manifests.lines().any(|line| is_of_plugin(&line)) {
        bail!("the DaemonSet has no argument --cni-...: there is no plugin to leave out");
    }
    let kept = manifests.lines().filter(|line| !is_of_plugin(line));
    Ok(kept.collect::<Vec<_>>().join("\n"))
}

/// Looks again and again until there is something.
pub fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("{what}: not within {} s", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Both addresses of a host, with a port.
pub fn at(host: &Host, port: u16) -> [SocketAddr; 2] {
    host.addresses().both().map(|it| SocketAddr::new(it, port))
}
