//! Interfaces whose numbers share a place in the cache of endpoints.

use netpol_common::endpoint::{CACHE_PLACES, cache_place};
use netpol_e2e::{
    lab::{Family, Link, Outcome, PATIENT, PodSpec, QUICK, Result, skipped_without_root},
    shop::{self, Shop, TCP},
};

/// The number of the older interface; the younger one's is a whole cache above it.
const OLDER: u32 = 1000;
const YOUNGER: u32 = OLDER + CACHE_PLACES;

fn pod(name: &str, ifindex: u32) -> PodSpec {
    shop::pod(name).label("app", "server").ifindex(ifindex)
}

/// `good` gets in to each of these, `bad` does not.
fn assert_enforced(shop: &Shop, servers: &[&str], when: &str) {
    for server in servers {
        for family in Family::BOTH {
            let to = shop.pod(server).addresses().of(family);
            let ask = |from, patience| shop.pod(from).connect_tcp(to, TCP, patience);
            let context = format!("{server}, {family}, {when}");
            assert_eq!(ask("good", PATIENT), Outcome::Reached, "{context}");
            assert_eq!(ask("bad", QUICK), Outcome::TimedOut, "{context}");
        }
    }
}

#[test]
fn two_interfaces_with_one_place_are_both_enforced_as_they_come_and_go() -> Result<()> {
    if skipped_without_root("two_interfaces_with_one_place") {
        return Ok(());
    }
    assert_eq!(cache_place(OLDER), cache_place(YOUNGER));
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::admit(&["good"]))?;
    for (name, ifindex) in [("older", OLDER), ("younger", YOUNGER)] {
        shop.lab.add_pod(pod(name, ifindex))?.serve_tcp(TCP)?;
        shop.agent.wait_ready()?;
    }
    let both = ["older", "younger"];
    assert_enforced(&shop, &both, "at first");
    shop.apply(&shop::admit(&["bad"]))?;
    shop.apply(&shop::admit(&["good"]))?;
    assert_enforced(&shop, &both, "after changes");
    shop.agent.kill();
    shop.agent.start()?;
    assert_enforced(&shop, &both, "after a kill");

    shop.lab.remove_pod("shop/older")?;
    shop.agent.wait_ready()?;
    assert_enforced(&shop, &["younger"], "alone");
    shop.agent.restart()?;
    assert_enforced(&shop, &["younger"], "alone, after a restart");
    shop.lab.add_pod(pod("older", OLDER))?.serve_tcp(TCP)?;
    shop.agent.wait_ready()?;
    assert_enforced(&shop, &both, "together again");
    Ok(())
}
