//! One item of `from` or `to`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::json::{At, Reading};
use super::rule::Traffic;
use super::selector::Selector;

/// "Only certain combinations of fields are allowed."
#[derive(Debug)]
pub(super) enum Peer {
    Pods(Pods),
    Block(Block),
}

#[derive(Debug)]
pub(super) struct Pods {
    /// `None`: not set, which means the policy's own namespace.
    namespaces: Option<Selector>,
    /// `None`: not set, which means all pods.
    pods: Option<Selector>,
}

#[derive(Debug)]
pub(super) struct Block {
    cidr: IpNet,
    except: Vec<IpNet>,
}

impl Peer {
    pub(super) fn read(at: &At<'_>) -> Reading<Self> {
        let selector = |field| at.get(field)?.as_ref().map(Selector::read).transpose();
        let namespaces = selector("namespaceSelector")?;
        let pods = selector("podSelector")?;
        let block = at.get("ipBlock")?.as_ref().map(Block::read).transpose()?;

        let any_selector = namespaces.is_some() || pods.is_some();
        match block {
            // "If this field is set then neither of the other fields can be." (`ipBlock`)
            Some(_) if any_selector => Err(at.fault("has an ipBlock beside a selector")),
            Some(block) => Ok(Self::Block(block)),
            None if any_selector => Ok(Self::Pods(Pods { namespaces, pods })),
            None => Err(at.fault("selects nothing")),
        }
    }

    pub(super) fn matches(&self, own_namespace: &str, traffic: &Traffic<'_>) -> bool {
        match self {
            Self::Pods(pods) => pods.matches(own_namespace, traffic),
            // An address is an address, a pod's too: the text makes no exception for pods.
            Self::Block(block) => block.contains(traffic.peer),
        }
    }
}

impl Pods {
    fn matches(&self, own_namespace: &str, traffic: &Traffic<'_>) -> bool {
        let Some((pod, namespace_labels)) = &traffic.peer_pod else {
            return false;
        };
        // "If podSelector is also set, then the NetworkPolicyPeer as a whole selects the pods
        // matching podSelector in the namespaces selected by namespaceSelector. Otherwise it
        // selects all pods in the namespaces selected by namespaceSelector." "[If namespaceSelector
        // is not set] it selects the pods matching podSelector in the policy's own namespace."
        let namespace_matches = match &self.namespaces {
            Some(namespaces) => namespaces.matches(namespace_labels),
            None => pod.namespace == own_namespace,
        };
        let pod_matches = self
            .pods
            .as_ref()
            .is_none_or(|pods| pods.matches(&pod.labels));
        namespace_matches && pod_matches
    }
}

impl Block {
    fn read(at: &At<'_>) -> Reading<Self> {
        let cidr = read_cidr(at, at.text_or_empty("cidr")?)?;
        let mut except = Vec::new();
        for entry in at.list_or_empty("except")? {
            let net = read_cidr(&entry, entry.text()?)?;
            // "Except values will be rejected if they are outside the cidr range."
            if !cidr.contains(&net) {
                return Err(entry.fault(format!("{net} is outside of {cidr}")));
            }
            except.push(net);
        }
        Ok(Self { cidr, except })
    }

    /// "The except entry describes CIDRs that should not be included within this rule." An address
    /// of the other family is in no CIDR of this one, `0.0.0.0/0` and `::/0` included.
    fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|net| net.contains(&address))
    }
}

/// Host bits are masked: `10.0.0.7/24` is `10.0.0.0/24`. An IPv4-mapped IPv6 address names packets
/// of neither family, so it is a fault rather than a CIDR that matches nothing.
fn read_cidr(at: &At<'_>, text: &str) -> Reading<IpNet> {
    let net: IpNet = text
        .parse()
        .map_err(|_| at.fault(format!("{text:?} is no CIDR")))?;
    if let IpNet::V6(v6) = net
        && v6.addr().to_ipv4_mapped().is_some()
    {
        return Err(at.fault(format!("{text} is an IPv4-mapped IPv6 CIDR")));
    }
    Ok(net.trunc())
}
