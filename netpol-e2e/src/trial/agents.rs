//! netpol's agents: where they are, asking them, ending them.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::core::v1::Pod;
use netpol_api::{Status, WatchState};
use nix::sys::signal::Signal;

use super::{
    bed::{Bed, Without},
    pods::PodFacts,
};
use crate::{
    install,
    process::{Process, namespace_of, pids},
};

/// Where netpol is installed.
pub(crate) const NAMESPACE: &str = "netpol-system";
const LABEL: (&str, &str) = ("app.kubernetes.io/name", "netpol");
/// Where it leaves programs and maps.
const PINS: &str = "/sys/fs/bpf/netpol";
/// The agent's name among a node's processes.
const PROCESS: &str = "netpol-agent";

impl Bed {
    /// The agent of each node.
    pub(crate) fn agents(&self) -> Result<BTreeMap<String, Pod>> {
        let pods = self.pods(Some(NAMESPACE))?.into_iter();
        let agents = pods.filter(|pod| pod.label(LABEL.0) == Some(LABEL.1) && !pod.is_over());
        Ok(agents.map(|pod| (pod.node().to_owned(), pod)).collect())
    }

    /// netpolctl beside a node's agent; what it said.
    pub(crate) fn netpolctl(&self, node: &str, words: &[&str]) -> Result<String> {
        let agents = self.agents()?;
        let agent = agents
            .get(node)
            .with_context(|| format!("no agent on {node}"))?;
        let name = agent.metadata.name.as_deref().unwrap_or_default();
        let exec = [
            "exec",
            "-n",
            NAMESPACE,
            name,
            "-c",
            "agent",
            "--",
            "/netpolctl",
        ];
        self.kubectl(&[&exec[..], words].concat())
    }

    /// Waits until what the API server has now is in force on every node; how long that took.
    pub(crate) fn enforced(&self) -> Result<Duration> {
        let started = Instant::now();
        if !self.has_netpol() || self.without == Some(Without::Wait) {
            return Ok(Duration::ZERO);
        }
        let nodes = self.nodes();
        let waits = thread::scope(|scope| {
            let one = |node: &String| self.netpolctl(node, &["wait", "--timeout", "60s"]);
            let threads: Vec<_> = nodes
                .iter()
                .map(|node| scope.spawn(move || one(node)))
                .collect();
            let join = |it: thread::ScopedJoinHandle<'_, Result<String>>| {
                it.join()
                    .unwrap_or_else(|_| Err(anyhow!("a wait panicked")))
            };
            threads.into_iter().map(join).collect::<Result<Vec<_>>>()
        });
        waits.context("wait until it is in force")?;
        Ok(started.elapsed())
    }

    /// Since when all changes arrive from the API server at every agent, in seconds of Unix time;
    /// none while they do not.
    pub(crate) fn following_since(&self) -> Result<Option<u64>> {
        let mut since = 0;
        for node in self.nodes() {
            let status: Status =
                serde_json::from_str(&self.netpolctl(&node, &["status", "-o", "json"])?)
                    .context("an agent's status")?;
            let server = status.api_server.context("agents follow an API server")?;
            for watch in server.watches {
                if watch.state != WatchState::Watching {
                    return Ok(None);
                }
                since = since.max(watch.since);
            }
        }
        Ok(Some(since))
    }

    /// Waits until the DaemonSet has what it was told on every node, ready.
    pub(crate) fn rolled_out(&self) -> Result<()> {
        if !self.has_netpol() {
            return Ok(());
        }
        install::rolled_out(self.cluster())
    }

    /// Kills a node's agent (SIGKILL) and its pod, so that the next one comes without a back-off.
    pub(crate) fn kill_agent(&self, node: &str) -> Result<()> {
        let agents = self.agents()?;
        if let Some(process) = self.agent_process(node)? {
            process.signal(Signal::SIGKILL);
        }
        if self.without == Some(Without::Pins) {
            self.node(node)?.run(&["rm", "-rf", PINS])?;
        }
        if let Some(agent) = agents.get(node) {
            let name = agent.metadata.name.as_deref().unwrap_or_default();
            let words = ["delete", "pod", "-n", NAMESPACE, name];
            let now = ["--grace-period=0", "--force", "--wait=false"];
            self.kubectl(&[&words[..], &now].concat())?;
        }
        Ok(())
    }

    /// The process of a node's agent.
    pub(crate) fn agent_process(&self, node: &str) -> Result<Option<Process>> {
        let node = self.node(node)?;
        let own = std::fs::metadata(node.netns().path()).context("look at the node")?;
        let inode = std::os::unix::fs::MetadataExt::ino(&own);
        let mut agents = pids().filter(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim() == PROCESS)
                && namespace_of(*pid, "net") == Some(inode)
        });
        Ok(agents.next().and_then(Process::with_pid))
    }

    /// Has the DaemonSet run another image, and waits until it does everywhere.
    pub(crate) fn roll(&self, image: &str) -> Result<()> {
        let set = format!("agent={image}");
        self.kubectl(&["set", "image", "daemonset/netpol", "-n", NAMESPACE, &set])?;
        self.rolled_out()?;
        Ok(())
    }

    /// Gives netpol's image a second name on every node: another version as far as Kubernetes
    /// knows.
    pub(crate) fn retag(&self, tag: &str) -> Result<String> {
        let (repository, _) = self.image.rsplit_once(':').context("an image with a tag")?;
        let name = format!("{repository}:{tag}");
        for node in self.nodes() {
            let words = [
                "ctr",
                "-n",
                "k8s.io",
                "images",
                "tag",
                "--force",
                &self.image,
                &name,
            ];
            self.node(&node)?.run(&words)?;
        }
        Ok(name)
    }
}
