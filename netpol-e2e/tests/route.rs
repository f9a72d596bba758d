//! What `cargo xtask bench route` measures: that every contestant lets through what the policy lets
//! through and nothing else (measuring fails if one does not), and that there are figures.

use std::time::Duration;

use netpol_e2e::{
    lab::{skip, skipped_without_root},
    route::{self, Contestant, Plan},
};

#[test]
fn every_contestant_enforces_the_policy_and_is_measured() {
    let test = "every_contestant_enforces_the_policy_and_is_measured";
    if skipped_without_root(test) {
        return;
    }
    let plan = Plan {
        peers: 10,
        others: 3,
        flows: 2,
        rounds: 1,
        slice: Duration::from_millis(50),
    };
    let report = route::measure(&plan, &|_| {}).unwrap_or_else(|error| panic!("{error:#}"));
    for figures in &report.figures {
        if figures.rates.is_none() {
            skip(test, &format!("{}: {}", figures.contestant, figures.by));
        }
    }
    let measured: Vec<Contestant> = report.lines.iter().map(|line| line.contestant).collect();
    assert!(
        measured.starts_with(&[Contestant::None, Contestant::Netpol]),
        "{measured:?}"
    );
    for line in &report.lines {
        assert!(
            line.packets.median > 0.0 && line.connections.median > 0.0,
            "{line:?}"
        );
    }
}
