//! A scenario set up in a lab, with an agent that enforces.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{Cell, Expect, Scenario, Step};
use crate::lab::{Agent, Family, Host, Lab, Link, Outcome, Probe, QUICK, Result, Traffic, ask_all};

/// The file the policies in force are in.
const POLICIES: &str = "policies.yaml";
/// How long an answer may take on a slow machine; who reaches whom is asked here, not how fast.
const ANSWER: Duration = Duration::from_secs(5);

/// A scenario in a lab.
#[derive(Debug)]
pub struct Stage {
    scenario: Scenario,
    /// Before the lab, whose namespace it runs in.
    pub(super) agent: Agent,
    pub(super) lab: Lab,
    /// The longest that an answer took so far.
    slowest: Duration,
}

/// What came of one cell, over each family it was asked over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed(Vec<(Family, Outcome)>);

impl Observed {
    /// Whether it is what was expected, over every family.
    pub fn meets(&self, expect: Expect) -> bool {
        self.0.iter().all(|(_, outcome)| expect.is_met_by(*outcome))
    }

    /// The outcome, if all families had the same.
    pub fn unanimous(&self) -> Option<Outcome> {
        let (_, first) = self.0.first()?;
        let same = self.0.iter().all(|(_, outcome)| outcome == first);
        same.then_some(*first)
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outcome) = self.unanimous() {
            return outcome.fmt(f);
        }
        let each: Vec<String> = self
            .0
            .iter()
            .map(|(family, outcome)| format!("{family} {outcome}"))
            .collect();
        f.write_str(&each.join(", "))
    }
}

/// A cell and what came of it.
#[derive(Debug, Clone)]
pub struct CellResult {
    /// The cell.
    pub cell: Cell,
    /// Without the step's policies.
    pub before: Observed,
    /// With them.
    pub after: Observed,
}

impl CellResult {
    /// Whether both came out as they must.
    pub fn is_right(&self) -> bool {
        self.before.meets(self.cell.before) && self.after.meets(self.cell.after)
    }
}

impl fmt::Display for CellResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cell,
            before,
            after,
        } = self;
        write!(
            f,
            "{cell}: {before} (must be {}), then {after} (must be {})",
            cell.before, cell.after
        )
    }
}

/// What came of a step.
#[derive(Debug, Clone)]
pub struct StepResult {
    /// Every cell, in the script's order.
    pub cells: Vec<CellResult>,
    /// From writing the policies until netpolctl said they are in force.
    pub took: Duration,
}

impl StepResult {
    /// The cells that came out wrong.
    pub fn wrong(&self) -> impl Iterator<Item = &CellResult> {
        self.cells.iter().filter(|cell| !cell.is_right())
    }
}

impl Stage {
    /// Builds the lab of a scenario, linked as its script says, with servers and without policies.
    ///
    /// # Errors
    ///
    /// When the lab cannot be built, or there is no agent to run.
    pub fn set(scenario: Scenario) -> Result<Self> {
        let link = scenario.script.link;
        Self::set_on(scenario, link)
    }

    /// As [`Stage::set`], linked otherwise.
    ///
    /// # Errors
    ///
    /// When the lab cannot be built, or there is no agent to run.
    pub fn set_on(scenario: Scenario, link: Link) -> Result<Self> {
        let mut lab = Lab::new(link)?;
        for (name, labels) in &scenario.namespaces {
            let labels: Vec<(&str, &str)> = labels
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            lab.namespace(name, &labels)?;
        }
        lab.add_pods(scenario.pods.clone())?;
        for pod in &scenario.pods {
            let host = lab.host(&pod.key().to_string())?;
            for (protocol, port) in pod.ports() {
                host.serve(protocol, port)?;
            }
        }
        for traffic in &scenario.script.outside {
            if let Traffic::Port(protocol, port) = traffic {
                lab.outside().serve(*protocol, port.get())?;
            }
        }
        let agent = lab.agent()?;
        Ok(Self {
            scenario,
            agent,
            lab,
            slowest: Duration::ZERO,
        })
    }

    /// The scenario.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The agent; [`Stage::set`] does not start it.
    pub fn agent(&mut self) -> &mut Agent {
        &mut self.agent
    }

    /// Asks a step's cells, puts its policies in force, and asks again.
    ///
    /// # Errors
    ///
    /// When the policies are not in force in time. A wrong cell is no error but a result.
    pub fn play(&mut self, step: &Step) -> Result<StepResult> {
        let before = self.observe(&step.cells, |cell| cell.before)?;
        let started = Instant::now();
        let policies = self.scenario.dir.join(&step.policies);
        self.lab.manifests().copy(&policies, POLICIES)?;
        self.agent.wait_ready()?;
        let took = started.elapsed();
        let after = self.observe(&step.cells, |cell| cell.after)?;
        let cells = step.cells.iter().zip(before.into_iter().zip(after));
        Ok(StepResult {
            cells: cells
                .map(|(cell, (before, after))| CellResult {
                    cell: cell.clone(),
                    before,
                    after,
                })
                .collect(),
            took,
        })
    }

    /// The verdict counters, as netpolctl prints them.
    ///
    /// # Errors
    ///
    /// When netpolctl fails.
    pub fn counters(&self) -> Result<String> {
        self.agent.ctl().text(&["stats", "-A"])
    }

    /// Asks all cells at once, over each of their families.
    fn observe(&mut self, cells: &[Cell], expect: fn(&Cell) -> Expect) -> Result<Vec<Observed>> {
        // What must come back may take its time. What must not is worth a wait that is long beside
        // the slowest answer: an emulated machine is slow, and an answer that comes late is an
        // answer.
        let refusal = QUICK.max(3 * self.slowest);
        let mut probes = Vec::new();
        for cell in cells {
            let (from, to) = (self.host(&cell.from)?, self.host(&cell.to)?);
            let timeout = match expect(cell) {
                Expect::Reached => ANSWER,
                Expect::Refused => refusal,
            };
            for family in cell.families() {
                probes.push(Probe {
                    from: from.clone(),
                    to: to.addresses().of(family),
                    traffic: cell.port,
                    timeout,
                });
            }
        }
        let asked = ask_all(&probes);
        let answers = asked.iter().filter(|asked| asked.outcome.is_reached());
        let slowest = answers.map(|asked| asked.took).max();
        self.slowest = self.slowest.max(slowest.unwrap_or_default());
        let mut outcomes = asked.into_iter().map(|asked| asked.outcome);
        let observed = cells.iter().map(|cell| {
            let families = cell.families().into_iter();
            Observed(families.zip(outcomes.by_ref()).collect())
        });
        Ok(observed.collect())
    }

    pub(super) fn host(&self, name: &str) -> Result<Host> {
        if name == self.lab.node().name() {
            return Ok(self.lab.node().clone());
        }
        self.lab.host(name)
    }
}
