//! The node of the measured agent: a network namespace with an interface for each of its pods, and
//! the API server.

use std::{fs, net::TcpListener};

use anyhow::{Context, Result};

use super::{
    agent::{Place, write_kubeconfig},
    server::Server,
    world::{Size, address},
};
use crate::lab::{Binaries, Lab, Link, Netns, command::ip_batch, sweep};

/// A node, and the server that its agent follows.
pub(super) struct Node {
    pub(super) server: Server,
    pub(super) place: Place,
    lab: Lab,
    /// How many directories of maps there were.
    directories: u32,
}

impl Node {
    /// A node for the local pods of a cluster of this size, and a server that has all of it.
    pub(super) fn of(size: Size) -> Result<Self> {
        let lab = Lab::new(Link::PointToPoint)?;
        let netns = lab.node().netns().clone();
        add_interfaces(&lab, &netns, size)?;
        let listener = netns
            .inside(|| TcpListener::bind(("127.0.0.1", 0)))
            .context("enter the node's network namespace")?
            .context("listen for the agent")?;
        let server = Server::start(listener)?;
        for object in size.objects() {
            server.set(&object);
        }
        let directory = sweep::lab_dir(lab.id());
        let place = Place {
            program: Binaries::find()?.agent.clone(),
            netns,
            bpffs: lab.bpffs(),
            socket: directory.join("agent.sock"),
            kubeconfig: directory.join("kubeconfig"),
        };
        write_kubeconfig(&place.kubeconfig, &server.url())?;
        Ok(Self {
            server,
            place,
            lab,
            directories: 0,
        })
    }

    /// The next agent finds no maps.
    pub(super) fn empty_maps(&mut self) -> Result<()> {
        if self.directories > 0 {
            fs::remove_dir_all(&self.place.bpffs).context("remove the maps")?;
        }
        self.directories += 1;
        let name = format!("netpol{}", self.directories);
        self.place.bpffs = self.lab.bpffs().join(name);
        Ok(())
    }
}

/// A veth and a route for each local pod; their other ends are all in one namespace.
fn add_interfaces(lab: &Lab, netns: &Netns, size: Size) -> Result<()> {
    let pods = Netns::named(lab.id().netns("pods"));
    let _guard = sweep::building();
    ip_batch(None, &[format!("netns add {}", pods.name())])?;
    let mut lines = Vec::new();
    for pod in size.local() {
        lines.push(format!(
            "link add pod{pod} type veth peer name eth{pod} netns {}",
            pods.name()
        ));
        lines.push(format!("link set pod{pod} up"));
        lines.push(format!("route add {}/32 dev pod{pod}", address(pod)));
    }
    ip_batch(Some(netns.name()), &lines)?;
    let up = |pod| format!("link set eth{pod} up");
    ip_batch(Some(pods.name()), &size.local().map(up).collect::<Vec<_>>())?;
    Ok(())
}
