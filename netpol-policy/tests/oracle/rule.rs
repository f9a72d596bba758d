//! One ingress or egress rule, and the traffic it is asked about.

use std::net::IpAddr;

use super::cluster::{Labels, Pod};
use super::json::{At, Reading};
use super::peer::Peer;
use super::port::Port;
use super::{Direction, Protocol};

/// A packet as seen from the end whose policies are asked.
#[derive(Debug)]
pub(super) struct Traffic<'a> {
    /// The other side: the destination of egress, the source of ingress.
    pub(super) peer: IpAddr,
    /// The pod that has the peer's address, with the labels of its namespace.
    pub(super) peer_pod: Option<(&'a Pod, Labels)>,
    /// The pod that has the port: the peer of egress, the policy's own pod of ingress.
    pub(super) destination: Option<&'a Pod>,
    pub(super) protocol: Protocol,
    pub(super) port: Option<u16>,
}

/// "The traffic must match both ports and from [to]."
#[derive(Debug)]
pub(super) struct Rule {
    peers: Vec<Peer>,
    ports: Vec<Port>,
}

impl Rule {
    pub(super) fn read(at: &At<'_>, direction: Direction) -> Reading<Self> {
        let peers = match direction {
            Direction::Egress => at.list_or_empty("to")?,
            Direction::Ingress => at.list_or_empty("from")?,
        };
        let ports = at.list_or_empty("ports")?;
        Ok(Self {
            peers: peers.iter().map(Peer::read).collect::<Reading<_>>()?,
            ports: ports.iter().map(Port::read).collect::<Reading<_>>()?,
        })
    }

    pub(super) fn restricts_nothing(&self) -> bool {
        self.peers.is_empty() && self.ports.is_empty()
    }

    pub(super) fn matches(&self, own_namespace: &str, traffic: &Traffic<'_>) -> bool {
        // "If this field is empty or missing, this rule matches all sources (traffic not restricted
        // by source). If this field is present and contains at least one item, this rule allows
        // traffic only if the traffic matches at least one item in the from list." The text of `to`
        // is the same.
        let peer_matches = self.peers.is_empty()
            || self
                .peers
                .iter()
                .any(|peer| peer.matches(own_namespace, traffic));
        // "If this field is empty or missing, this rule matches all ports (traffic not restricted
        // by port). If this field is present and contains at least one item, then this rule allows
        // traffic only if the traffic matches at least one port in the list." What has no ports,
        // ping for one, is not restricted by none and matches no item.
        let port_matches =
            self.ports.is_empty() || self.ports.iter().any(|port| port.matches(traffic));
        peer_matches && port_matches
    }
}
