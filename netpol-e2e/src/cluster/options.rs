//! What a cluster is to be.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    assets::Assets,
    error::{ClusterError, Result},
};

/// The most nodes a cluster has.
pub const MOST_NODES: u8 = 9;

/// The CNI plugin that links pods, and what links the nodes.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Cni {
    /// All pods of a node on one bridge; static routes between the nodes.
    #[default]
    Bridge,
    /// A veth and a host route for each pod; static routes between the nodes.
    Ptp,
    /// The bridge, and VXLAN between the nodes, as flannel does it.
    FlannelLike,
}

impl Cni {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bridge, Self::Ptp, Self::FlannelLike];
}

impl fmt::Display for Cni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge => "bridge",
            Self::Ptp => "ptp",
            Self::FlannelLike => "flannel-like",
        })
    }
}

/// What kube-proxy writes Services into.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyMode {
    /// Rules of iptables.
    #[default]
    Iptables,
    /// Maps of nftables.
    Nftables,
}

impl fmt::Display for ProxyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        })
    }
}

/// What a cluster is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Its name; names of all it makes begin with it.
    pub name: String,
    /// How many nodes, 1 to [`MOST_NODES`]. A light cluster has none whatever is said here.
    pub nodes: u8,
    /// How pods and nodes are linked.
    pub cni: Cni,
    /// How Services are made.
    pub proxy: ProxyMode,
    /// etcd and the API server alone: no controllers, no scheduler, no nodes. Objects are what was
    /// written and nothing else; a deleted namespace stays `Terminating`.
    pub light: bool,
    /// DNS for Services at [`super::address::DNS`]: CoreDNS behind the Service kube-dns. On by default where CoreDNS is
    /// built, as `cargo xtask cluster build` does.
    pub dns: bool,
    /// Further flags of the API server, the last of a kind wins.
    pub api_server_flags: Vec<String>,
    /// Where its directory is made, and looked for by [`super::Cluster::open`].
    pub base: PathBuf,
    /// Whether it belongs to the process that brings it up: others remove it once that is dead.
    pub owned: bool,
}

impl Options {
    /// Two nodes on bridges, kube-proxy with iptables.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            nodes: 2,
            cni: Cni::default(),
            proxy: ProxyMode::default(),
            light: false,
            dns: Assets::find().kubernetes("coredns").is_ok(),
            api_server_flags: Vec::new(),
            base: super::directory::default_base(),
            owned: false,
        }
    }

    /// etcd and the API server alone.
    pub fn light(name: &str) -> Self {
        Self {
            light: true,
            nodes: 0,
            dns: false,
            ..Self::new(name)
        }
    }

    /// Whether a cluster can be made so; numbers that mean nothing are put right.
    pub(super) fn checked(mut self) -> Result<Self> {
        if !is_name(&self.name) {
            return Err(ClusterError::Name(self.name));
        }
        if self.light {
            self.nodes = 0;
            self.dns = false;
        } else if !(1..=MOST_NODES).contains(&self.nodes) {
            return Err(ClusterError::Nodes {
                asked: self.nodes,
                most: MOST_NODES,
            });
        }
        Ok(self)
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 20
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_part_of_file_and_namespace_names() {
        for name in ["netpol", "a", "ci-2-bridge"] {
            assert!(Options::new(name).checked().is_ok(), "{name}");
        }
        for name in ["", "Net", "a/b", "-a", "a-", "1a", "..", &"a".repeat(21)] {
            assert!(Options::new(name).checked().is_err(), "{name}");
        }
    }

    #[test]
    fn a_light_cluster_has_no_nodes() {
        let light = Options {
            nodes: 3,
            ..Options::light("watch")
        };
        assert_eq!(light.checked().expect("allowed").nodes, 0);
        let none = Options {
            nodes: 0,
            ..Options::new("x")
        };
        assert!(none.checked().is_err());
    }
}
