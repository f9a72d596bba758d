//! Tables that fill: who notices, what it costs, and what is counted.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
    process::Command,
    time::{Duration, Instant},
};

use aya::maps::MapData;
use netpol_api::{CounterRow, Endpoint, RuleRef, Status};
use netpol_datapath::build::{packet, tcp};
use netpol_e2e::{
    lab::{
        Connection, Family, Host, Link, Outcome, PATIENT, QUICK, Result, skip, skipped_without_root,
    },
    shop::{self, Shop, TCP},
};

/// Connections without an answer that the node's table holds, of each family.
const NEW: u64 = 256;
/// Connections that the flood opens.
const FLOOD: u16 = 1000;

fn arguments() -> Vec<String> {
    vec!["--max-new-connections".to_owned(), NEW.to_string()]
}

/// A shop where all of `good` and `bad` is tracked, and the server answers `good` alone.
fn flooded_shop(link: Link) -> Result<Shop> {
    let mut shop = Shop::new(link)?;
    let policies = [
        shop::admit(&["good"]),
        shop::egress("good"),
        shop::egress("bad"),
    ];
    shop.lab
        .manifests()
        .write(shop::POLICIES, &policies.concat())?;
    let arguments = arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    shop.agent.set_arguments(&arguments);
    shop.agent.start()?;
    Ok(shop)
}

/// SYNs of so many connections, which nobody answers.
fn flood(from: &Host, to: IpAddr, family: Family) {
    let source = from.addresses().of(family);
    for port in 10_000..10_000 + FLOOD {
        let frame = packet(source, to).tcp(port, TCP, tcp::SYN);
        from.send_raw(&frame[14..], to).expect("sent");
    }
}

fn endpoint(shop: &Shop, name: &str) -> Result<Endpoint> {
    let status: Status = shop.agent.ctl().json(&["status"])?;
    let endpoint = status.endpoints.into_iter().find(|e| e.pod.name == name);
    Ok(endpoint.expect("the pod is an endpoint"))
}

fn fill(shop: &Shop, table: &str) -> Result<(u64, u64)> {
    let status: Status = shop.agent.ctl().json(&["status"])?;
    let fill = status.tables.into_iter().find(|fill| fill.table == table);
    let fill = fill.expect("the table is shown");
    Ok((fill.used, fill.capacity))
}

#[test]
fn a_flood_of_one_pod_uses_up_its_own_share_and_nobody_elses() -> Result<()> {
    if skipped_without_root("a_flood_of_one_pod") {
        return Ok(());
    }
    for (link, family, table) in [
        (Link::PointToPoint, Family::V4, "CONNTRACK_NEW_V4"),
        (Link::Bridge, Family::V6, "CONNTRACK_NEW_V6"),
    ] {
        let context = format!("{link}, {family}");
        let mut shop = flooded_shop(link)?;
        let (good, bad, server) = (shop.pod("good"), shop.pod("bad"), shop.server(family));
        let mut held = good.open(server, TCP, PATIENT).expect("a connection");
        flood(&bad, server, family);

        let flooder = endpoint(&shop, "bad")?.connections;
        // Half of the table; less where the first ones are over before the last are sent.
        let half = NEW / 4..=NEW / 2;
        assert!(half.contains(&flooder.new), "{context}: {flooder:?}");
        assert!(flooder.refused > NEW, "{context}: {flooder:?}");
        let (used, capacity) = fill(&shop, table)?;
        assert_eq!(capacity, NEW, "{context}");
        assert!(used <= NEW / 2 + 2, "{context}: {used} used");
        for number in 0..40 {
            let new = good.connect_tcp(server, TCP, PATIENT);
            assert_eq!(new, Outcome::Reached, "{context}: new one {number}");
            assert_eq!(held.echo(PATIENT), Outcome::Reached, "{context}");
        }
        assert_eq!(endpoint(&shop, "good")?.connections.refused, 0, "{context}");
        let text = shop.agent.ctl().output(&["status"])?.stdout;
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("Connections without room"), "{text}");
        assert!(text.contains("shop/bad"), "{context}: {text}");
        let share = "the pod's share of the connection table is used up";
        assert!(text.contains(share), "{context}: {text}");

        // The next agent counts on from there.
        shop.agent.restart()?;
        let later = endpoint(&shop, "bad")?.connections;
        assert_eq!(later.refused, flooder.refused, "{context}");
        assert_eq!(held.echo(PATIENT), Outcome::Reached, "{context}");
        // What nobody answers has less time while its endpoint holds so much. On a slow machine some are over before,
        // and what is left is too little for that.
        let deadline = Instant::now() + Duration::from_secs(60);
        while endpoint(&shop, "bad")?.connections.new > 0 {
            assert!(Instant::now() < deadline, "{context}: the flood stays");
            std::thread::sleep(Duration::from_millis(100));
        }
        flood(&bad, server, family);
        let again = endpoint(&shop, "bad")?.connections;
        assert!(half.contains(&again.new), "{context}: {again:?}");
    }
    Ok(())
}

