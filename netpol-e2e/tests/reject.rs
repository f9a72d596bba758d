//! What policies refuse, answered: RST and "port unreachable", over every kind of link, whoever sums
//! up the packets.

use std::net::IpAddr;

use netpol_e2e::{
    lab::{Family, Host, Lab, Link, Outcome, PATIENT, QUICK, Result, skip, skipped_without_root},
    scenario::examples_dir,
    shop::{self, Shop, TCP, UDP},
};
use serde_json::json;

/// Nobody may reach the server, and `bad` nobody.
fn closed() -> String {
    [shop::deny("server", "Ingress"), shop::deny("bad", "Egress")].concat()
}

fn rejecting(link: Link, policies: &str, arguments: &[&str]) -> Result<Shop> {
    let mut shop = Shop::new(link)?;
    shop.lab.manifests().write(shop::POLICIES, policies)?;
    shop.agent.set_arguments(arguments);
    shop.agent.start()?;
    Ok(shop)
}

/// What comes of TCP, UDP and ping.
fn outcomes(from: &Host, to: IpAddr) -> [Outcome; 3] {
    let udp = from.ask_udp(to, UDP, PATIENT);
    [
        from.connect_tcp(to, TCP, PATIENT),
        udp.map_or_else(|outcome| outcome, |_| Outcome::Reached),
        from.ping(to, PATIENT),
    ]
}

/// Annotates the shop's namespace.
fn annotate(lab: &Lab, namespace: &str, value: &str) -> Result<()> {
    let object = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": namespace,
            "labels": {"kubernetes.io/metadata.name": namespace},
            "annotations": {"netpol.io/refuse": value, "other": "ignored"},
        },
    });
    lab.manifests()
        .write_object(&format!("namespace-{namespace}.json"), &object)
}

const REFUSED: [Outcome; 3] = [Outcome::Refused; 3];

#[test]
fn refusals_are_answered_over_every_link_and_hook_whoever_sums_up() -> Result<()> {
    if skipped_without_root("refusals_are_answered") {
        return Ok(());
    }
    for link in Link::ALL {
        for hook in ["auto", "clsact"] {
            let shop = rejecting(link, &closed(), &["--reject", "--hook", hook])?;
            let [server, good, bad] = ["server", "good", "bad"].map(|name| shop.pod(name));
            let outside = shop.lab.outside();
            let node = shop.lab.node();
            // The sender's stack sums up, or leaves it; so does the node's where the answer
            // leaves it.
            for (at_sender, at_node) in [(true, true), (true, false), (false, true), (false, false)]
            {
                for host in [&good, &bad, &outside] {
                    host.offload_checksums("eth0", at_sender)?;
                    node.offload_checksums(host.interface(), at_node)?;
                }
                for family in Family::BOTH {
                    let context = format!("{link}, {hook}, {family}, {at_sender}, {at_node}");
                    let to = server.addresses().of(family);
                    assert_eq!(outcomes(&good, to), REFUSED, "pod to pod: {context}");
                    assert_eq!(outcomes(&outside, to), REFUSED, "from outside: {context}");
                    let to = good.addresses().of(family);
                    assert_eq!(outcomes(&bad, to), REFUSED, "from the pod: {context}");
                    let to = outside.addresses().of(family);
                    assert_eq!(outcomes(&bad, to), REFUSED, "to outside: {context}");
                }
            }
            let status = shop.agent.ctl().text(&["status"])?;
            assert!(!status.contains("made no answer"), "{status}");
        }
    }
    Ok(())
}

#[test]
fn the_namespace_says_how_to_refuse_and_changes_its_mind_without_touching_connections() -> Result<()>
{
    if skipped_without_root("the_namespace_says_how") {
        return Ok(());
    }
    let policies = [shop::admit(&["good"]), shop::deny("bad", "Egress")].concat();
    let mut shop = Shop::enforcing(Link::PointToPoint, &policies)?;
    let (server, good, bad) = (shop.pod("server"), shop.pod("good"), shop.pod("bad"));
    let to = server.addresses().of(Family::V4);
    let mut open = good.open(to, TCP, PATIENT).expect("it is allowed");
    let ask = |from: &Host| from.connect_tcp(to, TCP, QUICK);
    for (value, expected) in [
        ("reject", Outcome::Refused),
        ("drop", Outcome::TimedOut),
        ("reject", Outcome::Refused),
        ("politely", Outcome::TimedOut),
    ] {
        annotate(&shop.lab, "shop", value)?;
        shop.agent.wait_ready()?;
        assert_eq!(ask(&bad), expected, "{value}");
        assert_eq!(ask(&shop.lab.outside()), expected, "{value}");
        assert_eq!(open.echo(PATIENT), Outcome::Reached, "{value}");
        let endpoints = shop.agent.ctl().text(&["endpoints"])?;
        assert_eq!(
            endpoints.contains("(reject)"),
            value == "reject",
            "{endpoints}"
        );
    }
    let status = shop.agent.ctl().text(&["status"])?;
    for part in [
        "Namespace shop",
        "netpol.io/refuse",
        "politely",
        "is dropped",
    ] {
        assert!(status.contains(part), "{part}: {status}");
    }
    let flows = shop.agent.ctl().text(&["flows", "--verdict", "deny"])?;
    assert!(
        flows.contains("reject") && flows.contains("deny"),
        "{flows}"
    );
    Ok(())
}

