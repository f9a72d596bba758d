//! The lab itself: does it link, serve, ask and tidy up? No agent runs here.

use std::{collections::BTreeMap, fs};

use netpol_e2e::lab::{
    Bystander, Family, HookSide, Lab, Link, Outcome, PATIENT, PodSpec, Probe, Protocol, QUICK,
    Result, Traffic, ask_all, skip, skipped_without_root, tcp_data_packet, tcx_programs,
    udp_packet,
};

/// Two pods with servers, on a link of that kind.
fn two_pods(link: Link) -> Result<Lab> {
    let mut lab = Lab::new(link)?;
    lab.add_pods(vec![
        PodSpec::new("shop/web").label("app", "web"),
        PodSpec::new("shop/db")
            .label("app", "db")
            .port("sql", Protocol::Tcp, 5432),
    ])?;
    lab.pod("shop/db").serve_tcp(5432)?;
    lab.pod("shop/db").serve_udp(5353)?;
    lab.outside().serve_tcp(443)?;
    Ok(lab)
}

#[test]
fn everybody_reaches_everybody_on_both_links_and_families() -> Result<()> {
    if skipped_without_root("everybody_reaches_everybody") {
        return Ok(());
    }
    for link in Link::ALL {
        let lab = two_pods(link)?;
        let (web, db, outside) = (lab.pod("shop/web"), lab.pod("shop/db"), lab.outside());
        let mut probes = Vec::new();
        for family in Family::BOTH {
            let mut ask = |from, to: &netpol_e2e::lab::Host, traffic| {
                probes.push(Probe {
                    from,
                    to: to.addresses().of(family),
                    traffic,
                    timeout: PATIENT,
                });
            };
            for from in [&web, &outside, lab.node(), &db] {
                ask(from.clone(), &db, Traffic::tcp(5432));
                ask(from.clone(), &db, Traffic::udp(5353));
                ask(from.clone(), &db, Traffic::Ping);
                ask(from.clone(), &outside, Traffic::tcp(443));
                ask(from.clone(), &web, Traffic::Ping);
            }
        }
        for (probe, asked) in probes.iter().zip(ask_all(&probes)) {
            let (from, to, traffic) = (probe.from.name(), probe.to, probe.traffic);
            assert_eq!(
                asked.outcome,
                Outcome::Reached,
                "{link}: {from} {to} {traffic}"
            );
        }
    }
    Ok(())
}

#[test]
fn outcomes_are_told_apart() -> Result<()> {
    if skipped_without_root("outcomes_are_told_apart") {
        return Ok(());
    }
    let lab = two_pods(Link::PointToPoint)?;
    let web = lab.pod("shop/web");
    for family in Family::BOTH {
        let db = lab.pod("shop/db").addresses().of(family);
        assert_eq!(web.connect_tcp(db, 81, PATIENT), Outcome::Refused);
        assert_eq!(web.ask(db, Traffic::udp(81), PATIENT), Outcome::Refused);
    }
    let nowhere = "192.0.2.1".parse().expect("an address");
    assert_eq!(web.ping(nowhere, PATIENT), Outcome::Unreachable);
    lab.node()
        .run("ip", &["route", "add", "blackhole", "192.0.2.2"])?;
    let hole = "192.0.2.2".parse().expect("an address");
    let node_drops = ["-6", "route", "add", "blackhole", "2001:db8::2"];
    lab.node().run("ip", &node_drops)?;
    assert_ne!(web.ping(hole, QUICK), Outcome::Reached);
    let hole = "2001:db8::2".parse().expect("an address");
    assert_ne!(web.connect_tcp(hole, 80, QUICK), Outcome::Reached);
    Ok(())
}

#[test]
fn servers_say_who_they_are_and_whom_they_see() -> Result<()> {
    if skipped_without_root("servers_say_who_they_are") {
        return Ok(());
    }
    let lab = two_pods(Link::Bridge)?;
    let (web, db) = (lab.pod("shop/web"), lab.pod("shop/db"));
    for family in Family::BOTH {
        let to = db.addresses().of(family);
        let mut connection = web
            .open_from(4000, to, 5432, PATIENT)
            .expect("a connection");
        assert_eq!(connection.answer().by, "shop/db");
        let seen_as = connection.answer().seen_as;
        assert_eq!(seen_as.ip(), web.addresses().of(family));
        assert_eq!(seen_as.port(), 4000);
        for _ in 0..3 {
            assert_eq!(connection.echo(PATIENT), Outcome::Reached);
        }
        connection.reset();
        let again = web.open_from(4000, to, 5432, PATIENT);
        assert!(again.is_ok(), "the port is free at once");
        assert_eq!(
            web.ask_udp(to, 5353, PATIENT).expect("an answer").by,
            "shop/db"
        );
    }
    let arrivals = db.arrivals();
    let of = |protocol| arrivals.iter().filter(|a| a.protocol == protocol).count();
    assert_eq!((of(Protocol::Tcp), of(Protocol::Udp)), (4, 2));
    Ok(())
}

