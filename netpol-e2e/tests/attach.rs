//! Other programs on the same hook keep running, and keep their order.

use netpol_e2e::{
    lab::{
        Bystander, Family, HookSide, Host, Link, Outcome, PATIENT, QUICK, Result, skip,
        skipped_without_root, tcx_programs,
    },
    shop::{self, Shop, TCP},
};

/// Packets of a TCP exchange, at the least: SYN, SYN-ACK, ACK, greeting.
const EXCHANGE: u64 = 2;

/// How a bystander is attached.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Tcx,
    Clsact,
}

fn attach(shop: &Shop, interface: &str, side: HookSide, by: By) -> Result<Bystander> {
    let node = shop.lab.node();
    match by {
        By::Tcx => Bystander::attach_tcx(node, interface, side),
        By::Clsact => Bystander::attach_clsact(node, interface, side, 10, &shop.lab.bpffs()),
    }
}

/// Whether the kernel has what a test needs; says so if not.
fn available(by: By) -> Result<bool> {
    let shop = Shop::new(Link::PointToPoint)?;
    let tried = attach(&shop, shop.pod("bad").interface(), HookSide::Ingress, by);
    if let Err(error) = &tried {
        skip(&format!("attach by {by:?}"), &error.to_string());
    }
    Ok(tried.is_ok())
}

fn exchange(shop: &Shop, from: &Host) -> Outcome {
    from.connect_tcp(shop.server(Family::V4), TCP, PATIENT)
}

/// The lines of `tc filter show` for one side, ours among them or not.
fn filters(shop: &Shop, interface: &str, side: &str) -> Result<Vec<String>> {
    let arguments = ["filter", "show", "dev", interface, side];
    let output = shop.lab.node().run("tc", &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().map(str::to_owned).collect())
}

#[test]
fn programs_there_before_and_added_after_see_what_passes() -> Result<()> {
    if skipped_without_root("programs_there_before_and_added_after") {
        return Ok(());
    }
    for (by, hook) in [
        (By::Tcx, "auto"),
        (By::Clsact, "auto"),
        (By::Clsact, "clsact"),
        (By::Tcx, "clsact"),
    ] {
        if !available(by)? {
            continue;
        }
        let mut shop = Shop::new(Link::PointToPoint)?;
        shop.agent.set_arguments(&["--hook", hook]);
        shop.lab
            .manifests()
            .write(shop::POLICIES, &shop::admit(&["good"]))?;
        let interface = shop.pod("server").interface().to_owned();
        let mut bystanders = Vec::new();
        for side in HookSide::BOTH {
            bystanders.push(attach(&shop, &interface, side, by)?);
        }
        shop.agent.start()?;
        if by == By::Tcx {
            for side in HookSide::BOTH {
                bystanders.push(attach(&shop, &interface, side, by)?);
            }
        }
        for round in ["at first", "after a restart", "after a kill"] {
            let before = packets(&bystanders)?;
            assert_eq!(
                exchange(&shop, &shop.pod("good")),
                Outcome::Reached,
                "{by:?} {hook} {round}"
            );
            for (was, is) in before.iter().zip(packets(&bystanders)?) {
                assert!(is >= was + EXCHANGE, "{by:?} {hook} {round}: {was} to {is}");
            }
            let bad = shop.pod("bad");
            let refused = bad.connect_tcp(shop.server(Family::V4), TCP, QUICK);
            assert_eq!(refused, Outcome::TimedOut, "{by:?} {hook} {round}");
            match round {
                "at first" => shop.agent.restart()?,
                _ => {
                    shop.agent.kill();
                    shop.agent.start()?;
                }
            }
        }
    }
    Ok(())
}

fn packets(bystanders: &[Bystander]) -> Result<Vec<u64>> {
    bystanders.iter().map(Bystander::packets).collect()
}

#[test]
fn tcx_programs_keep_their_order_over_start_change_and_restart() -> Result<()> {
    if skipped_without_root("tcx_programs_keep_their_order") || !available(By::Tcx)? {
        return Ok(());
    }
    let mut shop = Shop::new(Link::Bridge)?;
    let interface = shop.pod("server").interface().to_owned();
    let side = HookSide::Egress;
    let first = attach(&shop, &interface, side, By::Tcx)?;
    let second = attach(&shop, &interface, side, By::Tcx)?;
    let listed = |shop: &Shop| tcx_programs(shop.lab.node(), &interface, side);
    assert_eq!(listed(&shop)?, [first.id()?, second.id()?]);

    shop.agent.start()?;
    let third = attach(&shop, &interface, side, By::Tcx)?;
    let others = [first.id()?, second.id()?, third.id()?];
    let started = listed(&shop)?;
    let place = place_of_ours(&started, &others);
    for round in ["a change of policy", "a restart", "a kill"] {
        match round {
            "a change of policy" => shop.apply(&shop::admit(&["good"]))?,
            "a restart" => shop.agent.restart()?,
            _ => {
                shop.agent.kill();
                shop.agent.start()?;
            }
        }
        let now = listed(&shop)?;
        assert_eq!(
            place_of_ours(&now, &others),
            place,
            "{round}: {started:?} to {now:?}"
        );
    }
    Ok(())
}

