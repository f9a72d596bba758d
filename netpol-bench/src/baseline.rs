//! The costs as they were, kept beside the source.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::count::{Cost, Costs};

/// What became of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something costs more.
    Worse,
    /// Something costs less, and nothing more.
    Better,
    /// Nothing.
    Same,
    /// The scenario was not there.
    New,
}

impl Change {
    /// In a table.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Same => "",
            Self::New => "new",
        }
    }
}

/// A scenario, what it costs, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The scenario.
    pub name: String,
    /// Now.
    pub now: Cost,
    /// Then, if it was there.
    pub was: Option<Cost>,
}

impl Line {
    /// What became of it.
    #[must_use]
    pub fn change(&self) -> Change {
        let Some(was) = &self.was else {
            return Change::New;
        };
        let pairs = [
            (self.now.instructions, was.instructions),
            (self.now.lookups, was.lookups),
            (self.now.arrays, was.arrays),
            (self.now.writes, was.writes),
        ];
        if pairs.iter().any(|(now, was)| now > was) {
            Change::Worse
        } else if pairs.iter().any(|(now, was)| now < was) {
            Change::Better
        } else {
            Change::Same
        }
    }
}

/// The file.
#[must_use]
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
}

/// Reads the costs as they were.
///
/// # Errors
///
/// The file cannot be read, or is no list of costs.
pub fn read(path: &Path) -> anyhow::Result<Costs> {
    let text = fs::read_to_string(path).with_context(|| {
        format!(
            "read {}; `cargo xtask bench check --update` writes it",
            path.display()
        )
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} is no list of costs", path.display()))
}

/// Keeps the costs as they are.
///
/// # Errors
///
/// The file cannot be written.
pub fn write(path: &Path, costs: &Costs) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(costs)? + "\n";
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Each scenario beside what it cost.
#[must_use]
pub fn compare(now: &Costs, was: &Costs) -> Vec<Line> {
    let lines = now.iter().map(|(name, now)| Line {
        name: name.clone(),
        now: *now,
        was: was.get(name).copied(),
    });
    lines.collect()
}

/// Scenarios that nobody counts any more.
#[must_use]
pub fn gone<'a>(now: &Costs, was: &'a Costs) -> Vec<&'a str> {
    let gone = was.keys().filter(|name| !now.contains_key(*name));
    gone.map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::{Change, Line};
    use crate::count::Cost;

    fn line(instructions: u64, lookups: u64) -> Change {
        let cost = |instructions, lookups| Cost {
            instructions,
            lookups,
            arrays: 4,
            writes: 0,
        };
        let line = Line {
            name: "a packet".to_owned(),
            now: cost(instructions, lookups),
            was: Some(cost(100, 3)),
        };
        line.change()
    }

    #[test]
    fn one_thing_that_costs_more_is_worse_whatever_else_costs_less() {
        assert_eq!(line(100, 3), Change::Same);
        assert_eq!(line(99, 3), Change::Better);
        assert_eq!(line(101, 3), Change::Worse);
        assert_eq!(line(50, 4), Change::Worse);
    }
}
