//! Pods and manifests that come, go and change.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use netpol_api::{EndpointState, Status};
use netpol_e2e::{
    lab::{Family, Host, Link, Outcome, PATIENT, QUICK, Result, skipped_without_root},
    shop::{self, POLICIES, Shop, TCP, UDP},
};

/// "A change is in force within 100 ms of the write."
const IN_FORCE: Duration = Duration::from_millis(100);
/// How often a change is timed, and how many of them may be late: the machine has other things to
/// do as well.
const CHANGES: usize = 20;
const LATE: usize = 2;
/// For what the agent must notice by itself, without anybody waiting for it.
const NOTICE: Duration = Duration::from_secs(5);

fn status(shop: &Shop) -> Result<Status> {
    shop.agent.ctl().json(&["status"])
}

/// Waits until a condition holds.
fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + NOTICE;
    while !holds()? {
        assert!(Instant::now() < deadline, "not within {NOTICE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn assert_enforced(shop: &Shop, allowed: &Host, denied: &Host, context: &str) {
    for family in Family::BOTH {
        let to = shop.server(family);
        let good = allowed.connect_tcp(to, TCP, PATIENT);
        assert_eq!(good, Outcome::Reached, "{context}, {family}");
        let bad = denied.connect_tcp(to, TCP, QUICK);
        assert_eq!(bad, Outcome::TimedOut, "{context}, {family}");
    }
}

#[test]
fn pods_from_before_the_agent_are_found_on_both_links() -> Result<()> {
    if skipped_without_root("pods_from_before_the_agent") {
        return Ok(());
    }
    for link in Link::ALL {
        let shop = Shop::enforcing(link, &shop::admit(&["good"]))?;
        let context = link.to_string();
        assert_enforced(&shop, &shop.pod("good"), &shop.pod("bad"), &context);
        let status = status(&shop)?;
        assert!(status.enforcing, "{link}");
        for endpoint in &status.endpoints {
            assert_eq!(endpoint.state, EndpointState::Enforced, "{}", endpoint.pod);
            let host = shop.pod(&endpoint.pod.name);
            assert_eq!(endpoint.interface.as_deref(), Some(host.interface()));
        }
        assert_eq!(status.endpoints.len(), 3, "{link}");
    }
    Ok(())
}

#[test]
fn pods_from_after_the_start_are_found_whichever_comes_first() -> Result<()> {
    if skipped_without_root("pods_from_after_the_start") {
        return Ok(());
    }
    for link in Link::ALL {
        let policies = [shop::admit(&["good"]), shop::deny("vault", "Ingress")].concat();
        let mut shop = Shop::enforcing(link, &policies)?;
        let asker = shop.pod("good");

        // Interface first, object later.
        shop.lab.link_pods(vec![shop::pod("vault")])?;
        let vault = shop.pod("vault");
        vault.serve_tcp(TCP)?;
        shop.lab.announce_pod("shop/vault")?;
        shop.agent.wait_ready()?;
        for to in vault.addresses().both() {
            assert_eq!(
                asker.connect_tcp(to, TCP, QUICK),
                Outcome::TimedOut,
                "{link}"
            );
        }

        // Object first, interface later, under the address the object names.
        let spec = shop.lab.unlink_pod("shop/vault")?.at(vault.addresses());
        thread::sleep(Duration::from_millis(100));
        shop.lab.link_pods(vec![spec])?;
        let vault = shop.pod("vault");
        vault.serve_tcp(TCP)?;
        shop.agent.wait_ready()?;
        for to in vault.addresses().both() {
            assert_eq!(
                asker.connect_tcp(to, TCP, QUICK),
                Outcome::TimedOut,
                "{link}"
            );
        }
    }
    Ok(())
}

#[test]
fn an_interface_that_goes_and_comes_back_is_followed() -> Result<()> {
    if skipped_without_root("an_interface_that_goes") {
        return Ok(());
    }
    for link in Link::ALL {
        let mut shop = Shop::enforcing(link, &shop::admit(&["good"]))?;
        let server = shop.pod("server");
        for same_name in [true, false] {
            let mut spec = shop.lab.unlink_pod("shop/server")?.at(server.addresses());
            if same_name {
                spec = spec.interface(server.interface());
            }
            shop.lab.link_pods(vec![spec])?;
            let server = shop.pod("server");
            server.serve_tcp(TCP)?;
            // Nobody writes a manifest and nobody waits: netlink alone tells.
            let bad = shop.pod("bad");
            let to = shop.server(Family::V4);
            eventually("the new interface is closed to bad", || {
                Ok(bad.connect_tcp(to, TCP, QUICK) == Outcome::TimedOut)
            })?;
            shop.agent.wait_ready()?;
            let context = format!("{link}, same name: {same_name}");
            assert_enforced(&shop, &shop.pod("good"), &bad, &context);
        }
    }
    Ok(())
}

#[test]
fn a_pod_that_goes_leaves_the_status_and_its_interface_to_the_next() -> Result<()> {
    if skipped_without_root("a_pod_that_goes") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good"]))?;
    let server = shop.pod("server");
    shop.lab.remove_pod("shop/server")?;
    shop.agent.wait_ready()?;
    let pods = |status: Status| -> Vec<String> {
        let mut pods: Vec<String> = status.endpoints.into_iter().map(|e| e.pod.name).collect();
        pods.sort();
        pods
    };
    assert_eq!(pods(status(&shop)?), ["bad", "good"]);

    // An open pod on the interface and address of a closed one.
    let open = shop::pod("open")
        .at(server.addresses())
        .interface(server.interface());
    shop.lab.add_pod(open)?.serve_tcp(TCP)?;
    shop.agent.wait_ready()?;
    for to in server.addresses().both() {
        let outcome = shop.pod("bad").connect_tcp(to, TCP, PATIENT);
        assert_eq!(outcome, Outcome::Reached);
    }
    assert_eq!(pods(status(&shop)?), ["bad", "good", "open"]);
    Ok(())
}

#[test]
fn wait_says_so_when_a_pod_has_no_interface() -> Result<()> {
    if skipped_without_root("wait_says_so") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good"]))?;
    let spec = shop.lab.unlink_pod("shop/server")?;
    let refused = shop.agent.ctl().wait(QUICK);
    let error = refused.expect_err("a pod without an interface").to_string();
    assert!(error.contains("shop/server"), "{error}");
    shop.lab.link_pods(vec![spec])?;
    Ok(())
}

/// Asks until the answer is `wanted`; how long it took, at the most, from `since` to the first
/// question that got it.
fn until(asker: &Host, to: IpAddr, wanted: bool, since: Instant) -> Duration {
    const ANSWER: Duration = Duration::from_millis(30);
    loop {
        let asked = since.elapsed();
        let reached = asker.ask_udp(to, UDP, ANSWER).is_ok();
        if reached == wanted {
            return asked;
        }
        assert!(asked < NOTICE, "not in force within {NOTICE:?}");
    }
}

#[test]
fn a_change_is_in_force_within_100_ms_of_the_write() -> Result<()> {
    if skipped_without_root("a_change_is_in_force") {
        return Ok(());
    }
    let shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good"]))?;
    let bad = shop.pod("bad");
    let to = shop.server(Family::V4);
    let mut took = Vec::with_capacity(CHANGES);
    for change in 0..CHANGES {
        let open = change % 2 == 0;
        let apps: &[&str] = if open { &["good", "bad"] } else { &["good"] };
        shop.lab.manifests().write(POLICIES, &shop::admit(apps))?;
        took.push(until(&bad, to, open, Instant::now()));
    }
    took.sort();
    let late = took.iter().filter(|time| **time > IN_FORCE).count();
    println!("changes in force after {took:?}");
    assert!(late <= LATE, "{late} of {CHANGES} late: {took:?}");
    Ok(())
}

#[test]
fn a_broken_manifest_keeps_the_last_good_state_and_is_reported() -> Result<()> {
    if skipped_without_root("a_broken_manifest") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::Bridge, &shop::admit(&["good"]))?;
    let (good, bad) = (shop.pod("good"), shop.pod("bad"));
    let whole = shop::admit(&["good", "bad"]);
    // Within a bracket: shorter halves can be whole YAML.
    let half = &whole[..whole.find("operator").unwrap_or_default()];
    let no_yaml = "spec: [unclosed\n";
    for (what, text) in [("half a file", half), ("no YAML", no_yaml)] {
        shop.lab.manifests().write_in_place(POLICIES, text)?;
        eventually("status names the file", || {
            let invalid = status(&shop)?.invalid;
            Ok(invalid.iter().any(|one| {
                one.file
                    .as_deref()
                    .is_some_and(|file| file.ends_with(POLICIES))
            }))
        })?;
        assert_enforced(&shop, &good, &bad, what);
    }
    shop.apply(&whole)?;
    assert_eq!(status(&shop)?.invalid, []);
    let outcome = bad.connect_tcp(shop.server(Family::V6), TCP, PATIENT);
    assert_eq!(outcome, Outcome::Reached);
    Ok(())
}

