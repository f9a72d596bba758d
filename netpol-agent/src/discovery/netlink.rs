//! Asking the kernel: [`Facts`] by rtnetlink, and what changes them.

use std::{
    collections::{BTreeSet, HashMap},
    future::ready,
    net::IpAddr,
};

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::{
    Error, Handle, MulticastGroup, RouteMessageBuilder,
    packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::AddressAttribute,
        link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
        },
        route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType},
    },
};

use super::{
    decide::Question,
    facts::{Facts, Forwarding, Link, LinkKind, Mac, Neighbour, Route},
};

/// What can change where a pod is found, and which addresses the node has.
pub(crate) const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
];

/// Collects what matters for these addresses.
pub(crate) async fn facts(netlink: &Handle, addresses: &[IpAddr]) -> Result<Facts, Error> {
    let mut facts = Facts {
        links: links(netlink).await?,
        ..Facts::default()
    };
    for address in addresses {
        facts
            .routes
            .insert(*address, route(netlink, *address).await?);
    }
    let mut over_bridge = false;
    let mut over_prefix = false;
    for (address, route) in &facts.routes {
        let Route::OnLink { ifindex, prefix } = route else {
            continue;
        };
        let link = facts.links.get(ifindex);
        let is_bridge = link.is_some_and(|link| link.kind == LinkKind::Bridge);
        over_bridge |= is_bridge;
        over_prefix |= !is_bridge && *prefix != 0 && *prefix != whole_length(*address);
    }
    if over_bridge {
        facts.neighbours = neighbours(netlink).await?;
        facts.forwarding = forwarding(netlink).await?;
    }
    if over_prefix {
        facts.uplinks = uplinks(netlink).await?;
    }
    Ok(facts)
}

/// The addresses of the node's own interfaces that packets to pods may come from.
pub(crate) async fn local_addresses(
    netlink: &Handle,
    links: &HashMap<u32, Link>,
) -> Result<BTreeSet<IpAddr>, Error> {
    let mut found = BTreeSet::new();
    let mut messages = netlink.address().get().execute();
    while let Some(message) = messages.try_next().await? {
        // kube-proxy in IPVS mode puts every Service's address there: not the node's own.
        let link = links.get(&message.header.index);
        if link.is_some_and(|link| link.name == "kube-ipvs0") {
            continue;
        }
        // On point-to-point links `Address` is the other end.
        let local = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
        let any = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
        found.extend(local.or(any).filter(is_source));
    }
    Ok(found)
}

fn is_source(address: &IpAddr) -> bool {
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !(address.is_loopback() || address.is_unspecified() || link_local)
}

/// Has the kernel find out who has an address. The answer comes as events.
pub(crate) async fn ask(netlink: &Handle, question: Question) -> Result<(), Error> {
    let Question { bridge, address } = question;
    let mut message = NeighbourMessage::default();
    message.header.ifindex = bridge;
    message.header.family = family(address);
    let destination = NeighbourAttribute::Destination(NeighbourAddress::from(address));
    message.attributes.push(destination);
    // What the kernel remembers it would ask again, if at all, only there and after a while.
    let forget = RouteNetlinkMessage::DelNeighbour(message.clone());
    match send(netlink, forget, 0).await {
        Err(Error::NetlinkError(error)) if error.raw_code() == -libc::ENOENT => {}
        result => result?,
    }
    // NTF_USE is what sending a packet would do, without a packet.
    message.header.flags = NeighbourFlags::Use;
    send(
        netlink,
        RouteNetlinkMessage::NewNeighbour(message),
        NLM_F_CREATE,
    )
    .await
}

