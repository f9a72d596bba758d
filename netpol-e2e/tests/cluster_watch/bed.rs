//! An API server, and an agent beside it with one local pod.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use netpol_api::{Call, Endpoint, Reply, Request, Status};
use netpol_e2e::{
    cluster::{Assets, Lent, Options, Result},
    lab::{Binaries, is_root, skip},
};

/// The node that the agent is told it runs on.
pub(crate) const NODE: &str = "node-a";
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn skipped(test: &str) -> bool {
    if !is_root() {
        skip(test, "a cluster needs root: run the tests with sudo");
        return true;
    }
    if let Err(error) = Assets::find().kubernetes("kube-apiserver") {
        skip(test, &error.to_string());
        return true;
    }
    false
}

pub(crate) struct Bed {
    pub(crate) cluster: Lent,
}

impl Bed {
    pub(crate) fn up(name: &str) -> Result<Self> {
        let bed = Self {
            cluster: Lent::up(Options::light(name))?,
        };
        bed.apply(&format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: {NODE}}}}}\n---\n\
             {{apiVersion: v1, kind: Namespace, metadata: {{name: shop}}}}\n"
        ))?;
        Ok(bed)
    }

    pub(crate) fn apply(&self, manifest: &str) -> Result<()> {
        self.cluster.kubectl().apply(manifest)
    }

    /// A running pod.
    pub(crate) fn pod(&self, name: &str, node: &str, address: &str) -> Result<()> {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, \
             labels: {{app: {name}}}}}, spec: {{nodeName: {node}, \
             containers: [{{name: c, image: c}}]}}}}"
        ))?;
        let status = format!(
            r#"{{"status":{{"phase":"Running","podIPs":[{{"ip":"{address}"}}],"podIP":"{address}"}}}}"#
        );
        self.cluster.kubectl().run(&[
            "patch",
            "pod",
            "-n",
            "shop",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ])?;
        Ok(())
    }

    /// What a CNI plugin leaves: an interface, and the route that leads to the pod.
    pub(crate) fn interface(&self, name: &str, address: &str) -> Result<()> {
        let machine = self.cluster.control_plane()?;
        let peer = format!("{name}p");
        machine.run(&[
            "ip", "link", "add", name, "type", "veth", "peer", "name", &peer,
        ])?;
        // An interface of which both ends are here leads to no pod.
        machine.run(&["ip", "netns", "add", &peer])?;
        machine.run(&["ip", "link", "set", &peer, "netns", &peer])?;
        machine.run(&["ip", "-n", &peer, "link", "set", &peer, "up"])?;
        machine.run(&["ip", "link", "set", name, "up"])?;
        machine.run(&["ip", "route", "add", &format!("{address}/32"), "dev", name])?;
        Ok(())
    }

    /// An agent, as the user of a kubeconfig for programs inside. Agents of other names are other agents.
    pub(crate) fn agent(&self, name: &str, node: &str, kubeconfig: &Path) -> Result<Agent> {
        self.agent_with(name, node, kubeconfig, |_| {})
    }

    /// The same, of a command that is changed before it runs.
    pub(crate) fn agent_with(
        &self,
        name: &str,
        node: &str,
        kubeconfig: &Path,
        more: impl FnOnce(&mut Command),
    ) -> Result<Agent> {
        let directory = self.cluster.directory();
        let mut agent = Agent {
            socket: directory.join(format!("{name}.sock")),
            log: directory.join(format!("logs/{name}.log")),
            child: None,
        };
        let log = std::fs::File::create(&agent.log).expect("a log");
        let mut command = Command::new(&Binaries::find()?.agent);
        command
            .args(["run", "--node", node, "--kubeconfig"])
            .arg(kubeconfig)
            .args(["--bpffs", &format!("/sys/fs/bpf/{name}"), "--socket"])
            .arg(&agent.socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        more(&mut command);
        agent.child = Some(self.cluster.control_plane()?.spawn(&mut command)?);
        Ok(agent)
    }
}

pub(crate) struct Agent {
    socket: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Agent {
    pub(crate) fn status(&self) -> Option<Status> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        let request = serde_json::to_string(&Request::new(Call::Status)).expect("JSON");
        writeln!(stream, "{request}").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        match serde_json::from_str(&line).ok()? {
            Reply::Status(status) => Some(*status),
            _ => None,
        }
    }

    /// The first status of which `holds` is true.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if let Some(status) = status.as_ref().filter(|status| holds(status)) {
                return status.clone();
            }
            assert!(
                Instant::now() < deadline,
                "{what}: {status:#?}\n{}",
                self.said()
            );
            sleep(LOOK);
        }
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("runs").id()
    }

    /// Waits for its end; gives the exit code.
    pub(crate) fn ends(&mut self, within: Duration) -> Option<i32> {
        let deadline = Instant::now() + within;
        let child = self.child.as_mut().expect("runs");
        loop {
            if let Some(status) = child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still runs: {}", self.said());
            sleep(LOOK);
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn endpoint(status: &Status) -> Option<&Endpoint> {
    status.endpoints.iter().find(|e| e.pod.name == "db")
}

pub(crate) fn is_isolated(status: &Status) -> bool {
    let enforced = netpol_api::EndpointState::Enforced;
    endpoint(status).is_some_and(|e| e.ingress.isolated && e.state == enforced)
}
