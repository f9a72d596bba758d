//! The node's end of the pair whose other end is the pod's interface.
//!
//! The kernel is asked, not the previous result: results name bridges and veths alike, and some
//! plugins name neither.

use std::{fs::File, io, path::Path, thread};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sched::{CloneFlags, setns};

/// Why the node's end is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("cannot enter the pod's network namespace {netns}: {source}")]
    Namespace { netns: String, source: io::Error },
    #[error("cannot ask the kernel for {interface}: {source}")]
    Netlink {
        interface: String,
        source: io::Error,
    },
    #[error(
        "{interface} is a {kind} interface: netpol judges packets on the node's end of a veth or \
         netkit pair, and there is none. Give pods such interfaces, or take netpol-cni out of this \
         network's configuration"
    )]
    Kind { interface: String, kind: String },
    #[error("the other end of {interface} is not in the network namespace that the plugin runs in")]
    Elsewhere { interface: String },
}

/// The node's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostLink {
    pub(crate) name: String,
    pub(crate) ifindex: u32,
}

/// Finds the node's end.
pub(crate) fn host_side(netns: &Path, interface: &str) -> Result<HostLink, LinkError> {
    let inside = inside(netns, || get(&Wanted::Name(interface.to_owned())));
    let inside = inside.map_err(|source| LinkError::Namespace {
        netns: netns.display().to_string(),
        source,
    })?;
    let inside = inside.map_err(|source| LinkError::Netlink {
        interface: format!("the pod's {interface}"),
        source,
    })?;
    if !matches!(&*inside.kind, "veth" | "netkit") {
        return Err(LinkError::Kind {
            interface: format!("the pod's {interface}"),
            kind: inside.kind,
        });
    }
    let elsewhere = || LinkError::Elsewhere {
        interface: format!("the pod's {interface}"),
    };
    let peer = inside.peer.ok_or_else(elsewhere)?;
    // An index is of one namespace: here it may be another interface's.
    let outside = get(&Wanted::Index(peer)).map_err(|_| elsewhere())?;
    if outside.kind != inside.kind || outside.peer != Some(inside.ifindex) {
        return Err(elsewhere());
    }
    Ok(HostLink {
        name: outside.name,
        ifindex: outside.ifindex,
    })
}

#[derive(Debug)]
struct Link {
    name: String,
    ifindex: u32,
    kind: String,
    /// Index of the other end, in its own namespace.
    peer: Option<u32>,
}

enum Wanted {
    Name(String),
    Index(u32),
}

/// Works inside a namespace, on a thread that ends afterwards.
fn inside<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = File::open(netns)?;
    let visit = || {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    };
    thread::scope(|scope| scope.spawn(visit).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread inside has failed")))
}

fn get(wanted: &Wanted) -> io::Result<Link> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut message = LinkMessage::default();
    match wanted {
        Wanted::Name(name) => message.attributes.push(LinkAttribute::IfName(name.clone())),
        Wanted::Index(index) => message.header.index = *index,
    }
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(message));
    request.header.flags = NLM_F_REQUEST;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer);
    match answer.map_err(io::Error::other)?.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(read(&link)),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("an answer to something else")),
    }
}

fn read(message: &LinkMessage) -> Link {
    let mut link = Link {
        name: String::new(),
        ifindex: message.header.index,
        kind: "hardware".to_owned(),
        peer: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Link(index) => link.peer = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = kind_name(kind);
                    }
                }
            }
            _ => {}
        }
    }
    link
}

fn kind_name(kind: &InfoKind) -> String {
    match kind {
        InfoKind::Veth => "veth".to_owned(),
        InfoKind::Netkit => "netkit".to_owned(),
        other => other.to_string(),
    }
}
