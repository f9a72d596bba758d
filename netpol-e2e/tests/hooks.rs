//! From one way of attaching to the other and back, while packets flow: nothing opens, nothing
//! allowed is lost, no program of the former way stays.

#[path = "restart/watch.rs"]
mod watch;

use std::time::Duration;

use netpol_api::{Hook, Status};
use netpol_e2e::{
    lab::{
        Bystander, Family, HookSide, Link, Outcome, PATIENT, QUICK, Result, skip,
        skipped_without_root, tcx_programs,
    },
    shop::{self, Shop, TCP},
};
use watch::Watch;

/// Programs of ours on each side of an interface.
#[derive(Debug, PartialEq, Eq)]
struct There {
    tcx: [usize; 2],
    filters: [usize; 2],
    qdisc: bool,
}

/// The qdisc stays: the kernel drops packets while it removes one.
const BY_TCX: There = There {
    tcx: [1, 1],
    filters: [0, 0],
    qdisc: true,
};
const NOTHING: There = There {
    tcx: [0, 0],
    filters: [0, 0],
    qdisc: false,
};
const BY_CLSACT: There = There {
    tcx: [0, 0],
    filters: [1, 1],
    qdisc: true,
};

fn there(shop: &Shop, interface: &str) -> Result<There> {
    let node = shop.lab.node();
    let mut tcx = [0; 2];
    for (count, side) in tcx.iter_mut().zip(HookSide::BOTH) {
        *count = tcx_programs(node, interface, side)?.len();
    }
    let tc = |arguments: &[&str]| -> Result<String> {
        let output = node.run("tc", arguments)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut filters = [0; 2];
    for (count, side) in filters.iter_mut().zip(["ingress", "egress"]) {
        let shown = tc(&["filter", "show", "dev", interface, side])?;
        *count = shown.matches("netpol/").count();
    }
    let qdisc = tc(&["qdisc", "show", "dev", interface])?.contains("clsact");
    Ok(There {
        tcx,
        filters,
        qdisc,
    })
}

fn assert_holds(shop: &Shop, expected: &There, when: &str) -> Result<()> {
    for pod in ["server", "good", "bad"] {
        let there = there(shop, shop.pod(pod).interface())?;
        assert_eq!(&there, expected, "{pod} {when}");
    }
    for family in Family::BOTH {
        let ask = |from: &str, patience| {
            shop.pod(from)
                .connect_tcp(shop.server(family), TCP, patience)
        };
        assert_eq!(ask("good", PATIENT), Outcome::Reached, "{when}, {family}");
        assert_eq!(ask("bad", QUICK), Outcome::TimedOut, "{when}, {family}");
    }
    Ok(())
}

/// A lab whose agent has attached by clsact; none where the kernel has no other way.
fn lab(test: &str, link: Link) -> Result<Option<Shop>> {
    let mut shop = Shop::enforcing(link, &shop::admit(&["good"]))?;
    let status: Status = shop.agent.ctl().json(&["status"])?;
    if status.hook == Hook::Clsact {
        skip(test, "this kernel has no TCX");
        return Ok(None);
    }
    shop.agent.set_arguments(&["--hook", "clsact"]);
    shop.agent.restart()?;
    Ok(Some(shop))
}

#[test]
fn an_upgrade_to_tcx_and_back_loses_and_opens_nothing() -> Result<()> {
    let test = "an_upgrade_to_tcx_and_back";
    if skipped_without_root(test) {
        return Ok(());
    }
    for link in [Link::PointToPoint, Link::Bridge] {
        let Some(mut shop) = lab(test, link)? else {
            return Ok(());
        };
        assert_holds(&shop, &BY_CLSACT, "at first")?;
        let good = shop.pod("good");
        let open = good.open(shop.server(Family::V6), TCP, PATIENT);
        let mut held = open.expect("a connection");
        let watch = Watch::start(&shop)?;
        for (way, expected) in [("auto", &BY_TCX), ("clsact", &BY_CLSACT), ("tcx", &BY_TCX)] {
            // What is attached stays either way.
            if way == "auto" {
                shop.agent.kill();
            } else {
                shop.agent.terminate()?;
            }
            shop.agent.set_arguments(&["--hook", way]);
            shop.agent.start()?;
            assert_holds(&shop, expected, way)?;
            assert_eq!(held.echo(PATIENT), Outcome::Reached, "{link} {way}");
        }
        watch.finish(&format!("{link}"));
        shop.agent.terminate()?;
        shop.agent.cleanup()?;
        let interface = shop.pod("server").interface().to_owned();
        assert_eq!(there(&shop, &interface)?, NOTHING, "after the clean-up");
    }
    Ok(())
}

#[test]
fn the_qdisc_that_others_use_stays() -> Result<()> {
    let test = "the_qdisc_that_others_use_stays";
    if skipped_without_root(test) {
        return Ok(());
    }
    let Some(mut shop) = lab(test, Link::PointToPoint)? else {
        return Ok(());
    };
    let interface = shop.pod("server").interface().to_owned();
    let (node, bpffs) = (shop.lab.node(), shop.lab.bpffs());
    let other = Bystander::attach_clsact(node, &interface, HookSide::Egress, 10, &bpffs)?;
    shop.agent.set_arguments(&["--hook", "auto"]);
    shop.agent.restart()?;
    assert_eq!(there(&shop, &interface)?, BY_TCX);
    let before = other.packets()?;
    let good = shop.pod("good");
    let reached = good.connect_tcp(shop.server(Family::V4), TCP, PATIENT);
    assert_eq!(reached, Outcome::Reached);
    assert!(other.packets()? > before, "the other's program runs on");
    shop.agent.terminate()?;
    shop.agent.cleanup()?;
    let expected = There {
        qdisc: true,
        ..NOTHING
    };
    assert_eq!(there(&shop, &interface)?, expected, "after the clean-up");
    Ok(())
}

#[test]
fn an_agent_killed_while_it_changes_hooks_leaves_the_rest_to_the_next() -> Result<()> {
    let test = "an_agent_killed_while_it_changes_hooks";
    if skipped_without_root(test) {
        return Ok(());
    }
    let Some(mut shop) = lab(test, Link::PointToPoint)? else {
        return Ok(());
    };
    let watch = Watch::start(&shop)?;
    for way in ["tcx", "clsact"].into_iter().cycle().take(6) {
        shop.agent.kill();
        let interface = shop.pod("server").interface().to_owned();
        let before = there(&shop, &interface)?;
        shop.agent.set_arguments(&["--hook", way]);
        shop.agent.launch()?;
        // Until the first of its programs is somewhere; the others may be there by then or not.
        while there(&shop, &interface)? == before && shop.agent.ctl().wait(TICK).is_err() {}
    }
    shop.agent.set_arguments(&["--hook", "tcx"]);
    shop.agent.start()?;
    assert_holds(&shop, &BY_TCX, "at last")?;
    watch.finish("killed");
    Ok(())
}

/// How long one look at an agent on its way takes at most.
const TICK: Duration = Duration::from_millis(5);
