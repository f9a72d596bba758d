//! The agent ends, dies and comes back while packets flow: nothing opens, nothing allowed is lost.

#[path = "restart/watch.rs"]
mod watch;

use std::{
    fmt::Write,
    thread,
    time::{Duration, Instant},
};

use netpol_api::{Hook, Status};
use netpol_e2e::{
    lab::{Family, Host, Link, Outcome, PATIENT, QUICK, Result, skipped_without_root},
    shop::{self, POLICIES, Shop, TCP},
};
use watch::Watch;

/// What was done when.
struct Diary {
    started: Instant,
    text: String,
}

impl Diary {
    fn open() -> Self {
        Self {
            started: Instant::now(),
            text: String::new(),
        }
    }

    fn note(&mut self, what: &str) {
        let _ = writeln!(self.text, "{:?}: {what}", self.started.elapsed());
    }
}

fn assert_holds(shop: &Shop, when: &str) {
    let ask = |host: &Host, family, timeout| host.connect_tcp(shop.server(family), TCP, timeout);
    for family in Family::BOTH {
        let good = ask(&shop.pod("good"), family, PATIENT);
        assert_eq!(good, Outcome::Reached, "{when}, {family}");
        let bad = ask(&shop.pod("bad"), family, QUICK);
        assert_eq!(bad, Outcome::TimedOut, "{when}, {family}");
    }
}

#[test]
fn enforcement_outlives_the_agent_and_the_next_one_takes_over() -> Result<()> {
    if skipped_without_root("enforcement_outlives_the_agent") {
        return Ok(());
    }
    for (link, hook) in [
        (Link::PointToPoint, "auto"),
        (Link::Bridge, "auto"),
        (Link::PointToPoint, "clsact"),
    ] {
        let mut shop = Shop::new(link)?;
        shop.agent.set_arguments(&["--hook", hook]);
        shop.lab
            .manifests()
            .write(POLICIES, &shop::admit(&["good"]))?;
        shop.agent.start()?;
        let status: Status = shop.agent.ctl().json(&["status"])?;
        assert!(hook == "auto" || status.hook == Hook::Clsact);
        let good = shop.pod("good");
        let open = good.open(shop.server(Family::V6), TCP, PATIENT);
        let mut held = open.expect("a connection");
        let watch = Watch::start(&shop)?;

        let status = shop.agent.terminate()?;
        assert!(status.success(), "SIGTERM is no failure: {status}");
        assert_holds(&shop, "after SIGTERM");
        assert_eq!(held.echo(PATIENT), Outcome::Reached);
        shop.agent.start()?;
        assert_holds(&shop, "after a start over what was there");

        shop.agent.kill();
        assert_holds(&shop, "after SIGKILL");
        assert_eq!(held.echo(PATIENT), Outcome::Reached);
        shop.agent.start()?;
        shop.agent.restart()?;
        assert_holds(&shop, "after a restart");
        assert_eq!(held.echo(PATIENT), Outcome::Reached);
        watch.finish("");
    }
    Ok(())
}

#[test]
fn what_changed_while_no_agent_ran_is_in_force_after_the_start() -> Result<()> {
    if skipped_without_root("what_changed_while_no_agent_ran") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good", "bad"]))?;
    let bad = shop.pod("bad");
    let to = shop.server(Family::V4);
    let open = bad.open(to, TCP, PATIENT);
    let mut forbidden_later = open.expect("a connection");
    shop.agent.kill();
    shop.lab
        .manifests()
        .write(POLICIES, &shop::admit(&["good"]))?;
    // No agent, no news: the old policy stays in force.
    assert_eq!(bad.connect_tcp(to, TCP, PATIENT), Outcome::Reached);
    shop.agent.start()?;
    assert_holds(&shop, "after the start");
    assert_eq!(forbidden_later.echo(QUICK), Outcome::TimedOut);

    // A pod that came and a pod that went meanwhile.
    shop.agent.terminate()?;
    let late = shop.lab.add_pod(shop::pod("late"))?;
    shop.lab.remove_pod("shop/bad")?;
    shop.agent.start()?;
    assert_eq!(late.connect_tcp(to, TCP, QUICK), Outcome::TimedOut);
    shop.lab.relabel("shop/late", &[("app", "good")])?;
    shop.agent.wait_ready()?;
    assert_eq!(late.connect_tcp(to, TCP, PATIENT), Outcome::Reached);
    Ok(())
}

