//! The node and its pods: who is exempt, and who only looks as if.

use std::net::{IpAddr, SocketAddr};

use netpol_e2e::{
    lab::{
        Family, Host, Lab, Link, OUTSIDE, Outcome, PATIENT, PodSpec, QUICK, Result, skip,
        skipped_without_root, tcp_data_packet, udp_packet,
    },
    shop::{self, Shop, TCP, UDP},
};

/// A port nobody listens at, to recognise forged packets by.
const FORGED_PORT: u16 = 7_777;

fn closed_shop(link: Link) -> Result<Shop> {
    Shop::enforcing(link, &shop::deny("server", "Ingress, Egress"))
}

#[test]
fn the_nodes_own_sockets_reach_an_isolated_pod_and_hear_its_replies() -> Result<()> {
    if skipped_without_root("the_nodes_own_sockets") {
        return Ok(());
    }
    for link in Link::ALL {
        let mut shop = closed_shop(link)?;
        let node = shop.lab.node().clone();
        for family in Family::BOTH {
            let to = shop.server(family);
            let context = format!("{link}, {family}");
            let mut held = node.open(to, TCP, PATIENT).expect(&context);
            assert_eq!(held.echo(PATIENT), Outcome::Reached, "{context}");
            assert!(node.ask_udp(to, UDP, PATIENT).is_ok(), "{context}");
            assert_eq!(node.ping(to, PATIENT), Outcome::Reached, "{context}");
            // Nobody else gets in, the exemption's connection or not.
            let good = shop.pod("good").connect_tcp(to, TCP, QUICK);
            assert_eq!(good, Outcome::TimedOut, "{context}");
            let outside = shop.lab.outside().connect_tcp(to, TCP, QUICK);
            assert_eq!(outside, Outcome::TimedOut, "{context}");
            // A change of policy does not cut the kubelet's connection.
            shop.apply(
                &[
                    shop::deny("server", "Ingress, Egress"),
                    shop::egress("good"),
                ]
                .concat(),
            )?;
            assert_eq!(held.echo(PATIENT), Outcome::Reached, "{context}");
            shop.apply(&shop::deny("server", "Ingress, Egress"))?;
        }
    }
    Ok(())
}

#[test]
fn an_isolated_pod_does_not_reach_its_node_unless_allowed() -> Result<()> {
    if skipped_without_root("an_isolated_pod_does_not_reach_its_node") {
        return Ok(());
    }
    let shop = Shop::enforcing(Link::PointToPoint, &shop::deny("bad", "Egress"))?;
    let node = shop.lab.node();
    node.serve_tcp(TCP)?;
    for to in node.addresses().both() {
        let open = shop.pod("good").connect_tcp(to, TCP, PATIENT);
        assert_eq!(open, Outcome::Reached);
        let closed = shop.pod("bad").connect_tcp(to, TCP, QUICK);
        assert_eq!(closed, Outcome::TimedOut);
    }
    Ok(())
}

/// Has the node hide forwarded traffic behind its own address, as a node port or an egress gateway
/// does.
fn masquerade(lab: &Lab) -> Result<()> {
    let rules = "
        table inet lab {
            chain postrouting {
                type nat hook postrouting priority srcnat;
                iifname \"up*\" masquerade
            }
        }";
    let path = lab.manifests().dir().with_file_name("masquerade.nft");
    std::fs::write(&path, rules).map_err(|source| netpol_e2e::lab::LabError::Io {
        action: format!("write {}", path.display()),
        source,
    })?;
    lab.node()
        .run("nft", &["-f", &path.to_string_lossy()])
        .map(drop)
}

