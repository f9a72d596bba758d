//! Messages as the kernel sends them, and what is read from them.

use rtnetlink::packet_route::{
    link::InfoKind,
    route::{RouteNextHop, RouteVia},
};

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn link_message(kind: Option<InfoKind>, others: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = 7;
    message.attributes = vec![LinkAttribute::IfName("x0".to_owned())];
    message
        .attributes
        .extend(kind.map(|kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])));
    message.attributes.extend(others);
    message
}

#[test]
fn a_link_tells_its_kind_its_bridge_and_where_its_peer_is() {
    let port = vec![LinkAttribute::Controller(3), LinkAttribute::LinkNetNsId(0)];
    let port = link(&link_message(Some(InfoKind::Veth), port));
    assert_eq!(port.kind, LinkKind::Veth);
    assert_eq!(port.controller, Some(3));
    assert!(port.peer_elsewhere);
    assert_eq!(port.refusal(), None);

    let pair = link(&link_message(Some(InfoKind::Veth), Vec::new()));
    assert!(!pair.peer_elsewhere);
    assert!(pair.refusal().is_some());

    let hardware = link(&link_message(None, Vec::new()));
    assert_eq!(hardware.kind, LinkKind::Other("device".to_owned()));
    let vxlan = link(&link_message(Some(InfoKind::Vxlan), Vec::new()));
    assert_eq!(vxlan.kind, LinkKind::Other("vxlan".to_owned()));

    let mut loopback = link_message(None, Vec::new());
    loopback.header.flags = LinkFlags::Loopback;
    assert_eq!(link(&loopback).kind, LinkKind::Loopback);
}

fn route_message(kind: RouteType, prefix: u8, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = prefix;
    message.header.kind = kind;
    message.attributes = attributes;
    message
}

#[test]
fn a_route_is_on_the_link_only_without_a_gateway_of_any_kind() {
    let gateway = |v4: [u8; 4]| RouteAttribute::Gateway(RouteAddress::Inet(v4.into()));
    let via = RouteAttribute::Via(RouteVia::Inet6([0xfe80, 0, 0, 0, 0, 0, 0, 1].into()));
    let mut hop = RouteNextHop::default();
    hop.interface_index = 7;
    let several = RouteAttribute::MultiPath(vec![hop.clone(), hop]);
    let out = || RouteAttribute::Oif(7);
    let unicast = |attributes| route_of(&route_message(RouteType::Unicast, 32, attributes));

    let ifindex = 7;
    let prefix = 32;
    assert_eq!(unicast(vec![out()]), Route::OnLink { ifindex, prefix });
    let unspecified = vec![out(), gateway([0; 4])];
    assert_eq!(unicast(unspecified), Route::OnLink { ifindex, prefix });
    let by_gateway = vec![out(), gateway([10, 0, 0, 1])];
    assert_eq!(unicast(by_gateway), Route::Gateway { ifindex });
    assert_eq!(unicast(vec![out(), via]), Route::Gateway { ifindex });
    assert_eq!(unicast(vec![several]), Route::Gateway { ifindex });
    assert_eq!(unicast(Vec::new()), Route::None);

    let of_kind = |kind| route_of(&route_message(kind, 32, vec![out()]));
    assert_eq!(of_kind(RouteType::Local), Route::Local);
    for refusing in [
        RouteType::BlackHole,
        RouteType::Unreachable,
        RouteType::Prohibit,
    ] {
        assert_eq!(of_kind(refusing), Route::None, "{refusing:?}");
    }
}

fn neighbour_message(family: AddressFamily, state: NeighbourState) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.ifindex = 7;
    message.header.state = state;
    message.attributes = vec![NeighbourAttribute::LinkLayerAddress(MAC.to_vec())];
    if family == AddressFamily::Bridge {
        message.attributes.push(NeighbourAttribute::Controller(3));
    } else {
        let address = IpAddr::from([10, 0, 0, 1]);
        let address = NeighbourAttribute::Destination(address.into());
        message.attributes.push(address);
    }
    message
}

#[test]
fn a_neighbour_is_known_while_packets_would_be_sent_to_it() {
    let known = |state, is_there| {
        let message = neighbour_message(AddressFamily::Inet, state);
        match neighbour_event(&message, is_there) {
            Some(Event::Neighbour { neighbour, .. }) => neighbour,
            other => panic!("{other:?}"),
        }
    };
    for state in [
        NeighbourState::Reachable,
        NeighbourState::Stale,
        NeighbourState::Delay,
        NeighbourState::Probe,
    ] {
        let fixed = false;
        assert_eq!(known(state, true), Some(Neighbour { mac: MAC, fixed }));
        assert_eq!(known(state, false), None, "removed");
    }
    for state in [NeighbourState::Permanent, NeighbourState::Noarp] {
        let fixed = true;
        assert_eq!(known(state, true), Some(Neighbour { mac: MAC, fixed }));
    }
    for state in [
        NeighbourState::Failed,
        NeighbourState::Incomplete,
        NeighbourState::None,
    ] {
        assert_eq!(known(state, true), None, "{state:?}");
    }
}

#[test]
fn a_bridge_learns_others_addresses_not_its_ports_own() {
    let learned = neighbour_message(AddressFamily::Bridge, NeighbourState::Reachable);
    let entry = Forwarding {
        bridge: 3,
        port: 7,
        mac: MAC,
    };
    assert_eq!(forwarding_of(&learned), Some(entry.clone()));
    let event = neighbour_event(&learned, false);
    let forgotten = Event::Forwarding {
        entry,
        learned: false,
    };
    assert_eq!(event, Some(forgotten));
    let own = neighbour_message(AddressFamily::Bridge, NeighbourState::Permanent);
    assert_eq!(forwarding_of(&own), None);
    // An entry of a device that is no port of a bridge.
    let mut lone = learned;
    lone.attributes.truncate(1);
    assert_eq!(forwarding_of(&lone), None);
}

#[test]
fn a_link_that_leaves_its_bridge_is_not_gone() {
    let message = |family| {
        let mut link = link_message(Some(InfoKind::Veth), Vec::new());
        link.header.interface_family = family;
        NetlinkMessage::from(RouteNetlinkMessage::DelLink(link))
    };
    assert_eq!(
        event(&message(AddressFamily::Unspec)),
        Some(Event::LinkGone(7))
    );
    assert_eq!(event(&message(AddressFamily::Bridge)), Some(Event::Changed));
}

#[test]
fn addresses_that_pods_never_see_as_a_source_are_left_out() {
    let is = |text: &str| is_source(&text.parse().expect("an address"));
    assert!(is("10.0.0.1") && is("fd00::1") && is("169.254.20.10"));
    assert!(!is("127.0.0.1") && !is("::1") && !is("fe80::1") && !is("0.0.0.0"));
}
