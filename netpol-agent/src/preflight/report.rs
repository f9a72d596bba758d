//! The findings, for people and for programs.

use std::fmt::Write as _;

use anyhow::Context;

use super::judge::{Finding, Outcome, cost_table};
use crate::cli::Output;

/// What is printed.
pub(super) fn text(findings: &[Finding], output: Output) -> anyhow::Result<String> {
    match output {
        Output::Text => Ok(table(findings)),
        Output::Json => {
            let json = serde_json::to_string_pretty(findings).context("write the findings")?;
            Ok(json + "\n")
        }
    }
}

fn table(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.check.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for finding in findings {
        let word = match finding.result {
            Outcome::Pass => "ok  ",
            Outcome::Warn => "warn",
            Outcome::Fail => "FAIL",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{word}  {:width$}  {}", finding.check, finding.says);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "      {:width$}  -> {remedy}", "");
        }
    }
    for finding in findings.iter().filter(|finding| !finding.tables.is_empty()) {
        text.push('\n');
        text += &cost_table(finding);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding {
                check: "kernel",
                result: Outcome::Pass,
                says: "Linux 6.18".to_owned(),
                remedy: None,
                tables: Vec::new(),
            },
            Finding {
                check: "bpffs",
                result: Outcome::Fail,
                says: "there is none".to_owned(),
                remedy: Some("mount one".to_owned()),
                tables: Vec::new(),
            },
        ]
    }

    #[test]
    fn a_remedy_stands_under_what_it_is_for() {
        assert_eq!(
            table(&findings()),
            "ok    kernel  Linux 6.18\nFAIL  bpffs   there is none\n              -> mount one\n"
        );
    }

    #[test]
    fn programs_get_the_same_in_json() {
        let json = text(&findings(), Output::Json).expect("JSON");
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read[1]["result"], "fail");
        assert_eq!(read[1]["remedy"], "mount one");
        assert_eq!(read[0].get("remedy"), None);
    }
}