#[test]
fn a_connection_that_a_change_cuts_is_counted_once_under_that_change() -> Result<()> {
    if skipped_without_root("a_connection_that_a_change_cuts") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good", "bad"]))?;
    let (good, bad, server) = (shop.pod("good"), shop.pod("bad"), shop.server(Family::V4));
    let open = |host: &Host| host.open(server, TCP, PATIENT).expect("a connection");
    let mut kept = open(&good);
    let mut forbidden = [open(&bad), open(&bad)];

    shop.apply(&shop::admit(&["good"]))?;
    for connection in &mut forbidden {
        assert_eq!(connection.echo(QUICK), Outcome::TimedOut);
    }
    assert_eq!(kept.echo(PATIENT), Outcome::Reached);
    let (cut, packets) = cut_by_default_deny(&shop)?;
    assert_eq!(cut, 2);
    assert!(packets > 2, "{packets} packets: TCP sends again");
    let text = shop.agent.ctl().text(&["stats"])?;
    assert!(text.contains("CUT"), "{text}");

    // An unrelated change cuts nothing, and counts nothing again.
    let unrelated = [shop::admit(&["good"]), shop::egress("good")].concat();
    shop.apply(&unrelated)?;
    assert_eq!(forbidden[0].echo(QUICK), Outcome::TimedOut);
    assert_eq!(kept.echo(PATIENT), Outcome::Reached);
    assert_eq!(cut_by_default_deny(&shop)?.0, 2);
    Ok(())
}

/// Connections cut, and packets dropped, under the default deny of the server's policy.
fn cut_by_default_deny(shop: &Shop) -> Result<(u64, u64)> {
    let rows: Vec<CounterRow> = shop.agent.ctl().json(&["stats"])?;
    let denies = rows.iter().filter(|row| match &row.rule {
        RuleRef::DefaultDeny { policies, .. } => policies.iter().any(|p| p.name == "server-in"),
        _ => false,
    });
    Ok(denies.fold((0, 0), |(cut, packets), row| {
        (cut + row.connections_cut, packets + row.packets)
    }))
}

