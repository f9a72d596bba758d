//! The policy that every contestant enforces: which pods of the node are isolated, and whom each lets in.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::lab::{Lab, LabError, NODE_NAME, Protocol, Result};

/// The namespace of all pods.
pub(super) const NAMESPACE: &str = "route";
/// The TCP port that pods serve and their policies let in.
pub(super) const TCP_PORT: u16 = 8080;
/// The UDP port that the server's policy lets in.
pub(super) const UDP_PORT: u16 = 9000;
/// A TCP port of the server that nobody is let in to.
pub(super) const CLOSED_PORT: u16 = 8081;

const PORTS: [(Protocol, u16); 2] = [(Protocol::Tcp, TCP_PORT), (Protocol::Udp, UDP_PORT)];

/// One isolated pod of the node, with its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Isolated {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// Who is let in.
    pub(super) peers: Vec<Ipv4Addr>,
    /// To which ports.
    pub(super) ports: Vec<(Protocol, u16)>,
}

/// All isolated pods of the node, in the order of their rules.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) pods: Vec<Isolated>,
    /// Peers of the server: the client, then pods of another node.
    peers: Vec<Ipv4Addr>,
    /// How many pods beside the server.
    others: u16,
}

impl Rules {
    /// The server lets in `peers` pods, the client among them; each of `others` pods lets in its share
    /// of them. Where rules are asked one after the other, the server's stand in the middle.
    pub(super) fn new(client: Ipv4Addr, server: Ipv4Addr, peers: u16, others: u16) -> Self {
        let elsewhere = (1..peers).map(|n| Ipv4Addr::from(u32::from(REMOTE) + u32::from(n)));
        let peers: Vec<Ipv4Addr> = [client].into_iter().chain(elsewhere).collect();
        let mut pods: Vec<Isolated> = (0..others)
            .map(|other| Isolated {
                name: name_of(other),
                address: address_of(other),
                peers: (peers.iter().copied())
                    .skip(other.into())
                    .step_by(others.into())
                    .collect(),
                ports: vec![(Protocol::Tcp, TCP_PORT)],
            })
            .collect();
        let server = Isolated {
            name: "server".to_owned(),
            address: server,
            peers: peers.clone(),
            ports: PORTS.to_vec(),
        };
        pods.insert(pods.len() / 2, server);
        Self {
            pods,
            peers,
            others,
        }
    }

    /// Pods of the node beside the server.
    pub(super) fn others(&self) -> impl Iterator<Item = &Isolated> {
        self.pods.iter().filter(|pod| pod.name != "server")
    }

    /// Labels of the peer in this place: a share of them is let in to one of the other pods.
    pub(super) fn labels(&self, place: usize) -> [(&'static str, String); 2] {
        let share = place % usize::from(self.others.max(1));
        [("app", "peer".to_owned()), ("share", share.to_string())]
    }

    /// Writes the same as objects: pods of both nodes that the lab has not announced, and policies.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn write(&self, lab: &Lab) -> Result<()> {
        let elsewhere = self.peers.iter().enumerate().skip(1);
        let remote = elsewhere.map(|(place, address)| {
            let labels = self.labels(place).into_iter().collect();
            pod(
                &format!("peer-{place}"),
                &labels,
                "node-2",
                REMOTE_NODE,
                *address,
            )
        });
        let lab_node = lab.node().addresses().v4;
        let local = self.others().map(|it| {
            let labels = [("pod", it.name.clone())].into_iter().collect();
            pod(&it.name, &labels, NODE_NAME, lab_node, it.address)
        });
        let mut policies = vec![policy(
            "server",
            &json!({"app": "server"}),
            &json!({"app": "peer"}),
            &PORTS,
        )];
        policies.extend(self.others().enumerate().map(|(share, it)| {
            policy(
                &it.name,
                &json!({"pod": it.name}),
                &json!({"app": "peer", "share": share.to_string()}),
                &it.ports,
            )
        }));
        let items: Vec<Value> = remote.chain(local).chain(policies).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        lab.manifests().write_object("route.json", &list)
    }
}

/// Before the first peer on another node.
const REMOTE: Ipv4Addr = Ipv4Addr::new(10, 245, 0, 0);
const REMOTE_NODE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);

/// Most pods beside the server: what fits into the range of the node's pods.
pub(super) const MOST_OTHERS: u16 = 150;

fn name_of(other: u16) -> String {
    format!("other{other}")
}

fn address_of(other: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 244, 0, 100)) + u32::from(other))
}

type Labels = std::collections::BTreeMap<&'static str, String>;

fn pod(name: &str, labels: &Labels, node: &str, host: Ipv4Addr, address: Ipv4Addr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": NAMESPACE, "name": name, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "lab"}]},
        "status": {
            "phase": "Running",
            "hostIP": host, "hostIPs": [{"ip": host}],
            "podIP": address, "podIPs": [{"ip": address}],
        },
    })
}

fn policy(name: &str, pods: &Value, peers: &Value, ports: &[(Protocol, u16)]) -> Value {
    let port = |(protocol, port): &(Protocol, u16)| json!({"protocol": protocol.to_string(), "port": port});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {
            "podSelector": {"matchLabels": pods},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": peers}}],
                "ports": ports.iter().map(port).collect::<Vec<_>>(),
            }],
        },
    })
}

/// Refuses what does not fit.
///
/// # Errors
/// When there would be more pods beside the server than the node has addresses for.
pub(super) fn check(others: u16) -> Result<()> {
    if others <= MOST_OTHERS {
        return Ok(());
    }
    Err(LabError::Missing(format!(
        "{others} other pods do not fit on the node: at most {MOST_OTHERS}"
    )))
}

#[cfg(test)]
pub(super) fn small() -> Rules {
    Rules::new(
        Ipv4Addr::new(10, 244, 1, 2),
        Ipv4Addr::new(10, 244, 0, 2),
        4,
        2,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_let_in_to_the_server_and_to_one_other_pod() {
        let rules = small();
        let names: Vec<&str> = rules.pods.iter().map(|pod| pod.name.as_str()).collect();
        assert_eq!(names, ["other0", "server", "other1"]);
        let peers: Vec<usize> = rules.pods.iter().map(|pod| pod.peers.len()).collect();
        assert_eq!(peers, [2, 4, 2]);
        for (place, peer) in rules.peers.iter().enumerate() {
            let [_, (_, share)] = rules.labels(place);
            let other = rules
                .others()
                .find(|pod| pod.name == format!("other{share}"));
            assert!(other.is_some_and(|pod| pod.peers.contains(peer)), "{peer}");
        }
    }

    #[test]
    fn addresses_of_other_pods_fit_the_range_of_the_node() {
        assert_eq!(address_of(MOST_OTHERS - 1), Ipv4Addr::new(10, 244, 0, 249));
        assert!(check(MOST_OTHERS).is_ok() && check(MOST_OTHERS + 1).is_err());
    }
}
