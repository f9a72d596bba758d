//! What the CNI plugin tells the agent of the sandboxes it is called for.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ObjectName;

/// One interface of one sandbox: what the CNI specification calls an attachment's identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CniKey {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`: the interface's name inside the sandbox.
    pub interface: String,
}

/// An interface that a sandbox was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniAttachment {
    /// Which one.
    #[serde(flatten)]
    pub key: CniKey,
    /// Name of the network in the runtime's configuration.
    pub network: String,
    /// The pod whose sandbox it is.
    pub pod: ObjectName,
    /// The uid that the kubelet knows the pod by; empty when the runtime does not say.
    pub uid: String,
    /// Name of the node's end of the pair.
    pub host_interface: String,
    /// Index of the node's end.
    pub ifindex: u32,
    /// The addresses that the interface was given.
    pub addresses: Vec<IpAddr>,
}

/// Why what a plugin asks for does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniRefusal {
    /// One sentence, with what would help.
    pub reason: String,
    /// Whether trying again later can help.
    pub again: bool,
}

/// How the plugin's installation stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniInstallation {
    /// The CNI configuration that it is in.
    pub file: Option<String>,
    /// Why it is in none, or not in the first.
    pub problem: Option<String>,
}