async fn send(netlink: &Handle, message: RouteNetlinkMessage, flags: u16) -> Result<(), Error> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut netlink = netlink.clone();
    let mut answers = netlink.request(request)?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload {
            return Err(Error::NetlinkError(error));
        }
    }
    Ok(())
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// An interface is there, or is another.
    Link { ifindex: u32, link: Link },
    /// An interface is gone; its index may be another's now.
    LinkGone(u32),
    /// Who has an address on an interface; without an answer, that nobody has.
    Neighbour {
        ifindex: u32,
        address: IpAddr,
        neighbour: Option<Neighbour>,
    },
    /// A bridge has learned, or forgotten, a port.
    Forwarding { entry: Forwarding, learned: bool },
    /// Anything else that may change where pods are.
    Changed,
    /// Events were lost.
    Overrun,
}

/// Reads an event.
pub(crate) fn event(message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<Event> {
    let inner = match &message.payload {
        NetlinkPayload::Overrun(_) => return Some(Event::Overrun),
        NetlinkPayload::InnerMessage(inner) => inner,
        _ => return None,
    };
    match inner {
        RouteNetlinkMessage::NewNeighbour(neighbour) => neighbour_event(neighbour, true),
        RouteNetlinkMessage::DelNeighbour(neighbour) => neighbour_event(neighbour, false),
        // With the family of bridges, it is a port that left its bridge.
        RouteNetlinkMessage::DelLink(link)
            if link.header.interface_family != AddressFamily::Bridge =>
        {
            Some(Event::LinkGone(link.header.index))
        }
        RouteNetlinkMessage::NewLink(message)
            if message.header.interface_family != AddressFamily::Bridge =>
        {
            Some(Event::Link {
                ifindex: message.header.index,
                link: link(message),
            })
        }
        _ => Some(Event::Changed),
    }
}

fn neighbour_event(message: &NeighbourMessage, is_there: bool) -> Option<Event> {
    if message.header.family == AddressFamily::Bridge {
        let entry = forwarding_of(message)?;
        return Some(Event::Forwarding {
            entry,
            learned: is_there,
        });
    }
    let state = message.header.state;
    let known = mac_of(message).filter(|_| is_there && is_usable(state));
    Some(Event::Neighbour {
        ifindex: message.header.ifindex,
        address: address_of(message)?,
        neighbour: known.map(|mac| Neighbour {
            mac,
            fixed: matches!(state, NeighbourState::Permanent | NeighbourState::Noarp),
        }),
    })
}

/// All interfaces.
pub(crate) async fn links(netlink: &Handle) -> Result<HashMap<u32, Link>, Error> {
    let messages = netlink.link().get().execute();
    let links = messages.map_ok(|message| (message.header.index, link(&message)));
    links.try_collect().await
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        name: String::new(),
        kind: LinkKind::Other("device".to_owned()),
        controller: None,
        peer_elsewhere: false,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Controller(index) => link.controller = Some(*index),
            LinkAttribute::LinkNetNsId(_) => link.peer_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = link_kind(kind);
                    }
                }
            }
            _ => {}
        }
    }
    if message.header.flags.contains(LinkFlags::Loopback) {
        link.kind = LinkKind::Loopback;
    }
    link
}

fn link_kind(kind: &InfoKind) -> LinkKind {
    match kind {
        InfoKind::Veth => LinkKind::Veth,
        InfoKind::Netkit => LinkKind::Netkit,
        InfoKind::Tun => LinkKind::Tun,
        InfoKind::Bridge => LinkKind::Bridge,
        other => LinkKind::Other(other.to_string()),
    }
}

/// Asks for the route itself (`RTM_F_FIB_MATCH`), not for the resolved next hop: its prefix tells
/// a route to one pod from a route to many, and from the default route.
async fn route(netlink: &Handle, address: IpAddr) -> Result<Route, Error> {
    let builder = RouteMessageBuilder::<IpAddr>::new();
    let Ok(builder) = builder.destination_prefix(address, whole_length(address)) else {
        return Ok(Route::None);
    };
    let mut message = builder.build();
    message.header.flags = RouteFlags::FibMatch;
    let mut answers = Box::pin(netlink.route().get(message).execute());
    match answers.try_next().await {
        Ok(Some(answer)) => Ok(route_of(&answer)),
        Ok(None) => Ok(Route::None),
        // ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL: each is "no way there".
        Err(Error::NetlinkError(_)) => Ok(Route::None),
        Err(error) => Err(error),
    }
}