#[test]
fn a_cut_connection_is_reset_at_its_next_packet() -> Result<()> {
    if skipped_without_root("a_cut_connection_is_reset") {
        return Ok(());
    }
    for link in Link::ALL {
        let open = shop::admit(&["good", "bad"]);
        let mut shop = rejecting(link, &open, &["--reject"])?;
        for family in Family::BOTH {
            let to = shop.server(family);
            let (good, bad, outside) = (shop.pod("good"), shop.pod("bad"), shop.lab.outside());
            assert_eq!(outside.connect_tcp(to, TCP, PATIENT), Outcome::Refused);
            let mut stays = good.open(to, TCP, PATIENT).expect("it is allowed");
            let mut goes = bad.open(to, TCP, PATIENT).expect("it is allowed");
            shop.apply(&shop::admit(&["good"]))?;
            assert_eq!(goes.echo(PATIENT), Outcome::Refused, "{link}, {family}");
            assert_eq!(stays.echo(PATIENT), Outcome::Reached, "{link}, {family}");
            shop.apply(&open)?;
        }
    }
    Ok(())
}

#[test]
fn answers_find_the_way_back_through_address_translation() -> Result<()> {
    if skipped_without_root("answers_find_the_way_back") {
        return Ok(());
    }
    let service: IpAddr = [10, 96, 0, 10].into();
    for link in Link::ALL {
        let shop = rejecting(link, &closed(), &["--reject"])?;
        let server = shop.pod("server").addresses().v4;
        let rules = format!(
            "table ip proxy {{
                chain pre {{
                    type nat hook prerouting priority dstnat;
                    ip daddr {service} dnat to {server};
                }}
                chain post {{
                    type nat hook postrouting priority srcnat;
                    ip saddr {} masquerade;
                }}
            }}",
            shop.lab.outside().addresses().v4
        );
        let path = shop.lab.manifests().dir().with_file_name("proxy.nft");
        std::fs::write(&path, rules).expect("write the rules");
        shop.lab
            .node()
            .run("nft", &["-f", &path.to_string_lossy()])?;
        for from in [shop.pod("good"), shop.lab.outside()] {
            assert_eq!(outcomes(&from, service), REFUSED, "{link}: {}", from.name());
        }
    }
    Ok(())
}

#[test]
fn the_second_scenario_with_real_ping_and_curl() -> Result<()> {
    if skipped_without_root("the_second_scenario") {
        return Ok(());
    }
    if !["/usr/bin/ping", "/usr/bin/curl"]
        .iter()
        .all(|p| std::path::Path::new(p).exists())
    {
        skip("the_second_scenario", "ping and curl are not installed");
        return Ok(());
    }
    let namespace = "wordpress-mysql";
    let mut lab = Lab::new(Link::Bridge)?;
    for name in ["wordpress", "mysql"] {
        let pod = netpol_e2e::lab::PodSpec::new(&format!("{namespace}/{name}")).label("app", name);
        lab.add_pod(pod)?;
    }
    let (wordpress, mysql) = (
        lab.pod("wordpress-mysql/wordpress"),
        lab.pod("wordpress-mysql/mysql"),
    );
    mysql.serve_tcp(80)?;
    mysql.serve_tcp(3306)?;
    let mut agent = lab.start_agent()?;
    let policies = examples_dir().join("wordpress/policies.yaml");
    lab.manifests().copy(&policies, "policies.yaml")?;
    agent.wait_ready()?;
    let to = mysql.addresses().v4;
    let ping = || said(&wordpress, "ping", &["-c", "1", "-W", "1", &to.to_string()]);
    let url = format!("http://{to}/");
    let curl = || said(&wordpress, "curl", &["-sv", "--max-time", "1", &url]);
    assert!(ping().contains("100% packet loss"), "{}", ping());
    assert!(!ping().contains("Unreachable"), "{}", ping());
    assert!(curl().contains("timed out"), "{}", curl());

    annotate(&lab, namespace, "reject")?;
    agent.wait_ready()?;
    assert!(
        ping().contains("Destination Port Unreachable"),
        "{}",
        ping()
    );
    assert!(curl().contains("Connection refused"), "{}", curl());
    assert_eq!(
        wordpress.connect_tcp(to.into(), 3306, PATIENT),
        Outcome::Reached
    );
    Ok(())
}

/// What a command writes, whatever its exit code.
fn said(host: &Host, program: &str, arguments: &[&str]) -> String {
    let run = || {
        std::process::Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .output()
    };
    let output = host
        .netns()
        .inside(run)
        .expect("the namespace")
        .expect(program);
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}
