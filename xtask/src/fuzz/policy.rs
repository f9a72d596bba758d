//! The policy compiler: its property test, with more cases than the normal test run has.

use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// Probes (one connection, judged by the compiled maps and by the oracle) that one random cluster is asked.
const PROBES_PER_CLUSTER: u64 = 100;
/// What the normal test run does; fewer prove nothing.
const LEAST_CLUSTERS: u64 = 256;

#[derive(clap::Args)]
pub(super) struct Args {
    /// About how many connections to judge, over all random clusters.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    probes: u64,
}

pub(super) fn run(args: &Args, workspace: &Workspace) -> anyhow::Result<()> {
    setup::ensure(workspace, &[setup::Part::Components])?;
    let clusters = clusters(args.probes);
    eprintln!("fuzz: {clusters} random clusters, {} probes", args.probes);
    let mut test = process::cargo(workspace);
    test.args([
        "test",
        "--release",
        "-p",
        "netpol-policy",
        "--test",
        "properties",
    ])
    .args(["--", "--nocapture"])
    .env("PROPTEST_CASES", clusters.to_string())
    .env("NETPOL_PROBES", args.probes.to_string());
    process::run(&mut test)
}

fn clusters(probes: u64) -> u64 {
    probes.div_ceil(PROBES_PER_CLUSTER).max(LEAST_CLUSTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_probes_are_more_clusters_and_never_too_few() {
        assert_eq!(clusters(0), LEAST_CLUSTERS);
        assert_eq!(clusters(10_000_001), 100_001);
    }
}