#[test]
fn a_duplicate_is_reported_and_changes_nothing() -> Result<()> {
    if skipped_without_root("a_duplicate_is_reported") {
        return Ok(());
    }
    let shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good"]))?;
    // The same policy, of the same name, in another file: which of the two is meant nobody can
    // know.
    let other = shop::admit(&["good", "bad"]);
    shop.lab.manifests().write("second.yaml", &other)?;
    eventually("status names the duplicate", || {
        let invalid = status(&shop)?.invalid;
        let names = |one: &netpol_api::InvalidObject| {
            one.object
                .as_deref()
                .is_some_and(|object| object.contains("server-in"))
        };
        Ok(invalid.iter().any(names))
    })?;
    assert_enforced(&shop, &shop.pod("good"), &shop.pod("bad"), "a duplicate");
    Ok(())
}

#[test]
fn an_invalid_policy_isolates_and_is_reported_by_field() -> Result<()> {
    if skipped_without_root("an_invalid_policy") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good"]))?;
    let broken = shop::ingress("broken", "ipBlock: {cidr: 10.0.0.0/33}");
    shop.apply(&broken)?;
    let good = shop.pod("good");
    for family in Family::BOTH {
        let outcome = good.connect_tcp(shop.server(family), TCP, QUICK);
        assert_eq!(outcome, Outcome::TimedOut, "isolated, and nothing allowed");
    }
    let invalid = status(&shop)?.invalid;
    let fields: Vec<_> = invalid
        .iter()
        .filter_map(|one| one.field.as_deref())
        .collect();
    assert_eq!(
        fields,
        ["spec.ingress[0].from[0].ipBlock.cidr"],
        "{invalid:?}"
    );
    Ok(())
}
