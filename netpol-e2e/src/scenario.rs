//! Scenarios: a small cluster, policies, and who reaches whom before and after.
//!
//! ```text
//! examples/NAME/namespaces.yaml, pods.yaml --> Lab --> Stage --- ask every cell: before
//!              policies.yaml ----------------> manifests --- wait --- ask every cell: after
//!              scenario.yaml: the cells, and what each must be
//! ```
//! The manifests are what a user would apply; only `scenario.yaml` is ours. Its shape is
//! [`Script`].

mod demo;
mod explain;
mod load;
mod report;
mod stage;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::Deserialize;

pub use self::{
    demo::{Demo, Progress},
    explain::{Explanation, is_the_refusal},
    load::{EXAMPLES_VARIABLE, examples_dir, names},
    report::table,
    stage::{CellResult, Observed, Stage, StepResult},
};
use crate::lab::{Family, Link, Outcome, PodSpec, Traffic};

/// A scenario, read and checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Name of its directory.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// `scenario.yaml`.
    pub script: Script,
    /// `namespaces.yaml`: names and labels.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// `pods.yaml`.
    pub pods: Vec<PodSpec>,
}

/// The contents of `scenario.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Script {
    /// The story in a line.
    pub title: String,
    /// How pods are linked to the node.
    pub link: Link,
    /// What the host outside serves.
    #[serde(default)]
    pub outside: Vec<Traffic>,
    /// What is tried, one after the other.
    pub steps: Vec<Step>,
    /// What the full story has, and this scenario cannot show yet.
    #[serde(default)]
    pub not_yet: Vec<String>,
}

/// Policies put in force, and what changes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it shows.
    pub title: String,
    /// What to call the state without and the state with these policies.
    #[serde(default = "before_and_after")]
    pub columns: [String; 2],
    /// The file that replaces the policies of the step before.
    pub policies: PathBuf,
    /// Who reaches whom.
    pub cells: Vec<Cell>,
    /// A refusal that must name its reason.
    pub explain: Explain,
}

/// One question and the two answers it must get.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Who asks: a pod as `namespace/name`, `outside`, or `node`.
    pub from: String,
    /// Whom: a pod or `outside`.
    pub to: String,
    /// For what.
    pub port: Traffic,
    /// Over which family; over both if it is not said.
    pub over: Option<Family>,
    /// What must come of it without the step's policies.
    pub before: Expect,
    /// What must come of it with them.
    pub after: Expect,
}

impl Cell {
    /// The families it is asked over.
    pub fn families(&self) -> Vec<Family> {
        self.over
            .map_or_else(|| Family::BOTH.to_vec(), |family| vec![family])
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} {}", self.from, self.to, self.port)?;
        self.over.map_or(Ok(()), |family| write!(f, " ({family})"))
    }
}

/// What must come of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// An answer.
    Reached,
    /// No answer: what is refused is dropped, so the asker waits in vain.
    Refused,
}

impl Expect {
    /// Whether this is what came. A reset is no refusal of ours: it says that nobody serves the
    /// port.
    pub fn is_met_by(self, outcome: Outcome) -> bool {
        match self {
            Self::Reached => outcome == Outcome::Reached,
            Self::Refused => outcome == Outcome::TimedOut,
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reached => "reached",
            Self::Refused => "refused",
        })
    }
}

/// A refused cell, and who must be named for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// Who asked.
    pub from: String,
    /// Whom.
    pub to: String,
    /// For what.
    pub port: Traffic,
    /// In which direction it is refused.
    pub at: netpol_api::Direction,
    /// The policies, as `namespace/name`, that isolate there and do not allow it; sorted.
    pub by: Vec<String>,
}

fn before_and_after() -> [String; 2] {
    ["before".to_owned(), "after".to_owned()]
}
