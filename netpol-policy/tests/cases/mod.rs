//! How many random cases a property is tried on, and which.

use proptest::test_runner::{Config, RngSeed};

/// The normal run draws the same cases each time, so that a change is what makes it fail.
/// `PROPTEST_CASES` asks for another number of them, each time others: `cargo xtask fuzz policy`.
pub fn cases(default: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let asked: Option<u32> = asked.and_then(|cases| cases.parse().ok());
    Config {
        cases: asked.unwrap_or(default),
        rng_seed: match asked {
            Some(_) => RngSeed::Random,
            None => RngSeed::Fixed(default.into()),
        },
        max_global_rejects: asked.unwrap_or(default).max(1024),
        failure_persistence: None,
        ..Config::default()
    }
}
