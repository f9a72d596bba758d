//! Rates, what enforcement adds to a packet, and ratios.

mod text;

use serde::Serialize;

use super::{Contestant, Plan};

/// What was measured of one contestant, in the order of the rounds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rates {
    /// Packets a second.
    pub packets: Vec<f64>,
    /// Connections a second.
    pub connections: Vec<f64>,
}

impl Rates {
    pub(super) fn add(&mut self, packets: f64, connections: f64) {
        self.packets.push(packets);
        self.connections.push(connections);
    }
}

/// One contestant.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Which.
    pub contestant: Contestant,
    /// What enforced, in words; why nothing did, if it was skipped.
    pub by: String,
    /// Nothing if it was skipped.
    pub rates: Option<Rates>,
}

impl Figures {
    pub(super) fn measured(contestant: Contestant, by: String, rates: Rates) -> Self {
        Self {
            contestant,
            by,
            rates: Some(rates),
        }
    }

    pub(super) fn skipped(contestant: Contestant, why: String) -> Self {
        Self {
            contestant,
            by: why,
            rates: None,
        }
    }
}

/// A median, and the median distance from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The median of the distances from it.
    pub deviation: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let median = median(values.to_vec());
        let distances = values.iter().map(|value| (value - median).abs());
        Self {
            median,
            deviation: median_of(distances),
        }
    }
}

fn median_of(values: impl Iterator<Item = f64>) -> f64 {
    median(values.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        None => 0.0,
        Some(upper) if values.len() % 2 == 1 => *upper,
        Some(upper) => f64::midpoint(values[middle - 1], *upper),
    }
}

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Who.
    pub contestant: Contestant,
    /// Packets a second.
    pub packets: Spread,
    /// Nanoseconds a packet.
    pub nanoseconds: f64,
    /// What it adds to a packet, in nanoseconds: the median of the differences within rounds.
    pub added: Spread,
    /// Its packets to those of no enforcement, likewise.
    pub packet_ratio: f64,
    /// Connections a second.
    pub connections: Spread,
    /// Its connections to those of no enforcement, likewise.
    pub connection_ratio: f64,
}

/// netpol beside another enforcer.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The other.
    pub rival: Contestant,
    /// netpol's packets to the other's: the median of the ratios within rounds.
    pub packets: f64,
    /// Connections likewise.
    pub connections: f64,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was measured.
    pub plan: Plan,
    /// Each contestant, with its rounds.
    pub figures: Vec<Figures>,
    /// What the rounds come to.
    pub lines: Vec<Line>,
    /// netpol beside the others.
    pub verdicts: Vec<Verdict>,
}

impl Report {
    pub(super) fn new(plan: Plan, figures: Vec<Figures>) -> Self {
        let rates = |wanted: Contestant| {
            let mut all = figures.iter();
            let of = all.find(|it| it.contestant == wanted)?;
            of.rates.as_ref()
        };
        let lines = rates(Contestant::None).map_or_else(Vec::new, |none| {
            let measured = Contestant::ALL.into_iter();
            let measured = measured.filter_map(|it| Some(line(it, rates(it)?, none)));
            measured.collect()
        });
        let verdicts = rates(Contestant::Netpol).map_or_else(Vec::new, |netpol| {
            let rivals = [Contestant::Nftables, Contestant::Iptables].into_iter();
            let verdict = |rival| {
                let other = rates(rival)?;
                Some(Verdict {
                    rival,
                    packets: ratio(&netpol.packets, &other.packets),
                    connections: ratio(&netpol.connections, &other.connections),
                })
            };
            rivals.filter_map(verdict).collect()
        });
        Self {
            plan,
            figures,
            lines,
            verdicts,
        }
    }
}

fn line(contestant: Contestant, rates: &Rates, none: &Rates) -> Line {
    let packets = Spread::of(&rates.packets);
    let added: Vec<f64> = (rates.packets.iter().zip(&none.packets))
        .map(|(rate, none)| nanoseconds(*rate) - nanoseconds(*none))
        .collect();
    Line {
        contestant,
        packets,
        nanoseconds: nanoseconds(packets.median),
        added: Spread::of(&added),
        packet_ratio: ratio(&rates.packets, &none.packets),
        connections: Spread::of(&rates.connections),
        connection_ratio: ratio(&rates.connections, &none.connections),
    }
}

fn nanoseconds(rate: f64) -> f64 {
    1e9 / rate
}

/// The median of the ratios within rounds.
fn ratio(rates: &[f64], others: &[f64]) -> f64 {
    median_of(rates.iter().zip(others).map(|(rate, other)| rate / other))
}

/// netpol ahead in packets and behind in connections; no iptables.
#[cfg(test)]
fn sample() -> Report {
    let rates = |packets: [f64; 3], connections: [f64; 3]| Rates {
        packets: packets.into(),
        connections: connections.into(),
    };
    let by = || "something".to_owned();
    let figures = vec![
        // In the second round something else had the processor.
        Figures::measured(
            Contestant::None,
            by(),
            rates([1e6, 5e5, 1e6], [1e4, 5e3, 1e4]),
        ),
        Figures::measured(
            Contestant::Netpol,
            by(),
            rates([8e5, 4e5, 8e5], [9e3, 4.5e3, 9e3]),
        ),
        Figures::measured(
            Contestant::Nftables,
            by(),
            rates([5e5, 2.5e5, 5e5], [1e4, 5e3, 1e4]),
        ),
        Figures::skipped(Contestant::Iptables, "no such program".to_owned()),
    ];
    let plan = Plan {
        peers: 1,
        others: 0,
        flows: 1,
        rounds: 3,
        slice: std::time::Duration::from_millis(1),
    };
    Report::new(plan, figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_one_round() {
        let report = sample();
        let netpol = &report.lines[1];
        assert!((netpol.packet_ratio - 0.8).abs() < 1e-9, "{netpol:?}");
        assert!((netpol.connection_ratio - 0.9).abs() < 1e-9, "{netpol:?}");
        assert!((netpol.added.median - 250.0).abs() < 1e-6, "{netpol:?}");
        assert!((netpol.nanoseconds - 1250.0).abs() < 1e-6, "{netpol:?}");
    }

    #[test]
    fn the_median_of_an_even_number_is_between_two() {
        assert_eq!(Spread::of(&[1.0, 2.0, 4.0, 8.0]).median.to_string(), "3");
        assert_eq!(Spread::of(&[]), Spread::default());
    }
}
