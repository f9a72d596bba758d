//! The bed of one contestant: a lab of its own in which it enforces the policy, checked before anything
//! is measured. All beds are there at once, so that turns among them take no time.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use super::{
    Contestant, Plan,
    course::Course,
    kube_router, nftables,
    rules::{CLOSED_PORT, NAMESPACE, Rules, TCP_PORT},
};
use crate::lab::{
    Agent, Host, Lab, LabError, Link, Netns, PodSpec,
    command::{self, ip_batch},
    sweep,
};

/// A contestant, ready to be measured.
#[derive(Debug)]
pub(super) struct Bed {
    pub(super) contestant: Contestant,
    /// What enforces, in words.
    pub(super) by: String,
    course: Course,
    client: Host,
    stranger: Host,
    _agent: Option<Agent>,
    /// Last, so that it goes last.
    lab: Lab,
}

/// What came of making a bed.
#[derive(Debug)]
pub(super) enum Made {
    Bed(Box<Bed>),
    /// This machine cannot run the contestant, and why.
    Skipped(String),
}

impl Bed {
    /// Makes a lab, has the contestant enforce the policy in it, and checks that it does.
    pub(super) fn make(contestant: Contestant, plan: &Plan) -> Result<Made> {
        let mut lab = Lab::new(Link::PointToPoint)?;
        let pod = |name: &str| PodSpec::new(&format!("{NAMESPACE}/{name}"));
        let peer = pod("client").label("app", "peer").label("share", "0");
        let server = lab.add_pod(pod("server").label("app", "server"))?;
        let client = lab.add_pod(peer.on_another_node())?;
        let stranger = lab.add_pod(pod("stranger").on_another_node())?;
        let (from, to) = (client.addresses().v4, server.addresses().v4);
        let rules = Rules::new(from, to, plan.peers, plan.others);
        add_interfaces(&lab, &rules)?;
        rules.write(&lab)?;
        if let Err(error) = probe(contestant, lab.node()) {
            return Ok(Made::Skipped(error.to_string()));
        }
        let (by, agent) = enforce(contestant, &lab, &rules)?;
        let bed = Self {
            contestant,
            by,
            course: Course::new(&client, &server, plan.flows)?,
            client,
            stranger,
            _agent: agent,
            lab,
        };
        bed.check()
            .with_context(|| format!("check what {contestant} enforces"))?;
        Ok(Made::Bed(Box::new(bed)))
    }

    /// Packets a second.
    pub(super) fn packets(&mut self, slice: Duration) -> Result<f64> {
        let rate = self.course.packets(slice);
        rate.with_context(|| format!("send packets through {}", self.contestant))
    }

    /// Connections a second.
    pub(super) fn connections(&self, slice: Duration) -> Result<f64> {
        let rate = self.course.connections(slice);
        rate.with_context(|| format!("connect through {}", self.contestant))
    }

    /// Compares who reaches what with what the policy says, and whether connections are tracked with
    /// what the contestant needs: tracking costs as much as a rule, and whoever does without should
    /// not pay for it.
    fn check(&self) -> Result<()> {
        let enforces = self.contestant != Contestant::None;
        let (client, stranger) = (&self.client, &self.stranger);
        let found = [
            (
                "the client's TCP",
                self.course.knock_tcp(client, TCP_PORT)?,
                true,
            ),
            ("the client's UDP", self.course.knock_udp(client)?, true),
            (
                "the client's TCP to another port",
                self.course.knock_tcp(client, CLOSED_PORT)?,
                !enforces,
            ),
            (
                "a stranger's TCP",
                self.course.knock_tcp(stranger, TCP_PORT)?,
                !enforces,
            ),
            (
                "a stranger's UDP",
                self.course.knock_udp(stranger)?,
                !enforces,
            ),
        ];
        for (what, reached, should) in found {
            if reached != should {
                let word = if reached { "reaches" } else { "does not reach" };
                bail!("{what} {word} the server");
            }
        }
        let tracked = tracked(self.lab.node().netns())?;
        if (tracked > 0) != self.contestant.tracks() {
            bail!("the kernel tracks {tracked} connections on the node");
        }
        Ok(())
    }
}

