//! `netpol-agent cleanup`: all of it, and only its own.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use netpol_e2e::{
    lab::{
        Bystander, Family, HookSide, Link, Outcome, PATIENT, QUICK, Result, pin_foreign_program,
        skip, skipped_without_root, tcx_programs,
    },
    shop::{self, Shop, TCP},
};

/// Everything under a directory, without the directory.
fn entries(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(entries(&path));
        }
    }
    found.sort();
    found
}

/// Programs and links of BPF on a pod's interface, as the system lists them.
fn hooked(shop: &Shop, interface: &str) -> Result<usize> {
    let mut count = 0;
    for side in HookSide::BOTH {
        // Before TCX there is nothing to ask, and no filter means none.
        count += tcx_programs(shop.lab.node(), interface, side).map_or(0, |ids| ids.len());
    }
    for side in ["ingress", "egress"] {
        let arguments = ["filter", "show", "dev", interface, side];
        let output = shop.lab.node().run("tc", &arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        count += text.lines().filter(|line| line.contains(" bpf ")).count();
    }
    Ok(count)
}

/// The kernel lets go of a link whose last pin was removed a moment later, on a thread of its own.
fn wait_for_hooked(shop: &Shop, interface: &str, wanted: usize) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let now = hooked(shop, interface)?;
        if now == wanted {
            return Ok(());
        }
        assert!(
            Instant::now() < deadline,
            "{interface}: {now} programs, not {wanted}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn cleanup_removes_every_program_and_every_pin() -> Result<()> {
    if skipped_without_root("cleanup_removes_every_program") {
        return Ok(());
    }
    for (link, hook) in [
        (Link::PointToPoint, "auto"),
        (Link::Bridge, "auto"),
        (Link::Bridge, "clsact"),
    ] {
        let mut shop = Shop::new(link)?;
        shop.agent.set_arguments(&["--hook", hook]);
        // The kernel itself puts files into a fresh bpffs.
        let before = entries(&shop.lab.bpffs());
        shop.lab
            .manifests()
            .write(shop::POLICIES, &shop::admit(&["good"]))?;
        shop.agent.start()?;
        let bad = shop.pod("bad");
        let interface = shop.pod("server").interface().to_owned();
        assert!(hooked(&shop, &interface)? >= 2, "both directions");
        assert!(entries(&shop.lab.bpffs()).len() > before.len());
        shop.agent.terminate()?;
        shop.agent.cleanup()?;

        assert_eq!(entries(&shop.lab.bpffs()), before, "{link}, {hook}");
        for pod in ["server", "good", "bad"] {
            assert_eq!(
                hooked(&shop, shop.pod(pod).interface())?,
                0,
                "{link}: {pod}"
            );
        }
        for family in Family::BOTH {
            let outcome = bad.connect_tcp(shop.server(family), TCP, PATIENT);
            assert_eq!(
                outcome,
                Outcome::Reached,
                "{link}, {hook}: nothing is enforced"
            );
        }
        // Twice is as good as once, and an agent can start over.
        shop.agent.cleanup()?;
        shop.agent.start()?;
        let outcome = bad.connect_tcp(shop.server(Family::V4), TCP, QUICK);
        assert_eq!(outcome, Outcome::TimedOut, "{link}, {hook}");
    }
    Ok(())
}

#[test]
fn cleanup_leaves_what_others_attached_and_pinned() -> Result<()> {
    if skipped_without_root("cleanup_leaves_what_others") {
        return Ok(());
    }
    let mut shop = Shop::new(Link::PointToPoint)?;
    let interface = shop.pod("server").interface().to_owned();
    let (node, bpffs) = (shop.lab.node().clone(), shop.lab.bpffs());
    pin_foreign_program(&bpffs, "somebody-elses")?;
    let before = entries(&bpffs);
    let mut bystanders = vec![Bystander::attach_clsact(
        &node,
        &interface,
        HookSide::Ingress,
        10,
        &bpffs,
    )?];
    match Bystander::attach_tcx(&node, &interface, HookSide::Ingress) {
        Ok(bystander) => bystanders.push(bystander),
        Err(error) => skip("cleanup_leaves_what_others (TCX)", &error.to_string()),
    }
    let theirs = hooked(&shop, &interface)?;
    shop.lab
        .manifests()
        .write(shop::POLICIES, &shop::admit(&["good"]))?;
    shop.agent.start()?;
    assert!(hooked(&shop, &interface)? > theirs);
    shop.agent.kill();
    shop.agent.cleanup()?;

    wait_for_hooked(&shop, &interface, theirs)?;
    assert_eq!(entries(&bpffs), before);
    let counted: Vec<u64> = bystanders
        .iter()
        .map(Bystander::packets)
        .collect::<Result<_>>()?;
    let outcome = shop
        .pod("bad")
        .connect_tcp(shop.server(Family::V4), TCP, PATIENT);
    assert_eq!(outcome, Outcome::Reached);
    for (bystander, was) in bystanders.iter().zip(counted) {
        assert!(bystander.packets()? > was, "it still counts");
    }
    Ok(())
}