/// Where the one program that is none of the others stands; the others must be in order.
fn place_of_ours(programs: &[u32], others: &[u32]) -> usize {
    let rest: Vec<u32> = programs
        .iter()
        .copied()
        .filter(|id| others.contains(id))
        .collect();
    assert_eq!(rest, others, "the others' order");
    let ours: Vec<usize> = (0..programs.len())
        .filter(|index| !others.contains(&programs[*index]))
        .collect();
    assert_eq!(ours.len(), 1, "one program of ours in {programs:?}");
    ours[0]
}

#[test]
fn a_filter_of_clsact_stays_as_it_is() -> Result<()> {
    if skipped_without_root("a_filter_of_clsact") || !available(By::Clsact)? {
        return Ok(());
    }
    for hook in ["auto", "clsact"] {
        stays_as_it_is(hook)?;
    }
    Ok(())
}

fn stays_as_it_is(hook: &str) -> Result<()> {
    let mut shop = Shop::new(Link::PointToPoint)?;
    shop.agent.set_arguments(&["--hook", hook]);
    let interface = shop.pod("server").interface().to_owned();
    let bystander = attach(&shop, &interface, HookSide::Ingress, By::Clsact)?;
    let theirs = filters(&shop, &interface, "ingress")?;
    assert!(!theirs.is_empty());
    let still_there = |shop: &Shop| -> Result<bool> {
        let now = filters(shop, &interface, "ingress")?;
        Ok(theirs.iter().all(|line| now.contains(line)))
    };
    shop.agent.start()?;
    assert!(still_there(&shop)?);
    shop.apply(&shop::admit(&["good"]))?;
    shop.agent.restart()?;
    assert!(still_there(&shop)?);
    let before = bystander.packets()?;
    assert_eq!(exchange(&shop, &shop.pod("good")), Outcome::Reached);
    assert!(bystander.packets()? >= before + EXCHANGE);
    shop.agent.terminate()?;
    shop.agent.cleanup()?;
    assert!(still_there(&shop)?, "cleanup removes its own only");
    Ok(())
}

#[test]
fn a_packet_that_is_denied_never_reaches_a_later_program() -> Result<()> {
    if skipped_without_root("a_packet_that_is_denied") || !available(By::Tcx)? {
        return Ok(());
    }
    let closed = shop::deny("bad", "Egress");
    let shop = Shop::enforcing(Link::PointToPoint, &closed)?;
    let bad = shop.pod("bad");
    let after = attach(&shop, bad.interface(), HookSide::Ingress, By::Tcx)?;
    // Neighbour discovery passes; a datagram does not.
    assert_eq!(bad.ping(shop.server(Family::V4), QUICK), Outcome::TimedOut);
    let settled = after.packets()?;
    let socket = bad.udp_to(shop.udp(Family::V4)).expect("a socket");
    for _ in 0..20 {
        socket.send(b"knock").expect("sent");
    }
    let seen = after.packets()? - settled;
    assert!(seen < 20, "{seen} packets got past the verdict");
    Ok(())
}

#[test]
fn packets_that_another_program_redirects_are_judged() -> Result<()> {
    if skipped_without_root("packets_that_another_program_redirects") {
        return Ok(());
    }
    // Routes lead to pods' interfaces here, which such programs need; on a bridge they do not.
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good"]))?;
    let (client, to) = (shop.lab.outside(), shop.pod("server"));
    let bystander = Bystander::redirect_tcp(
        shop.lab.node(),
        client.interface(),
        to.interface(),
        &shop.lab.bpffs(),
    )?;
    let redirected = |patience, expected| -> Result<()> {
        for family in Family::BOTH {
            let before = bystander.packets()?;
            let address = to.addresses().of(family);
            let outcome = client.connect_tcp(address, TCP, patience);
            assert_eq!(outcome, expected, "{family}");
            assert!(bystander.packets()? > before, "{family}: none went there");
        }
        Ok(())
    };
    redirected(QUICK, Outcome::TimedOut)?;
    let outside = client.addresses();
    let admitted = [
        shop::ingress("v4", &format!("ipBlock: {{cidr: {}/32}}", outside.v4)),
        shop::ingress("v6", &format!("ipBlock: {{cidr: \"{}/128\"}}", outside.v6)),
    ];
    shop.apply(&admitted.concat())?;
    redirected(PATIENT, Outcome::Reached)
}
