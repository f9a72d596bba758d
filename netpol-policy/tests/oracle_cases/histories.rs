//! Histories, and what proptest makes of the generator: repeating, shrinking, speed.

use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::distribution::{CLUSTERS, Tally};
use crate::generate::{self, Change, Cluster, History, identity};
use crate::oracle::Oracle;

#[test]
fn histories_keep_addresses_unique_and_make_changes_of_every_kind() {
    let mut tally = Tally::default();
    for history in (0..CLUSTERS / 3).map(History::from_seed) {
        let states = history.states();
        assert!(
            states.iter().all(generate::addresses_are_unique),
            "{history:?}"
        );
        assert_eq!(states.last(), Some(&history.after()));
        for (state, change) in states.iter().zip(&history.changes) {
            let exists = |sought: (&str, Option<&str>, &str)| {
                state
                    .objects
                    .iter()
                    .any(|object| identity(object) == sought)
            };
            match change {
                Change::Upsert(object) if exists(identity(object)) => {
                    tally.see(format!("update {}", identity(object).0));
                }
                Change::Upsert(object) => tally.see(format!("create {}", identity(object).0)),
                Change::Delete { kind, .. } => tally.see(format!("delete {kind}")),
            }
        }
    }
    println!("{tally:#?}");
    for what in ["create", "update", "delete"] {
        let kinds =
            ["Pod", "NetworkPolicy", "Namespace", "Node"].map(|kind| format!("{what} {kind}"));
        tally.assert_seen(&kinds.each_ref().map(String::as_str));
    }
}

#[test]
fn one_seed_is_one_cluster_and_one_list_of_probes() {
    for seed in 0..20 {
        let cluster = Cluster::from_seed(seed);
        assert_eq!(cluster, Cluster::from_seed(seed));
        assert_eq!(
            generate::probes(&cluster, seed),
            generate::probes(&cluster, seed)
        );
        assert_eq!(History::from_seed(seed), History::from_seed(seed));
    }
    assert_ne!(Cluster::from_seed(1), Cluster::from_seed(2));
}

#[test]
fn a_failing_cluster_shrinks_to_what_makes_it_fail() {
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let outcome =
        TestRunner::new_with_rng(config, deterministic()).run(&generate::cluster(), |cluster| {
            match cluster
                .objects
                .iter()
                .any(|object| object.to_string().contains(r#""endPort":65535"#))
            {
                true => Err(TestCaseError::fail("a range to the last port")),
                false => Ok(()),
            }
        });
    let Err(TestError::Fail(_, cluster)) = outcome else {
        panic!("never failed")
    };
    let [policy] = cluster.objects.as_slice() else {
        panic!("not small: {cluster:?}")
    };
    let spec = policy["spec"].as_object().unwrap();
    assert_eq!(spec.len(), 1, "{policy}");
}

#[test]
fn a_failing_history_shrinks_to_what_makes_it_fail() {
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let outcome =
        TestRunner::new_with_rng(config, deterministic()).run(&generate::history(), |history| {
            let deletes =
                |change: &Change| matches!(change, Change::Delete { kind, .. } if kind == "Pod");
            match history.changes.iter().any(deletes) {
                true => Err(TestCaseError::fail("a pod goes")),
                false => Ok(()),
            }
        });
    let Err(TestError::Fail(_, history)) = outcome else {
        panic!("never failed")
    };
    assert_eq!(
        (history.before.objects.len(), history.changes.len()),
        (0, 1),
        "{history:?}"
    );
}

fn deterministic() -> TestRng {
    TestRng::deterministic_rng(RngAlgorithm::ChaCha)
}

/// A measurement: `cargo test --release -p netpol-policy --test oracle_cases -- --ignored
/// --nocapture`.
#[test]
#[ignore = "measures; says little without --release"]
fn twenty_thousand_clusters_take_well_under_a_minute() {
    let (mut probes, mut generating, mut judging) = (0, Duration::ZERO, Duration::ZERO);
    for seed in 0..20_000 {
        let start = Instant::now();
        let cluster = Cluster::from_seed(seed);
        let questions = generate::probes(&cluster, seed);
        generating += start.elapsed();
        let start = Instant::now();
        let oracle = Oracle::new(&cluster.objects);
        for probe in &questions {
            std::hint::black_box(oracle.judge(probe));
        }
        probes += questions.len();
        judging += start.elapsed();
    }
    println!(
        "20,000 clusters, {probes} probes: {generating:.1?} generating, {judging:.1?} judging"
    );
    assert!(generating + judging < Duration::from_secs(60));
}
