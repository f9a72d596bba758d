//! Connections that are open while the world around them changes.

use std::time::Duration;

use netpol_e2e::{
    lab::{
        Connection, Family, Host, Link, Outcome, PATIENT, QUICK, Result, Wiretap,
        skipped_without_root, tcp_data_packet,
    },
    shop::{self, Shop, TCP, UDP},
};

/// TCP sends what was lost again, later each time; after a while of refusal that may be seconds.
const RETRANSMISSION: Duration = Duration::from_secs(8);
/// A port of a client that chooses its own.
const CLIENT_PORT: u16 = 40_000;

fn connect(from: &Host, shop: &Shop, family: Family) -> Connection {
    from.open(shop.server(family), TCP, PATIENT)
        .unwrap_or_else(|outcome| panic!("{} {family}: {outcome}", from.name()))
}

/// Watches what reaches the server from one host: everything with ports, so not its neighbour
/// discovery.
fn tap(shop: &Shop, from: &Host) -> Result<Wiretap> {
    let addresses = from.addresses();
    shop.pod("server")
        .tap(move |seen| addresses.contains(seen.src.ip()) && seen.dst.port() != 0)
}

/// The next packet of a connection, and all that TCP sends again, stay away from the server.
fn assert_cut(shop: &Shop, connection: &mut Connection, from: &Host, context: &str) -> Result<()> {
    let tap = tap(shop, from)?;
    assert_eq!(connection.echo(QUICK), Outcome::TimedOut, "{context}");
    assert_eq!(
        tap.seen(),
        [],
        "{context}: packets of a forbidden connection"
    );
    Ok(())
}

#[test]
fn a_tightened_policy_cuts_what_it_forbids_and_nothing_else() -> Result<()> {
    if skipped_without_root("a_tightened_policy_cuts") {
        return Ok(());
    }
    for link in Link::ALL {
        let mut shop = Shop::enforcing(link, &shop::admit(&["good", "bad"]))?;
        let (good, bad) = (shop.pod("good"), shop.pod("bad"));
        for family in Family::BOTH {
            let context = format!("{link}, {family}");
            let mut allowed = connect(&good, &shop, family);
            let mut forbidden = connect(&bad, &shop, family);
            assert_eq!(forbidden.echo(PATIENT), Outcome::Reached, "{context}");

            shop.apply(&shop::admit(&["good"]))?;
            assert_cut(&shop, &mut forbidden, &bad, &context)?;
            assert_eq!(allowed.echo(PATIENT), Outcome::Reached, "{context}");

            shop.apply(&shop::admit(&["good", "bad"]))?;
            let new = bad.connect_tcp(shop.server(family), TCP, PATIENT);
            assert_eq!(new, Outcome::Reached, "{context}: a new one at once");
            let old = forbidden.echo(RETRANSMISSION);
            assert_eq!(old, Outcome::Reached, "{context}: the old one lives again");
            assert_eq!(allowed.echo(PATIENT), Outcome::Reached, "{context}");
        }
    }
    Ok(())
}

#[test]
fn udp_flows_are_cut_and_go_on_alike() -> Result<()> {
    if skipped_without_root("udp_flows_are_cut") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good", "bad"]))?;
    for family in Family::BOTH {
        let sockets = ["good", "bad"].map(|name| {
            let socket = shop.pod(name).udp_to(shop.udp(family)).expect("a socket");
            socket.set_read_timeout(Some(QUICK)).expect("a time-out");
            socket
        });
        let answered = || {
            sockets.each_ref().map(|socket| {
                let sent = socket.send(b"who").is_ok();
                sent && socket.recv(&mut [0; 512]).is_ok()
            })
        };
        assert_eq!(answered(), [true, true], "{family}");
        shop.apply(&shop::admit(&["good"]))?;
        assert_eq!(answered(), [true, false], "{family}");
        shop.apply(&shop::admit(&["good", "bad"]))?;
        assert_eq!(answered(), [true, true], "{family}");
    }
    Ok(())
}

