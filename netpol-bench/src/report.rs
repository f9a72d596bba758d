//! What was measured, beside what was asked for.

use netpol_common::Direction;
use serde::Serialize;

use crate::count::Cost;
use crate::kernel::Measured;
use crate::scenario::{Family, Scenario};

/// A packet of IPv6 may cost so many times what the same one of IPv4 does.
const V6_TIMES: f64 = 1.5;

/// Whether a target is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is.
    Met,
    /// It is not.
    Missed,
    /// It is not, and cannot be: it is below the floor.
    Below,
    /// There is none: IPv6 without its IPv4.
    None,
}

impl Verdict {
    /// In a table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::Below => "below the floor",
            Self::None => "",
        }
    }
}

/// A scenario, what it costs and what it may.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The scenario.
    pub name: String,
    /// The same without direction and family.
    pub what: String,
    /// To the pod, rather than from it.
    pub to_pod: bool,
    /// The packets' family.
    pub family: Family,
    /// What was measured.
    pub measured: Measured,
    /// What was counted, of this scenario or of one before that runs the same instructions.
    pub cost: Option<Cost>,
    /// Nanoseconds that it may cost with IPv4.
    pub limit: f64,
    /// Nanoseconds that it may cost: of IPv6, by what IPv4 was measured at.
    pub target: Option<f64>,
    /// Whether it does.
    pub verdict: Verdict,
}

impl Line {
    /// Of a scenario, and of what the same one was measured at with IPv4.
    #[must_use]
    pub fn new(
        scenario: &Scenario,
        measured: Measured,
        cost: Option<Cost>,
        v4: Option<f64>,
    ) -> Self {
        let target = match scenario.family {
            Family::V4 => Some(scenario.target),
            Family::V6 => v4.map(|nanoseconds| nanoseconds * V6_TIMES),
        };
        let verdict = match target {
            Some(target) if measured.nanoseconds.median <= target => Verdict::Met,
            Some(target) if target < measured.floor.median => Verdict::Below,
            Some(_) => Verdict::Missed,
            None => Verdict::None,
        };
        Self {
            name: scenario.name(),
            what: scenario.what.clone(),
            to_pod: scenario.direction == Direction::Ingress,
            family: scenario.family,
            limit: scenario.target,
            measured,
            cost,
            target,
            verdict,
        }
    }

    /// Which program was run.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        if self.to_pod {
            Direction::Ingress
        } else {
            Direction::Egress
        }
    }

    /// How many yardsticks it costs.
    #[must_use]
    pub fn yardsticks(&self) -> f64 {
        self.measured.nanoseconds.median / self.measured.yardstick.median.max(1.0)
    }
}