#[test]
fn forwarded_traffic_behind_the_nodes_address_is_not_the_node() -> Result<()> {
    if skipped_without_root("forwarded_traffic_behind") {
        return Ok(());
    }
    for link in Link::ALL {
        let mut shop = Shop::enforcing(link, "")?;
        if let Err(error) = masquerade(&shop.lab) {
            skip("forwarded_traffic_behind", &error.to_string());
            return Ok(());
        }
        let outside = shop.lab.host(OUTSIDE)?;
        for family in Family::BOTH {
            let seen_as = outside
                .ask_udp(shop.server(family), UDP, PATIENT)
                .expect("an answer")
                .seen_as
                .ip();
            assert!(
                !outside.addresses().contains(seen_as),
                "{link}: masqueraded"
            );
        }
        shop.apply(&shop::deny("server", "Ingress"))?;
        let tap = shop
            .pod("server")
            .tap(|seen| [TCP, UDP].contains(&seen.dst.port()))?;
        for family in Family::BOTH {
            let to = shop.server(family);
            let context = format!("{link}, {family}");
            assert_eq!(
                outside.connect_tcp(to, TCP, QUICK),
                Outcome::TimedOut,
                "{context}"
            );
            assert_eq!(
                outside.ask_udp(to, UDP, QUICK),
                Err(Outcome::TimedOut),
                "{context}"
            );
            assert_eq!(outside.ping(to, QUICK), Outcome::TimedOut, "{context}");
        }
        assert_eq!(tap.seen(), [], "{link}");
    }
    Ok(())
}

/// Sends packets to the server that claim to come from `claimed`; how many arrive.
fn forge(shop: &Shop, sender: &Host, claimed: IpAddr, family: Family) -> Result<usize> {
    let tap = shop
        .pod("server")
        .tap(|seen| seen.src.port() == FORGED_PORT)?;
    let from = SocketAddr::new(claimed, FORGED_PORT);
    for packet in [
        udp_packet(from, shop.udp(family), b"forged"),
        tcp_data_packet(from, shop.tcp(family)),
    ] {
        let packet = packet.expect("a packet");
        sender.send_raw(&packet, shop.server(family)).expect("sent");
    }
    Ok(tap.seen().len())
}

#[test]
fn a_pod_cannot_speak_in_anothers_name() -> Result<()> {
    if skipped_without_root("a_pod_cannot_speak") {
        return Ok(());
    }
    for link in Link::ALL {
        let mut shop = Shop::enforcing(link, "")?;
        let (bad, good) = (shop.pod("bad"), shop.pod("good"));
        let strangers: [IpAddr; 2] =
            ["198.51.100.7", "2001:db8::7"].map(|text| text.parse().expect("an address"));
        let isolated = [shop::admit(&["good"]), shop::egress("bad")].concat();
        for policies in ["", &isolated] {
            shop.apply(policies)?;
            for (family, stranger) in Family::BOTH.into_iter().zip(strangers) {
                let context = format!("{link}, {family}, isolated: {}", !policies.is_empty());
                let node = shop.lab.node().addresses().of(family);
                for claimed in [stranger, good.addresses().of(family), node] {
                    let arrived = forge(&shop, &bad, claimed, family)?;
                    assert_eq!(arrived, 0, "{context}: as {claimed}");
                }
            }
        }
        // The check itself: under its own name the same packets arrive.
        shop.apply("")?;
        for family in Family::BOTH {
            let arrived = forge(&shop, &bad, bad.addresses().of(family), family)?;
            assert_eq!(arrived, 2, "{link}, {family}: as itself");
        }
    }
    Ok(())
}

#[test]
fn a_pod_on_another_node_is_judged_by_its_labels() -> Result<()> {
    if skipped_without_root("a_pod_on_another_node") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::Bridge, &shop::admit(&["good"]))?;
    let far = |name: &str, app: &str| {
        PodSpec::new(&format!("shop/{name}"))
            .label("app", app)
            .on_another_node()
    };
    let far_good = shop.lab.add_pod(far("far-good", "good"))?;
    let far_bad = shop.lab.add_pod(far("far-bad", "bad"))?;
    shop.agent.wait_ready()?;
    for family in Family::BOTH {
        let to = shop.server(family);
        assert_eq!(far_good.connect_tcp(to, TCP, PATIENT), Outcome::Reached);
        assert_eq!(far_bad.connect_tcp(to, TCP, QUICK), Outcome::TimedOut);
    }
    Ok(())
}