#[test]
fn without_its_last_policy_a_pods_connections_live_on_and_are_judged_when_one_is_back() -> Result<()>
{
    if skipped_without_root("without_its_last_policy") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::Bridge, &shop::admit(&["good", "bad"]))?;
    for family in Family::BOTH {
        shop.apply(&shop::admit(&["good", "bad"]))?;
        let (good, bad, server) = (shop.pod("good"), shop.pod("bad"), shop.server(family));
        let mut kept = good.open(server, TCP, PATIENT).expect("a connection");
        let mut cut = bad.open(server, TCP, PATIENT).expect("a connection");
        shop.apply("")?;
        let both = |one: &mut Connection, other: &mut Connection, wait| {
            (one.echo(PATIENT), other.echo(wait))
        };
        let reached = (Outcome::Reached, Outcome::Reached);
        assert_eq!(both(&mut kept, &mut cut, PATIENT), reached, "{family}");
        // Opened while nothing is tracked.
        let mut untracked = bad.open(server, TCP, PATIENT).expect("a connection");

        shop.apply(&shop::admit(&["good"]))?;
        let one = (Outcome::Reached, Outcome::TimedOut);
        assert_eq!(both(&mut kept, &mut cut, QUICK), one, "{family}");
        assert_eq!(untracked.echo(QUICK), Outcome::TimedOut, "{family}");
        let new = good.connect_tcp(server, TCP, PATIENT);
        assert_eq!(new, Outcome::Reached, "{family}");
        assert_eq!(bad.connect_tcp(server, TCP, QUICK), Outcome::TimedOut);
    }
    Ok(())
}

#[test]
fn preflight_tells_what_the_kernel_says_that_the_maps_take() -> Result<()> {
    if skipped_without_root("preflight_tells") {
        return Ok(());
    }
    let shop = flooded_shop(Link::PointToPoint)?;
    let agent = std::env::var_os("NETPOL_AGENT").expect("the tasks say where the agent is");
    let output = Command::new(agent)
        .args(["preflight", "-o", "json"])
        .args(arguments())
        .output()
        .expect("preflight runs");
    let findings: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("preflight says JSON");
    let tables = findings.as_array().and_then(|findings| {
        let of_tables = findings.iter().find(|finding| finding["check"] == "tables");
        of_tables?["tables"].as_array().cloned()
    });
    let told: BTreeMap<String, [u64; 2]> = tables
        .expect("the finding lists the maps")
        .iter()
        .map(|map| {
            let name = map["map"].as_str().expect("a name").to_owned();
            let bytes = ["at_once", "full"].map(|member| map[member].as_u64().expect("bytes"));
            (name, bytes)
        })
        .collect();
    let mut compared = 0;
    for (name, [at_once, full]) in &told {
        let Some(Kernel { bytes, content }) = kernel_bytes(&shop, name) else {
            continue;
        };
        if name.starts_with("CONNTRACK") && bytes == content {
            // Linux 5.11 to 6.3.
            skip(
                "preflight_tells",
                "this kernel tells what keys and values take, and no more",
            );
            return Ok(());
        }
        let kernel = bytes;
        println!("{name}: {at_once} to {full} bytes told, {kernel} by the kernel");
        if *at_once > 1 << 20 {
            // Maps that fill later hold something already; the kernel adds its bookkeeping. Before Linux 5.11 it
            // told what a map takes when it is full.
            let alike = |told: u64| (0.8..1.05).contains(&(told as f64 / kernel as f64));
            assert!(
                alike(*at_once) || alike(*full),
                "{name}: {at_once} to {full}, {kernel}"
            );
            compared += 1;
        }
    }
    assert!(compared >= 5, "{compared} maps compared");
    Ok(())
}

/// What a pinned map takes.
struct Kernel {
    /// In the kernel's words.
    bytes: u64,
    /// Its keys and values, if it is full, in whole pages.
    content: u64,
}

fn kernel_bytes(shop: &Shop, name: &str) -> Option<Kernel> {
    let versions = fs::read_dir(shop.agent.bpffs()).expect("the pins");
    let mut paths = versions.map(|entry| entry.expect("a directory").path().join("maps"));
    let path = paths.find(|path| path.join(name).exists())?.join(name);
    let map = MapData::from_pin(path).expect("open the pin");
    let fd = map.fd().as_fd().as_raw_fd();
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("fdinfo");
    let number = |name: &str| -> Option<u64> {
        let line = told.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let element = number("key_size:")? + number("value_size:")?;
    Some(Kernel {
        bytes: number("memlock:")?,
        content: (number("max_entries:")? * element).next_multiple_of(4096),
    })
}
