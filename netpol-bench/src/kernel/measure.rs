//! Medians, and how far rounds are apart.

use serde::Serialize;

use super::Kernel;
use super::round::{self, Plan};
use crate::scenario::Scenario;

/// What rounds came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The median of the distances from it.
    pub deviation: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of some numbers; of none, zeros.
    #[must_use]
    pub fn of(numbers: &[f64]) -> Self {
        let middle = median(numbers);
        let distances: Vec<f64> = numbers.iter().map(|it| (it - middle).abs()).collect();
        Self {
            median: middle,
            deviation: median(&distances),
            least: numbers.iter().copied().reduce(f64::min).unwrap_or(0.0),
            most: numbers.iter().copied().reduce(f64::max).unwrap_or(0.0),
        }
    }
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match (sorted.len(), sorted.get(half)) {
        (length, Some(upper)) if length % 2 == 0 => f64::midpoint(sorted[half - 1], *upper),
        (_, Some(middle)) => *middle,
        (_, None) => 0.0,
    }
}

/// Nanoseconds a packet, net of a program that does nothing.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// The scenario.
    pub nanoseconds: Spread,
    /// A look-up in a hash of as many keys as the scenario has peers.
    pub yardstick: Spread,
    /// What the look-ups take that no packet of the kind goes without: [`crate::scenario::Floor`].
    pub floor: Spread,
}

/// Measures a scenario, on maps that hold nothing else.
///
/// # Errors
///
/// The kernel refuses, or a packet is not judged as its scenario says.
pub fn measure(kernel: &mut Kernel, scenario: &Scenario, plan: Plan) -> anyhow::Result<Measured> {
    let rounds = round::all(kernel, scenario, plan)?;
    let of = |pick: fn(&round::Round) -> f64| -> Vec<f64> { rounds.iter().map(pick).collect() };
    Ok(Measured {
        nanoseconds: Spread::of(&of(|round| round.scenario)),
        yardstick: Spread::of(&of(|round| round.yardstick)),
        floor: Spread::of(&of(|round| round.floor)),
    })
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn one_round_that_was_disturbed_moves_neither_median_nor_deviation() {
        let calm = Spread::of(&[10.0, 11.0, 12.0, 11.0, 13.0]);
        let disturbed = Spread::of(&[10.0, 11.0, 12.0, 11.0, 900.0]);
        assert_eq!((calm.median, calm.deviation), (11.0, 1.0));
        assert_eq!((disturbed.median, disturbed.deviation), (11.0, 1.0));
        assert_eq!((disturbed.least, disturbed.most), (10.0, 900.0));
        assert_eq!(Spread::of(&[1.0, 2.0]).median, 1.5);
    }
}