fn route_of(message: &RouteMessage) -> Route {
    let mut output = None;
    let mut gateway = false;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(ifindex) => output = Some(*ifindex),
            RouteAttribute::Gateway(address) => gateway |= !is_unspecified(address),
            RouteAttribute::Via(_) => gateway = true,
            // Several ways at once lead to no single interface.
            RouteAttribute::MultiPath(hops) => {
                gateway = true;
                output = output.or(hops.first().map(|hop| hop.interface_index));
            }
            _ => {}
        }
    }
    match (message.header.kind, output) {
        (RouteType::Local, _) => Route::Local,
        (RouteType::Unicast, Some(ifindex)) if gateway => Route::Gateway { ifindex },
        (RouteType::Unicast, Some(ifindex)) => Route::OnLink {
            ifindex,
            prefix: message.header.destination_prefix_length,
        },
        _ => Route::None,
    }
}

fn is_unspecified(address: &RouteAddress) -> bool {
    match address {
        RouteAddress::Inet(v4) => v4.is_unspecified(),
        RouteAddress::Inet6(v6) => v6.is_unspecified(),
        _ => false,
    }
}

async fn uplinks(netlink: &Handle) -> Result<BTreeSet<u32>, Error> {
    let mut found = BTreeSet::new();
    for v4 in [true, false] {
        let message = if v4 {
            RouteMessageBuilder::<std::net::Ipv4Addr>::new().build()
        } else {
            RouteMessageBuilder::<std::net::Ipv6Addr>::new().build()
        };
        let mut routes = Box::pin(netlink.route().get(message).execute());
        while let Some(message) = routes.try_next().await? {
            let default = message.header.destination_prefix_length == 0;
            match route_of(&message) {
                Route::Gateway { ifindex } => drop(found.insert(ifindex)),
                Route::OnLink { ifindex, .. } if default => drop(found.insert(ifindex)),
                _ => {}
            }
        }
    }
    Ok(found)
}

async fn neighbours(netlink: &Handle) -> Result<HashMap<(u32, IpAddr), Neighbour>, Error> {
    let mut found = HashMap::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let request = netlink.neighbours().get().set_address_family(family);
        let mut messages = Box::pin(request.execute());
        while let Some(message) = messages.try_next().await? {
            if let Some(Event::Neighbour {
                ifindex,
                address,
                neighbour: Some(neighbour),
            }) = neighbour_event(&message, true)
            {
                found.insert((ifindex, address), neighbour);
            }
        }
    }
    Ok(found)
}

async fn forwarding(netlink: &Handle) -> Result<Vec<Forwarding>, Error> {
    let request = netlink
        .neighbours()
        .get()
        .set_address_family(AddressFamily::Bridge);
    let messages = request.execute();
    let entries = messages.try_filter_map(|message| ready(Ok(forwarding_of(&message))));
    entries.try_collect().await
}

fn forwarding_of(message: &NeighbourMessage) -> Option<Forwarding> {
    // Permanent entries are the addresses of the ports themselves.
    if message.header.state == NeighbourState::Permanent {
        return None;
    }
    let bridge = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Controller(index) => Some(*index),
            _ => None,
        })?;
    Some(Forwarding {
        bridge,
        port: message.header.ifindex,
        mac: mac_of(message)?,
    })
}

/// Whether a neighbour's link-layer address is one that packets are sent to.
fn is_usable(state: NeighbourState) -> bool {
    !matches!(
        state,
        NeighbourState::Failed | NeighbourState::Incomplete | NeighbourState::None
    )
}

fn address_of(message: &NeighbourMessage) -> Option<IpAddr> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
            _ => None,
        })
}

fn mac_of(message: &NeighbourMessage) -> Option<Mac> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => Mac::try_from(bytes.as_slice()).ok(),
            _ => None,
        })
}

const fn whole_length(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

#[cfg(test)]
mod tests;