#[test]
fn the_egress_side_cuts_too() -> Result<()> {
    if skipped_without_root("the_egress_side_cuts") {
        return Ok(());
    }
    let open = [shop::egress("good"), shop::egress("bad")].concat();
    let tight = [shop::egress("good"), shop::deny("bad", "Egress")].concat();
    let mut shop = Shop::enforcing(Link::Bridge, &open)?;
    let (good, bad) = (shop.pod("good"), shop.pod("bad"));
    let mut allowed = connect(&good, &shop, Family::V4);
    let mut forbidden = connect(&bad, &shop, Family::V4);
    shop.apply(&tight)?;
    assert_cut(&shop, &mut forbidden, &bad, "egress")?;
    assert_eq!(allowed.echo(PATIENT), Outcome::Reached);
    Ok(())
}

#[test]
fn a_peer_that_changes_its_labels_is_judged_by_the_new_ones() -> Result<()> {
    if skipped_without_root("a_peer_that_changes_its_labels") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good"]))?;
    let (good, bad) = (shop.pod("good"), shop.pod("bad"));
    for family in Family::BOTH {
        let mut was_good = connect(&good, &shop, family);
        shop.lab.relabel("shop/good", &[("app", "fallen")])?;
        shop.lab.relabel("shop/bad", &[("app", "good")])?;
        shop.agent.wait_ready()?;
        assert_cut(&shop, &mut was_good, &good, "the fallen")?;
        let mut risen = connect(&bad, &shop, family);

        shop.lab.relabel("shop/good", &[("app", "good")])?;
        shop.lab.relabel("shop/bad", &[("app", "bad")])?;
        shop.agent.wait_ready()?;
        assert_eq!(was_good.echo(RETRANSMISSION), Outcome::Reached);
        assert_cut(&shop, &mut risen, &bad, "the risen")?;
    }
    Ok(())
}

#[test]
fn a_namespace_that_changes_its_labels_takes_its_pods_along() -> Result<()> {
    if skipped_without_root("a_namespace_that_changes_its_labels") {
        return Ok(());
    }
    let by_team = shop::ingress(
        "by-team",
        "namespaceSelector: {matchLabels: {team: a}}, podSelector: {matchLabels: {app: good}}",
    );
    let mut shop = Shop::enforcing(Link::PointToPoint, &by_team)?;
    let good = shop.pod("good");
    let to = shop.server(Family::V4);
    assert_eq!(good.connect_tcp(to, TCP, QUICK), Outcome::TimedOut);
    shop.lab.namespace("shop", &[("team", "a")])?;
    shop.agent.wait_ready()?;
    let mut connection = connect(&good, &shop, Family::V4);
    shop.lab.namespace("shop", &[("team", "b")])?;
    shop.agent.wait_ready()?;
    assert_cut(&shop, &mut connection, &good, "another team")
}

#[test]
fn the_first_policy_keeps_open_connections_it_allows_and_cuts_the_others() -> Result<()> {
    if skipped_without_root("the_first_policy_keeps") {
        return Ok(());
    }
    for link in Link::ALL {
        let mut shop = Shop::enforcing(link, "")?;
        let (good, bad) = (shop.pod("good"), shop.pod("bad"));
        for family in Family::BOTH {
            // Nothing is isolated, so nothing is tracked.
            shop.apply("")?;
            let mut allowed = connect(&good, &shop, family);
            let mut forbidden = connect(&bad, &shop, family);
            let both_ends = [shop::admit(&["good"]), shop::egress("good")].concat();
            shop.apply(&both_ends)?;
            let context = format!("{link}, {family}");
            assert_cut(&shop, &mut forbidden, &bad, &context)?;
            assert_eq!(allowed.echo(PATIENT), Outcome::Reached, "{context}");
        }
    }
    Ok(())
}