#[test]
fn packets_made_by_hand_are_seen_where_they_arrive() -> Result<()> {
    if skipped_without_root("packets_made_by_hand") {
        return Ok(());
    }
    let lab = two_pods(Link::PointToPoint)?;
    let (web, db) = (lab.pod("shop/web"), lab.pod("shop/db"));
    let tap = db.tap(|seen| seen.src.port() == 7777)?;
    for (family, forged) in Family::BOTH
        .into_iter()
        .zip(["198.51.100.1", "2001:db8::1"])
    {
        let to = db.addresses().of(family);
        let src = (
            forged.parse::<std::net::IpAddr>().expect("an address"),
            7777,
        )
            .into();
        for packet in [
            udp_packet(src, (to, 5353).into(), b"hello"),
            tcp_data_packet(src, (to, 5432).into()),
        ] {
            let packet = packet.expect("a packet");
            web.send_raw(&packet, to).expect("sent");
        }
    }
    assert_eq!(tap.seen().len(), 4, "{:?}", tap.seen());
    Ok(())
}

#[test]
fn a_bystander_counts_on_either_hook_and_passes_packets_on() -> Result<()> {
    if skipped_without_root("a_bystander_counts") {
        return Ok(());
    }
    let lab = two_pods(Link::PointToPoint)?;
    let (web, db) = (lab.pod("shop/web"), lab.pod("shop/db"));
    let mut attached = Vec::new();
    for side in HookSide::BOTH {
        let interface = db.interface();
        let filter = Bystander::attach_clsact(lab.node(), interface, side, 10, &lab.bpffs())?;
        attached.push(filter);
        match Bystander::attach_tcx(lab.node(), interface, side) {
            Ok(link) => {
                assert_eq!(tcx_programs(lab.node(), interface, side)?, [link.id()?]);
                attached.push(link);
            }
            Err(error) => skip("a_bystander_counts (TCX)", &error.to_string()),
        }
    }
    assert_eq!(
        web.connect_tcp(db.addresses().v4.into(), 5432, PATIENT),
        Outcome::Reached
    );
    for bystander in &attached {
        assert!(bystander.packets()? >= 3);
    }
    Ok(())
}

#[test]
fn pods_come_and_go_and_an_address_is_used_again() -> Result<()> {
    if skipped_without_root("pods_come_and_go") {
        return Ok(());
    }
    for link in Link::ALL {
        let mut lab = two_pods(link)?;
        let web = lab.pod("shop/web");
        let gone = lab.pod("shop/db");
        lab.remove_pod("shop/db")?;
        let address = gone.addresses().v4.into();
        assert_ne!(web.ping(address, QUICK), Outcome::Reached);

        let heir = PodSpec::new("other/heir")
            .at(gone.addresses())
            .interface(gone.interface());
        lab.add_pod(heir)?.serve_tcp(5432)?;
        let connection = web.open(address, 5432, PATIENT).expect("a connection");
        assert_eq!(connection.answer().by, "other/heir", "{link}");
    }
    Ok(())
}

#[test]
fn a_pod_on_another_node_is_reached_too() -> Result<()> {
    if skipped_without_root("a_pod_on_another_node") {
        return Ok(());
    }
    let mut lab = two_pods(Link::Bridge)?;
    let far = lab.add_pod(PodSpec::new("shop/far").on_another_node())?;
    far.serve_tcp(80)?;
    for to in far.addresses().both() {
        let outcome = lab.pod("shop/web").connect_tcp(to, 80, PATIENT);
        assert_eq!(outcome, Outcome::Reached);
    }
    Ok(())
}

#[test]
fn manifests_describe_what_runs() -> Result<()> {
    if skipped_without_root("manifests_describe") {
        return Ok(());
    }
    let mut lab = two_pods(Link::Bridge)?;
    lab.namespace("shop", &[("team", "a")])?;
    lab.relabel("shop/web", &[("app", "other")])?;
    let mut objects = BTreeMap::new();
    for entry in fs::read_dir(lab.manifests().dir()).expect("the directory") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a file");
        let object: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        objects.insert(
            path.file_name().map(|n| n.to_string_lossy().into_owned()),
            object,
        );
    }
    let object = |name: &str| &objects[&Some(name.to_owned())];
    assert_eq!(
        object("pod-shop.web.json")["metadata"]["labels"]["app"],
        "other"
    );
    let db = object("pod-shop.db.json");
    assert_eq!(db["spec"]["nodeName"], "node-1");
    assert_eq!(db["status"]["podIPs"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        object("namespace-shop.json")["metadata"]["labels"]["team"],
        "a"
    );
    assert_eq!(objects.len(), 4, "{:?}", objects.keys());
    Ok(())
}
