//! The five scenarios, each cell of each.
//!
//! In a small VM one of them runs by its name, with `NETPOL_AGENT`, `NETPOLCTL` and
//! `NETPOL_EXAMPLES` set and `ip` as the only tool.

use netpol_api::{CounterRow, RuleRef, Verdict};
use netpol_e2e::{
    lab::{Link, Result, skipped_without_root},
    scenario::{Explain, Scenario, Stage, StepResult, table},
};

/// Plays a scenario on one kind of link.
fn play(name: &str, link: Link) -> Result<()> {
    let mut stage = Stage::set_on(Scenario::load(name)?, link)?;
    stage.agent().start()?;
    for step in stage.scenario().script.steps.clone() {
        let result = stage.play(&step)?;
        let wrong = result.wrong().count();
        assert_eq!(wrong, 0, "{name} on {link}:\n{}", table(&step, &result));
        assert_explained(&stage, &step.explain)?;
        assert_counted(&mut stage, &step.explain, &result)?;
    }
    Ok(())
}

/// The refusal is among the flows under the right names, and can be explained offline.
fn assert_explained(stage: &Stage, explain: &Explain) -> Result<()> {
    let explanation = stage.explain(explain)?;
    let (from, to, by) = (&explain.from, &explain.to, &explain.by);
    assert!(
        explanation.flow.is_some(),
        "no flow refuses {from} to {to} in the name of {by:?}"
    );
    for policy in by {
        let (_, name) = policy.split_once('/').unwrap_or(("", policy));
        assert!(
            explanation.evaluated.contains(name),
            "`{}` does not name {policy}:\n{}",
            explanation.command,
            explanation.evaluated
        );
    }
    Ok(())
}

/// The refusal was counted under the policies that isolate, and what passed under a rule.
fn assert_counted(stage: &mut Stage, explain: &Explain, result: &StepResult) -> Result<()> {
    let rows: Vec<CounterRow> = stage.agent().ctl().json(&["stats", "-A"])?;
    let denied = rows.iter().any(|row| match &row.rule {
        RuleRef::DefaultDeny {
            policies,
            direction,
        } => {
            let names = policies.iter().map(ToString::to_string);
            row.packets > 0
                && row.bytes > 0
                && *direction == explain.at
                && names.eq(explain.by.iter().cloned())
        }
        _ => false,
    });
    assert!(denied, "no denies counted under {:?}: {rows:?}", explain.by);
    let by_a_rule = |row: &&CounterRow| {
        row.verdict == Verdict::Allow && row.packets > 0 && matches!(row.rule, RuleRef::Rule { .. })
    };
    let allowed = rows.iter().filter(by_a_rule).count();
    assert!(
        allowed > 0,
        "{} cells, no rule counted: {rows:?}",
        result.cells.len()
    );
    Ok(())
}

macro_rules! scenario {
    ($test:ident, $name:literal) => {
        #[test]
        fn $test() -> Result<()> {
            if skipped_without_root($name) {
                return Ok(());
            }
            for link in Link::ALL {
                play($name, link)?;
            }
            Ok(())
        }
    };
}

scenario!(payments, "payments");
scenario!(wordpress, "wordpress");
scenario!(yelb, "yelb");
scenario!(cache_store, "cache-store");
scenario!(zero_trust, "zero-trust");
