//! Facts as netlink gives them, and what follows.

use super::*;
use crate::discovery::facts::{Forwarding, Mac, Neighbour};

const BRIDGE: u32 = 10;
const UPLINK: u32 = 2;
const MAC_A: Mac = [2, 0, 0, 0, 0, 0xa];
const MAC_B: Mac = [2, 0, 0, 0, 0, 0xb];

fn link(name: &str, kind: LinkKind) -> Link {
    Link {
        name: name.to_owned(),
        kind,
        controller: None,
        peer_elsewhere: true,
    }
}

/// A node with an uplink, a bridge with the ports 11 and 12, and the veths 21 and 22.
fn node() -> Facts {
    let mut facts = Facts::default();
    let device = LinkKind::Other("device".to_owned());
    facts.links.insert(1, link("lo", LinkKind::Loopback));
    facts.links.insert(UPLINK, link("eth0", device));
    facts.links.insert(BRIDGE, link("cni0", LinkKind::Bridge));
    for port in [11, 12] {
        let mut veth = link(&format!("port{port}"), LinkKind::Veth);
        veth.controller = Some(BRIDGE);
        facts.links.insert(port, veth);
    }
    for index in [21, 22] {
        facts
            .links
            .insert(index, link(&format!("veth{index}"), LinkKind::Veth));
    }
    facts.uplinks.insert(UPLINK);
    facts
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn route(facts: &mut Facts, to: &str, ifindex: u32, prefix: u8) {
    facts
        .routes
        .insert(address(to), Route::OnLink { ifindex, prefix });
}

/// An address on the bridge: routed there, answered by `mac`, learned at `port`.
fn on_bridge(facts: &mut Facts, at: &str, mac: Mac, port: u32) {
    route(facts, at, BRIDGE, 24);
    let neighbour = Neighbour { mac, fixed: false };
    facts.neighbours.insert((BRIDGE, address(at)), neighbour);
    facts.forwarding.push(Forwarding {
        bridge: BRIDGE,
        port,
        mac,
    });
}

fn pod(name: &str, addresses: &[&str]) -> Claimant {
    Claimant {
        pod: ObjectKey::new("ns", name),
        addresses: addresses.iter().map(|text| address(text)).collect(),
        terminating: false,
        created: String::new(),
        held: None,
        told: false,
    }
}

fn held(name: &str, addresses: &[&str], ifindex: u32) -> Claimant {
    Claimant {
        held: Some(ifindex),
        ..pod(name, addresses)
    }
}

fn found(decision: &Decision, name: &str) -> Option<u32> {
    decision.found.get(&ObjectKey::new("ns", name)).copied()
}

#[track_caller]
fn assert_missing(decision: &Decision, name: &str, words: &str) {
    let reason = decision.missing.get(&ObjectKey::new("ns", name));
    let reason = reason.unwrap_or_else(|| panic!("{name} is not missing: {decision:?}"));
    assert!(reason.contains(words), "{reason:?} does not say {words:?}");
}

#[test]
fn a_host_route_leads_to_its_veth() {
    let mut facts = node();
    route(&mut facts, "10.0.0.5", 21, 32);
    route(&mut facts, "fd00::5", 22, 128);
    let decision = decide(&[pod("a", &["10.0.0.5"]), pod("b", &["fd00::5"])], &facts);
    assert_eq!(found(&decision, "a"), Some(21));
    assert_eq!(found(&decision, "b"), Some(22));
    assert_eq!(decision.questions, []);
}

#[test]
fn an_address_on_a_bridge_leads_to_the_port_that_learned_it() {
    let mut facts = node();
    on_bridge(&mut facts, "10.1.0.5", MAC_A, 11);
    on_bridge(&mut facts, "10.1.0.6", MAC_B, 12);
    let decision = decide(&[pod("a", &["10.1.0.5"]), pod("b", &["10.1.0.6"])], &facts);
    assert_eq!(found(&decision, "a"), Some(11));
    assert_eq!(found(&decision, "b"), Some(12));
}

#[test]
fn what_the_kernel_does_not_know_is_asked() {
    let mut facts = node();
    route(&mut facts, "10.1.0.5", BRIDGE, 24);
    let decision = decide(&[pod("a", &["10.1.0.5"])], &facts);
    assert_missing(&decision, "a", "nobody on the bridge cni0 has answered");
    let address = address("10.1.0.5");
    let bridge = BRIDGE;
    assert_eq!(decision.questions, [Question { bridge, address }]);

    for fixed in [false, true] {
        let neighbour = Neighbour { mac: MAC_A, fixed };
        facts.neighbours.insert((BRIDGE, address), neighbour);
        let decision = decide(&[pod("a", &["10.1.0.5"])], &facts);
        assert_missing(&decision, "a", "has not learned its port");
        // What somebody wrote down is not the agent's to ask about.
        assert_eq!(decision.questions.is_empty(), fixed);
    }
}

#[test]
fn nothing_that_carries_other_traffic_is_a_pods() {
    let mut facts = node();
    facts
        .links
        .insert(30, link("vxlan0", LinkKind::Other("vxlan".to_owned())));
    facts
        .links
        .insert(31, link("wg0", LinkKind::Other("wireguard".to_owned())));
    let mut both_here = link("veth-here", LinkKind::Veth);
    both_here.peer_elsewhere = false;
    facts.links.insert(32, both_here);
    facts.links.insert(33, link("uplink-veth", LinkKind::Veth));
    facts.uplinks.insert(33);
    route(&mut facts, "10.2.0.1", UPLINK, 32);
    route(&mut facts, "10.2.0.2", 30, 32);
    route(&mut facts, "10.2.0.3", 31, 24);
    route(&mut facts, "10.2.0.4", 32, 32);
    route(&mut facts, "10.2.0.5", 33, 24);
    route(&mut facts, "10.2.0.6", 21, 0);
    facts
        .routes
        .insert(address("10.2.0.7"), Route::Gateway { ifindex: UPLINK });
    facts.routes.insert(address("10.2.0.8"), Route::Local);
    facts.routes.insert(address("10.2.0.9"), Route::None);
    on_bridge(&mut facts, "10.2.0.10", MAC_A, 30);
    let expected = [
        ("10.2.0.1", "eth0 is a device interface"),
        ("10.2.0.2", "vxlan0 is a vxlan interface"),
        ("10.2.0.3", "wg0 is a wireguard interface"),
        ("10.2.0.4", "both ends of veth-here"),
        ("10.2.0.5", "other nodes are behind uplink-veth"),
        ("10.2.0.6", "only the default route"),
        ("10.2.0.7", "its route leaves the node by eth0"),
        ("10.2.0.8", "the node's own address"),
        ("10.2.0.9", "no route"),
        ("10.2.0.10", "vxlan0 is a vxlan interface"),
        ("10.2.0.11", "no route"),
    ];
    for (address, words) in expected {
        let decision = decide(&[pod("a", &[address])], &facts);
        assert_eq!(found(&decision, "a"), None, "{address}");
        assert_missing(&decision, "a", words);
    }
}

#[test]
fn a_prefix_on_a_veth_that_is_no_uplink_will_do() {
    let mut facts = node();
    route(&mut facts, "10.3.0.2", 21, 24);
    let decision = decide(&[pod("a", &["10.3.0.2"])], &facts);
    assert_eq!(found(&decision, "a"), Some(21));
}

#[test]
fn of_two_pods_behind_one_interface_the_stronger_evidence_has_it() {
    let mut facts = node();
    route(&mut facts, "10.3.0.2", 21, 32);
    route(&mut facts, "10.3.0.3", 21, 24);
    let decision = decide(&[pod("z", &["10.3.0.2"]), pod("a", &["10.3.0.3"])], &facts);
    assert_eq!(found(&decision, "z"), Some(21));
    assert_missing(&decision, "a", "its interface veth21 is ns/z's");
}

#[test]
fn a_pod_without_an_address_waits() {
    let decision = decide(&[pod("a", &[])], &node());
    assert_missing(&decision, "a", "no address yet");
}

#[test]
fn either_address_finds_the_interface() {
    let mut facts = node();
    route(&mut facts, "fd00::5", 21, 128);
    let decision = decide(&[pod("a", &["10.0.0.5", "fd00::5"])], &facts);
    assert_eq!(found(&decision, "a"), Some(21));
}

#[test]
fn a_pod_stays_where_it_was_found_while_the_kernel_has_forgotten() {
    let mut facts = node();
    route(&mut facts, "10.1.0.5", BRIDGE, 24);
    let decision = decide(&[held("a", &["10.1.0.5"], 11)], &facts);
    assert_eq!(found(&decision, "a"), Some(11));
    assert_eq!(decision.questions, [], "nothing is needed");
    let decision = decide(&[held("b", &["10.0.0.5"], 21)], &facts);
    assert_eq!(
        found(&decision, "b"),
        Some(21),
        "its route is gone, its veth is not"
    );
}

#[test]
fn a_pod_leaves_an_interface_that_is_gone_or_is_another_bridges() {
    let mut facts = node();
    on_bridge(&mut facts, "10.1.0.5", MAC_A, 12);
    facts.links.remove(&11);
    let decision = decide(&[held("a", &["10.1.0.5"], 11)], &facts);
    assert_eq!(found(&decision, "a"), Some(12));

    let mut facts = node();
    on_bridge(&mut facts, "10.1.0.5", MAC_A, 12);
    facts.links.get_mut(&11).expect("the port").controller = None;
    let decision = decide(&[held("a", &["10.1.0.5"], 11)], &facts);
    assert_eq!(found(&decision, "a"), Some(12));
}

#[test]
fn a_route_moves_a_pod_and_takes_the_interface_from_who_held_it() {
    let mut facts = node();
    route(&mut facts, "10.0.0.5", 22, 32);
    let decision = decide(&[held("a", &["10.0.0.5"], 21)], &facts);
    assert_eq!(found(&decision, "a"), Some(22));
    let pods = [held("a", &["10.0.0.5"], 21), held("b", &["10.0.0.6"], 22)];
    let decision = decide(&pods, &facts);
    assert_eq!(found(&decision, "a"), Some(22));
    assert_missing(&decision, "b", "veth22 is ns/a's");
}

#[test]
fn two_pods_that_changed_places_are_found_at_their_new_ones() {
    let mut facts = node();
    route(&mut facts, "10.0.0.5", 22, 32);
    route(&mut facts, "10.0.0.6", 21, 32);
    let pods = [held("a", &["10.0.0.5"], 21), held("b", &["10.0.0.6"], 22)];
    let decision = decide(&pods, &facts);
    assert_eq!(found(&decision, "a"), Some(22));
    assert_eq!(found(&decision, "b"), Some(21));
}

/// `mallory` at port 11 answers for `alice`'s address too.
#[test]
fn a_pod_that_announces_anothers_address_gains_nothing() {
    let mut facts = node();
    on_bridge(&mut facts, "10.1.0.6", MAC_A, 11);
    on_bridge(&mut facts, "10.1.0.5", MAC_A, 11);
    let pods = [
        held("alice", &["10.1.0.5"], 12),
        held("mallory", &["10.1.0.6"], 11),
    ];
    let decision = decide(&pods, &facts);
    assert_eq!(
        found(&decision, "alice"),
        Some(12),
        "she stays where she was found"
    );
    assert_eq!(found(&decision, "mallory"), Some(11), "and he where he was");

    // He answers for hers alone, and keeps silent for his own.
    facts.neighbours.remove(&(BRIDGE, address("10.1.0.6")));
    let decision = decide(&pods, &facts);
    assert_eq!(found(&decision, "alice"), Some(12));
    assert_eq!(found(&decision, "mallory"), Some(11));

    // She is new, and was not found before.
    let pods = [
        pod("alice", &["10.1.0.5"]),
        held("mallory", &["10.1.0.6"], 11),
    ];
    let decision = decide(&pods, &facts);
    assert_missing(&decision, "alice", "port11 is ns/mallory's");
    assert_eq!(found(&decision, "mallory"), Some(11));
}

#[test]
fn an_address_that_passes_on_goes_to_the_pod_that_stays() {
    let mut facts = node();
    route(&mut facts, "10.0.0.5", 21, 32);
    let mut leaving = held("old", &["10.0.0.5"], 21);
    leaving.terminating = true;
    let decision = decide(&[leaving, pod("new", &["10.0.0.5"])], &facts);
    assert_eq!(found(&decision, "new"), Some(21));
    assert_missing(&decision, "old", "veth21 is ns/new's");

    // Neither is known to leave: the one that is there stays.
    let pods = [held("a", &["10.0.0.5"], 21), pod("b", &["10.0.0.5"])];
    assert_eq!(found(&decide(&pods, &facts), "a"), Some(21));
}

#[test]
fn of_two_new_pods_with_one_address_the_younger_has_it() {
    let mut facts = node();
    route(&mut facts, "10.0.0.5", 21, 32);
    let mut younger = pod("younger", &["10.0.0.5"]);
    younger.created = "2026-01-02T00:00:00Z".to_owned();
    let mut older = pod("older", &["10.0.0.5"]);
    older.created = "2026-01-01T00:00:00Z".to_owned();
    let decision = decide(&[older, younger], &facts);
    assert_eq!(found(&decision, "younger"), Some(21));
    assert_missing(&decision, "older", "veth21");
}

#[test]
fn a_link_layer_address_at_two_ports_leads_nowhere() {
    let mut facts = node();
    on_bridge(&mut facts, "10.1.0.5", MAC_A, 11);
    on_bridge(&mut facts, "10.1.0.5", MAC_A, 12);
    let decision = decide(&[pod("a", &["10.1.0.5"])], &facts);
    assert_missing(&decision, "a", "several ports: port11, port12");
}
