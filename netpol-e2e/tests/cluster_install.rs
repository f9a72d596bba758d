//! The manifests of `deploy/` on a real cluster: installed as a user does it, and removed again.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use netpol_e2e::{
    cluster::{AGNHOST, Lent, Options},
    install::{image_or_skip, install, manifests, rolled_out},
};

/// How long a removal, or a rollout that is watched, may take on a busy computer.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(300);

const NAMESPACE: &str = "netpol-system";

/// A server that one of two clients may reach. They are on both nodes, and there before netpol is.
const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: shop, labels: {app: server}}
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "AGNHOST", args: [netexec, --http-port=80]}]
---
apiVersion: v1
kind: Pod
metadata: {name: friend, namespace: shop, labels: {app: friend}}
spec:
  nodeName: node2
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "AGNHOST", args: [pause]}]
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: shop, labels: {app: stranger}}
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "AGNHOST", args: [pause]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends, namespace: shop}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}]}]
"#;

/// A cluster with the image and the shop.
struct Stage {
    cluster: Lent,
    server: String,
}

impl Stage {
    fn set(name: &str, image: &Path) -> Result<Self> {
        let cluster = Lent::up(Options::new(name))?;
        cluster.load_image(image)?;
        cluster.kubectl().apply(&SHOP.replace("AGNHOST", AGNHOST))?;
        let mut stage = Self {
            cluster,
            server: String::new(),
        };
        stage.kubectl(&[
            "-n",
            "shop",
            "wait",
            "--for=condition=Ready",
            "pods",
            "--all",
            "--timeout=120s",
        ])?;
        let path = "jsonpath={.status.podIP}:80";
        stage.server = stage.kubectl(&["-n", "shop", "get", "pod", "server", "-o", path])?;
        Ok(stage)
    }

    fn kubectl(&self, words: &[&str]) -> Result<String> {
        Ok(self.cluster.kubectl().run(words)?)
    }

    /// kubectl in netpol's namespace.
    fn ours(&self, words: &[&str]) -> Result<String> {
        self.kubectl(&[&["-n", NAMESPACE], words].concat())
    }

    fn install(&self) -> Result<()> {
        install(&self.cluster)
    }

    fn reaches(&self, client: &str) -> bool {
        let words = [
            "-n",
            "shop",
            "exec",
            client,
            "--",
            "/agnhost",
            "connect",
            &self.server,
            "--timeout=2s",
        ];
        self.kubectl(&words).is_ok()
    }

    /// Who may comes through, who may not does not.
    fn assert_enforced(&self, when: &str) {
        assert!(
            !self.reaches("stranger"),
            "{when}: the stranger is kept out"
        );
        assert!(self.reaches("friend"), "{when}: the friend is let in");
    }

    fn assert_open(&self, when: &str) {
        assert!(self.reaches("stranger"), "{when}: the stranger comes in");
        assert!(self.reaches("friend"), "{when}: the friend comes in");
    }

    /// What netpol left on the nodes; nothing is what an uninstall leaves.
    fn remains(&self) -> Result<Vec<String>> {
        const LOOK_FOR: &str = "\
            find /sys/fs/bpf/netpol /run/netpol -mindepth 0 ! -path /run/netpol 2>/dev/null; \
            ls /opt/cni/bin/netpol-cni 2>/dev/null; \
            grep -l netpol-cni /etc/cni/net.d/* 2>/dev/null; \
            ls /etc/cni/net.d | grep netpol; \
            bpftool net show 2>/dev/null | grep -E 'netpol|tc_(from|to)_endpoint'; true";
        let mut found = Vec::new();
        for number in 1..=self.cluster.options().nodes {
            let said = self.cluster.node(number)?.run(&["sh", "-c", LOOK_FOR])?;
            found.extend(said.lines().map(|line| format!("node{number}: {line}")));
        }
        Ok(found)
    }

    fn wait_clean(&self, when: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let remains = self.remains()?;
            let pods = self.kubectl(&["get", "pods", "-n", NAMESPACE, "-o", "name"])?;
            if remains.is_empty() && pods.is_empty() {
                return Ok(());
            }
            assert!(Instant::now() < deadline, "{when}: {pods} {remains:#?}");
            thread::sleep(LOOK);
        }
    }

    /// The containers that run, and since when: none of them may be another one afterwards.
    fn containers(&self) -> Result<String> {
        let path = "jsonpath={range .items[*]}{.metadata.uid} \
                    {.status.containerStatuses[0].containerID}{\"\\n\"}{end}";
        self.kubectl(&["-n", "shop", "get", "pods", "-o", path])
    }
}

#[test]
fn what_the_manifests_install_they_remove_while_pods_run() -> Result<()> {
    let Some(image) = image_or_skip("what_the_manifests_install") else {
        return Ok(());
    };
    let stage = Stage::set("install", &image)?;
    let before = stage.containers()?;
    stage.assert_open("before the install");

    stage.install()?;
    stage.assert_enforced("installed over running pods");
    assert!(
        !stage.remains()?.is_empty(),
        "the check itself sees something"
    );
    let agents = stage.ours(&["get", "pods", "-o", "name"])?;
    for agent in agents.lines() {
        let said = stage.ours(&["exec", agent, "--", "/netpolctl", "status"])?;
        assert!(said.starts_with("Enforcing"), "{said}");
    }

    stage.ours(&["rollout", "restart", "ds/netpol"])?;
    let deadline = Instant::now() + PATIENCE;
    // A status that comes at once and ends once the last node is done: whatever it says, nobody gets in meanwhile.
    while stage
        .ours(&["rollout", "status", "ds/netpol", "--timeout=1s"])
        .is_err()
    {
        stage.assert_enforced("while agents are replaced");
        assert!(Instant::now() < deadline, "the rollout ends");
    }
    stage.assert_enforced("after the rollout");

    stage.kubectl(&["delete", "-k", &manifests()])?;
    stage.wait_clean("deleted by the manifests")?;
    stage.assert_open("after the uninstall");

    stage.install()?;
    stage.assert_enforced("installed again");
    assert_eq!(stage.containers()?, before, "no pod was restarted");
    Ok(())
}

#[test]
fn a_deletion_is_told_from_a_restart_whatever_its_order() -> Result<()> {
    let Some(image) = image_or_skip("a_deletion_is_told") else {
        return Ok(());
    };
    let stage = Stage::set("deletion", &image)?;

    stage.install()?;
    stage.ours(&["delete", "pods", "--all"])?;
    stage.assert_enforced("pods deleted");
    rolled_out(&stage.cluster)?;

    stage.ours(&["delete", "ds", "netpol", "--cascade=orphan"])?;
    stage.ours(&["delete", "pods", "--all"])?;
    stage.assert_enforced("orphans deleted");
    stage.install()?;
    stage.assert_enforced("adopted by a new DaemonSet");

    for cascade in ["background", "foreground"] {
        let word = format!("--cascade={cascade}");
        stage.ours(&["delete", "ds", "netpol", &word])?;
        stage.wait_clean(&word)?;
        stage.assert_open(&word);
        stage.install()?;
        stage.assert_enforced(&word);
    }

    stage.kubectl(&["delete", "namespace", NAMESPACE])?;
    stage.wait_clean("namespace deleted")?;
    stage.install()?;

    // The rights go first, as they may when everything is deleted at once.
    stage.ours(&["delete", "rolebinding", "netpol"])?;
    stage.ours(&["delete", "ds", "netpol"])?;
    stage.wait_clean("without the right to ask")?;
    Ok(())
}