#[test]
fn a_start_without_policies_removes_what_an_agent_before_enforced() -> Result<()> {
    if skipped_without_root("a_start_without_policies") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::Bridge, &shop::admit(&["good"]))?;
    assert_holds(&shop, "to begin with");
    shop.agent.kill();
    shop.lab.manifests().remove(POLICIES)?;
    shop.agent.start()?;
    for family in Family::BOTH {
        let bad = shop.pod("bad");
        let outcome = bad.connect_tcp(shop.server(family), TCP, PATIENT);
        assert_eq!(outcome, Outcome::Reached, "{family}");
    }
    Ok(())
}

/// Policies that all let `good` in and keep `bad` out, each written in another way.
fn variants(shop: &Shop) -> Vec<String> {
    let good = shop.pod("good").addresses();
    let by_label = "podSelector: {matchLabels: {app: good}}";
    let by_address = [
        shop::ingress("v4", &format!("ipBlock: {{cidr: {}/32}}", good.v4)),
        shop::ingress("v6", &format!("ipBlock: {{cidr: \"{}/128\"}}", good.v6)),
    ];
    vec![
        shop::admit(&["good"]),
        shop::admit(&["good", "flip"]),
        [
            shop::ingress("by-label", by_label),
            shop::deny("server", "Ingress"),
        ]
        .concat(),
        by_address.concat(),
        [
            shop::admit(&["good"]),
            shop::egress("good"),
            shop::egress("bad"),
        ]
        .concat(),
        [shop::admit(&["good"]), shop::deny("bad", "Ingress, Egress")].concat(),
        [shop::ingress("a", by_label), shop::ingress("b", by_label)].concat(),
    ]
}

/// How often the agent is killed; `NETPOL_KILLS` asks for another number.
fn kills(usual: usize) -> usize {
    let wanted = std::env::var("NETPOL_KILLS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn an_agent_killed_at_random_moments_opens_nothing_and_loses_nothing() -> Result<()> {
    if skipped_without_root("an_agent_killed_at_random_moments") {
        return Ok(());
    }
    kill_at_random("auto", kills(50))
}

#[test]
fn an_agent_on_clsact_killed_at_random_moments_opens_and_loses_nothing() -> Result<()> {
    if skipped_without_root("an_agent_on_clsact_killed") {
        return Ok(());
    }
    kill_at_random("clsact", kills(15))
}

fn kill_at_random(hook: &str, kills: usize) -> Result<()> {
    let mut shop = Shop::new(Link::PointToPoint)?;
    shop.lab.add_pod(shop::pod("flip"))?;
    shop.lab
        .manifests()
        .write(POLICIES, &shop::admit(&["good"]))?;
    shop.agent.set_arguments(&["--hook", hook]);
    shop.agent.start()?;
    let variants = variants(&shop);
    let mut diary = Diary::open();
    let watch = Watch::start(&shop)?;
    for _ in 0..kills {
        // Changes before, during and after the kill; sometimes the next agent is killed before it
        // is ready.
        for _ in 0..fastrand::usize(0..3) {
            let variant = fastrand::usize(..variants.len());
            shop.lab.manifests().write(POLICIES, &variants[variant])?;
            diary.note(&format!("policies {variant}"));
            thread::sleep(Duration::from_micros(fastrand::u64(0..60_000)));
        }
        if fastrand::bool() {
            let app = fastrand::choice(["flip", "flop"]).unwrap_or("flip");
            shop.lab.relabel("shop/flip", &[("app", app)])?;
            diary.note(&format!("flip is {app}"));
        }
        thread::sleep(Duration::from_micros(fastrand::u64(0..40_000)));
        shop.agent.kill();
        diary.note("killed");
        thread::sleep(Duration::from_micros(fastrand::u64(0..30_000)));
        shop.agent.launch()?;
        diary.note("launched");
        if fastrand::bool() {
            shop.agent.wait_ready()?;
            diary.note("ready");
        } else {
            thread::sleep(Duration::from_micros(fastrand::u64(0..250_000)));
        }
    }
    shop.lab.relabel("shop/flip", &[("app", "flip")])?;
    shop.apply(&shop::admit(&["good", "flip"]))?;
    let flip = shop.pod("flip");
    let last = flip.connect_tcp(shop.server(Family::V4), TCP, PATIENT);
    assert_eq!(
        last,
        Outcome::Reached,
        "the last policy is in force\n{}",
        diary.text
    );
    watch.finish(&diary.text);
    Ok(())
}
