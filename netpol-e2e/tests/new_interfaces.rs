//! New interfaces where no CNI plugin tells of them: closed on the netlink event.

#![allow(clippy::expect_used, reason = "a broken test is to panic")]

use std::{
    thread,
    time::{Duration, Instant},
};

use netpol_e2e::{
    lab::{
        Family, HookSide, Link, Outcome, PATIENT, QUICK, Result, skipped_without_root, tcx_programs,
    },
    shop::{self, Shop, TCP},
};

/// How many interfaces the window is measured with.
const ROUNDS: usize = 20;
/// What one of them takes at the most, on a machine that other tests keep busy.
const WINDOW: Duration = Duration::from_secs(1);

fn shop(link: Link) -> Result<Shop> {
    let mut shop = Shop::new(link)?;
    shop.agent
        .set_arguments(&["--close-new-interfaces", "veth,cali"]);
    shop.agent.start()?;
    Ok(shop)
}

#[test]
fn a_new_interface_is_closed_until_its_pod_is_known() -> Result<()> {
    if skipped_without_root("a_new_interface_is_closed") {
        return Ok(());
    }
    // On a bridge pods are found by their answers, which are closed in.
    for link in [Link::PointToPoint] {
        let mut shop = shop(link)?;
        let to = shop.server(Family::V4);
        shop.lab.link_pods(vec![shop::pod("late")])?;
        let late = shop.pod("late");
        assert_eq!(
            late.connect_tcp(to, TCP, QUICK),
            Outcome::TimedOut,
            "{link}"
        );
        // A new agent does not open what nobody has spoken for.
        shop.agent.kill();
        shop.agent.start()?;
        assert_eq!(
            late.connect_tcp(to, TCP, QUICK),
            Outcome::TimedOut,
            "{link}"
        );
        shop.lab.announce_pod("shop/late")?;
        shop.agent.wait_ready()?;
        // The node may remember for a moment that nobody answered there.
        let deadline = Instant::now() + PATIENT;
        while late.connect_tcp(to, TCP, PATIENT) != Outcome::Reached {
            assert!(Instant::now() < deadline, "{link}: still closed");
        }
        // Those from before the agent were never closed.
        let outcome = shop.pod("good").connect_tcp(to, TCP, PATIENT);
        assert_eq!(outcome, Outcome::Reached, "{link}");
    }
    Ok(())
}

/// `cargo test -p netpol-e2e --test new_interfaces -- --nocapture window` prints the figure.
#[test]
fn the_window_until_a_new_interface_is_closed() -> Result<()> {
    if skipped_without_root("the_window_until") {
        return Ok(());
    }
    let shop = shop(Link::PointToPoint)?;
    let node = shop.lab.node();
    let netns = shop.pod("good").netns().name().to_owned();
    let mut took = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let (name, inside) = (format!("vethnew{round}"), format!("new{round}"));
        let link = [
            "link", "add", &name, "type", "veth", "peer", "name", &inside, "netns", &netns,
        ];
        node.run("ip", &link)?;
        let began = Instant::now();
        for side in [HookSide::Ingress, HookSide::Egress] {
            while tcx_programs(node, &name, side)?.is_empty() {
                assert!(began.elapsed() < WINDOW, "open for {:?}", began.elapsed());
                thread::sleep(Duration::from_micros(200));
            }
        }
        took.push(began.elapsed());
        node.run("ip", &["link", "del", &name])?;
    }
    took.sort();
    println!(
        "a new interface is closed after, {ROUNDS} of them: median {:?}, most {:?}",
        took[ROUNDS / 2],
        took[ROUNDS - 1]
    );
    Ok(())
}
