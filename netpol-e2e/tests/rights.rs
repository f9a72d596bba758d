//! The capabilities of the manifest: an agent does with them, and not without any of them.

use netpol_e2e::{
    lab::{Family, Link, PATIENT, QUICK, Result, Rights, skipped_without_root},
    shop::{self, Shop, TCP},
};

/// What users install.
const DAEMON_SET: &str = include_str!("../../deploy/daemonset.yaml");

/// The capability that matters to kernels before 5.11 alone.
const FOR_OLD_KERNELS: &str = "SYS_RESOURCE";

fn capabilities() -> Vec<String> {
    let manifest: serde_norway::Value = serde_norway::from_str(DAEMON_SET).expect("YAML");
    let container = &manifest["spec"]["template"]["spec"]["containers"][0];
    let capabilities = &container["securityContext"]["capabilities"];
    assert_eq!(capabilities["drop"][0], "ALL");
    let added = capabilities["add"].as_sequence().expect("a list");
    let names = added.iter().filter_map(serde_norway::Value::as_str);
    names.map(str::to_owned).collect()
}

fn counts_locked_memory() -> bool {
    let release = nix::sys::utsname::uname().expect("the kernel's name");
    let release = release.release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().ok());
    let version = (numbers.next().flatten(), numbers.next().flatten());
    version < (Some(5), Some(11))
}

#[test]
fn the_manifests_capabilities_are_enough_and_none_is_too_many() -> Result<()> {
    if skipped_without_root("the_manifests_capabilities") {
        return Ok(());
    }
    let all = capabilities();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut shop = Shop::new(Link::PointToPoint)?;
    shop.lab
        .manifests()
        .write(shop::POLICIES, &shop::admit(&["good"]))?;

    for left_out in &all {
        if *left_out == FOR_OLD_KERNELS && !counts_locked_memory() {
            continue;
        }
        let rest: Vec<&str> = all
            .iter()
            .filter(|name| *name != left_out)
            .copied()
            .collect();
        shop.agent
            .set_rights(Rights::named(&rest).expect("known capabilities"));
        shop.agent.launch()?;
        let code = shop.agent.wait_end()?;
        let log = shop.agent.log_tail();
        let says = log.lines().last().unwrap_or_default();
        assert_eq!(code, Some(3), "without {left_out}: {log}");
        assert!(says.contains(left_out), "without {left_out}: {says}");
    }

    // With what the manifest gives, from the first start to the last clean-up.
    shop.agent
        .set_rights(Rights::named(&all).expect("known capabilities"));
    shop.agent.start()?;
    for round in ["started", "taken over"] {
        for family in Family::BOTH {
            let server = shop.server(family);
            let good = shop.pod("good").connect_tcp(server, TCP, PATIENT);
            let bad = shop.pod("bad").connect_tcp(server, TCP, QUICK);
            assert!(good.is_reached(), "{round}: {good:?}");
            assert!(!bad.is_reached(), "{round}: {bad:?}");
        }
        shop.agent.restart()?;
    }
    Ok(())
}
