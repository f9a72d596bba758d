//! What was measured, as it stands in `docs/performance.md`: a table between two marks, a chart,
//! and the figures as JSON beside it.

mod chart;
mod machine;
mod table;

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::report::{Line, Verdict};

pub use machine::Machine;

/// What is kept of a run.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Where and when.
    pub machine: Machine,
    /// How many rounds.
    pub rounds: usize,
    /// Each scenario.
    pub lines: Vec<Line>,
}

impl Results {
    /// How many targets there are, and what became of them.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |verdict| {
            self.lines
                .iter()
                .filter(|line| line.verdict == verdict)
                .count()
        };
        format!(
            "Of {} targets {} are met, {} are missed, and {} are below the floor of this machine",
            self.lines.len(),
            count(Verdict::Met),
            count(Verdict::Missed),
            count(Verdict::Below)
        )
    }
}

/// The marks of the table.
const START: &str = "<!-- bench path: start -->";
const END: &str = "<!-- bench path: end -->";

/// Writes `performance.md`, `performance/path.json` and `performance/path.svg` of a directory.
///
/// # Errors
///
/// They cannot be written, or the page lacks the marks.
pub fn write(directory: &Path, results: &Results) -> anyhow::Result<()> {
    let page = directory.join("performance.md");
    let text = fs::read_to_string(&page).with_context(|| format!("read {}", page.display()))?;
    let Some(text) = replaced(&text, &table::markdown(results)) else {
        bail!("{} has no lines {START} and {END}", page.display());
    };
    let beside = directory.join("performance");
    fs::create_dir_all(&beside).with_context(|| format!("make {}", beside.display()))?;
    let json = serde_json::to_string_pretty(results)? + "\n";
    let files = [
        (beside.join("path.json"), json),
        (beside.join("path.svg"), chart::svg(results)?),
        (page, text),
    ];
    for (path, text) in files {
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The page with something else between the marks.
fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(START)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{START}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::{END, START, replaced};

    #[test]
    fn what_stands_around_the_marks_stays() {
        let page = format!("one\n{START}\nold\n{END}\ntwo\n");
        let expected = format!("one\n{START}\nnew\n{END}\ntwo\n");
        assert_eq!(replaced(&page, "new\n"), Some(expected));
        assert_eq!(replaced("nothing", "new\n"), None);
    }
}