#[test]
fn a_new_syn_on_the_ports_of_an_old_connection_is_judged_anew() -> Result<()> {
    if skipped_without_root("a_new_syn_on_the_ports") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good", "bad"]))?;
    let bad = shop.pod("bad");
    for family in Family::BOTH {
        let to = shop.server(family);
        let open = |timeout| bad.open_from(CLIENT_PORT, to, TCP, timeout);
        let first = open(PATIENT).expect("a connection");
        // Ends without the server's knowledge of a FIN exchange: one reset, and the port is free.
        first.reset();
        shop.apply(&shop::admit(&["good"]))?;
        assert_eq!(
            open(QUICK).err(),
            Some(Outcome::TimedOut),
            "{family}: denied now"
        );
        shop.apply(&shop::admit(&["good", "bad"]))?;
        let second = open(PATIENT).expect("allowed again, from the same port");

        // A connection that was cut leaves no trace in the way of the next either.
        shop.apply(&shop::admit(&["good"]))?;
        second.reset();
        assert_eq!(open(QUICK).err(), Some(Outcome::TimedOut), "{family}");
        shop.apply(&shop::admit(&["good", "bad"]))?;
        // The server never saw that reset: it answers the first SYN for its old connection, and
        // only the next one anew.
        let third = open(RETRANSMISSION).expect("allowed again after a cut");
        third.reset();
    }
    Ok(())
}

#[test]
fn the_heir_of_an_address_inherits_no_connection() -> Result<()> {
    if skipped_without_root("the_heir_of_an_address") {
        return Ok(());
    }
    for link in Link::ALL {
        let mut shop = Shop::enforcing(link, &shop::admit(&["good"]))?;
        let good = shop.pod("good");
        let mut held = Vec::new();
        for family in Family::BOTH {
            let connection = good.open_from(CLIENT_PORT, shop.server(family), TCP, PATIENT);
            held.push(connection.expect("a connection"));
            good.ask_udp(shop.server(family), UDP, PATIENT)
                .expect("an answer");
        }
        // Gone without a FIN: the connections are still held when the link is cut.
        shop.lab.remove_pod("shop/good")?;
        drop(held);
        let heir = shop::pod("bad-heir")
            .at(good.addresses())
            .interface(good.interface());
        let heir = shop.lab.add_pod(heir)?;
        shop.agent.wait_ready()?;

        let tap = tap(&shop, &heir)?;
        for family in Family::BOTH {
            let (own, to) = (heir.addresses().of(family), shop.tcp(family));
            let middle = tcp_data_packet((own, CLIENT_PORT).into(), to).expect("a packet");
            heir.send_raw(&middle, to.ip()).expect("sent");
            let again = heir.open_from(CLIENT_PORT, to.ip(), TCP, QUICK);
            assert_eq!(again.err(), Some(Outcome::TimedOut), "{link}, {family}");
            let asked = heir.ask_udp(to.ip(), UDP, QUICK);
            assert_eq!(asked, Err(Outcome::TimedOut), "{link}, {family}");
        }
        assert_eq!(tap.seen(), [], "{link}");
    }
    Ok(())
}

#[test]
fn a_server_on_a_reused_address_and_interface_starts_with_its_own_policy() -> Result<()> {
    if skipped_without_root("a_server_on_a_reused_address") {
        return Ok(());
    }
    let policies = [
        shop::admit(&["good"]),
        shop::deny("vault", "Ingress, Egress"),
    ]
    .concat();
    let mut shop = Shop::enforcing(Link::PointToPoint, &policies)?;
    let (good, server) = (shop.pod("good"), shop.pod("server"));
    let held = good.open_from(CLIENT_PORT, shop.server(Family::V4), TCP, PATIENT);
    assert!(held.is_ok());
    shop.lab.remove_pod("shop/server")?;
    let vault = shop::pod("vault")
        .at(server.addresses())
        .interface(server.interface());
    let vault = shop.lab.add_pod(vault)?;
    vault.serve_tcp(TCP)?;
    shop.agent.wait_ready()?;

    let tap = vault.tap(|seen| seen.dst.port() == TCP)?;
    for to in vault.addresses().both() {
        assert_eq!(good.connect_tcp(to, TCP, QUICK), Outcome::TimedOut);
        assert_eq!(good.ping(to, QUICK), Outcome::TimedOut);
    }
    assert_eq!(tap.seen(), []);
    Ok(())
}