/// How many connections the kernel tracks in a namespace; none if it cannot.
fn tracked(netns: &Netns) -> Result<u64> {
    let read = || fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count");
    match netns.inside(read)? {
        Ok(text) => text
            .trim()
            .parse()
            .context("read the number of connections"),
        Err(_) => Ok(0),
    }
}

/// A veth and a route for each pod beside the server; their other ends are all in one namespace.
fn add_interfaces(lab: &Lab, rules: &Rules) -> Result<()> {
    let pods = Netns::named(lab.id().netns("others"));
    let _guard = sweep::building();
    ip_batch(None, &[format!("netns add {}", pods.name())])?;
    let (mut lines, mut ups) = (Vec::new(), Vec::new());
    for pod in rules.others() {
        let (name, address) = (&pod.name, pod.address);
        lines.push(format!(
            "link add {name} type veth peer name {name} netns {}",
            pods.name()
        ));
        lines.push(format!("link set {name} up"));
        lines.push(format!("route add {address}/32 dev {name}"));
        ups.push(format!("link set {name} up"));
    }
    ip_batch(Some(lab.node().netns().name()), &lines)?;
    ip_batch(Some(pods.name()), &ups)?;
    Ok(())
}

/// Whether this machine has the programs and the parts of the kernel that another enforcer needs.
fn probe(contestant: Contestant, node: &Host) -> Result<(), LabError> {
    match contestant {
        Contestant::None | Contestant::Netpol => Ok(()),
        Contestant::Nftables => feed(node, "nft", &["-f", "-"], nftables::PROBE),
        Contestant::Iptables => {
            let [set, rules] = kube_router::PROBE;
            feed(node, "ipset", &["restore"], set)?;
            feed(node, "iptables-restore", &["--noflush"], rules)
        }
    }
}

/// Has the contestant enforce the policy; says what does.
fn enforce(
    contestant: Contestant,
    lab: &Lab,
    rules: &Rules,
) -> Result<(String, Option<Agent>), LabError> {
    let node = lab.node();
    Ok(match contestant {
        Contestant::None => ("no rule, no tracking of connections".to_owned(), None),
        Contestant::Netpol => {
            let agent = lab.start_agent()?;
            let by = concat!("netpol-agent ", env!("CARGO_PKG_VERSION"));
            (by.to_owned(), Some(agent))
        }
        Contestant::Nftables => {
            feed(node, "nft", &["-f", "-"], &nftables::script(&rules.pods))?;
            (version(node, "nft", " (")?, None)
        }
        Contestant::Iptables => {
            feed(node, "ipset", &["restore"], &kube_router::sets(&rules.pods))?;
            feed(
                node,
                "iptables-restore",
                &[],
                &kube_router::rules(&rules.pods),
            )?;
            let versions = [
                version(node, "iptables", ",")?,
                version(node, "ipset", ",")?,
            ];
            (versions.join(", "), None)
        }
    })
}

/// Runs a command on the node, with something to read.
fn feed(node: &Host, program: &str, arguments: &[&str], input: &str) -> Result<(), LabError> {
    let run = || command::run_with_input(Command::new(program).args(arguments), input);
    let entered = node.netns().inside(run);
    entered
        .map_err(|source| LabError::Io {
            action: "enter the node's network namespace".to_owned(),
            source,
        })?
        .map(drop)
}

/// What a program says of itself, up to what nobody asks for.
fn version(node: &Host, program: &str, end: &str) -> Result<String, LabError> {
    let output = node.run(program, &["--version"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or(program);
    let (version, _) = line.split_once(end).unwrap_or((line, ""));
    Ok(version.trim().to_owned())
}
