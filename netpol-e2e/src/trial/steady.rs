//! Traffic that goes on while something happens: what must pass is asked without end, what must not
//! is knocked at without end, and taps count what came through.

use std::{fmt, time::Duration};

use anyhow::Result;

use super::{
    bed::at,
    findings::Findings,
    world::{PORT, World},
};
use crate::lab::{Host, Missed, Prober, Seen, Wiretap};

/// Between two questions of one prober.
const INTERVAL: Duration = Duration::from_millis(20);

/// All of it, running.
#[derive(Debug)]
pub(crate) struct Steady {
    asking: Vec<(String, Prober)>,
    knocking: Vec<Prober>,
    taps: Vec<Tap>,
}

/// A tap on a host that must hear nothing of what it picks.
#[derive(Debug)]
pub(crate) struct Tap {
    host: String,
    wire: Wiretap,
}

/// A packet that must not have come.
#[derive(Debug)]
pub(crate) struct Intruder {
    /// Where it came.
    pub(crate) host: String,
    /// The packet.
    pub(crate) seen: Seen,
}

impl fmt::Display for Intruder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to {} came to {}",
            self.seen.src, self.seen.dst, self.host
        )
    }
}

/// A question that must have been answered.
#[derive(Debug)]
struct Lost(String, Missed);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(who, missed) = self;
        write!(
            f,
            "{who}, {} ms after the start: {}",
            missed.at.as_millis(),
            missed.outcome
        )
    }
}

impl Tap {
    /// Counts every packet to the port that all serve, on a host that nobody may ask.
    pub(crate) fn on_port(host: &Host) -> Result<Self> {
        let own = host.addresses();
        let wire = host.tap(move |seen| own.contains(seen.dst.ip()) && seen.dst.port() == PORT)?;
        Ok(Self {
            host: host.name().to_owned(),
            wire,
        })
    }

    /// What came.
    pub(crate) fn intruders(&self) -> Vec<Intruder> {
        let seen = self.wire.seen().into_iter();
        let intruder = |seen| Intruder {
            host: self.host.clone(),
            seen,
        };
        seen.map(intruder).collect()
    }
}

impl Steady {
    /// Every client asks every allowed host, in all ways and over both families; clients knock at
    /// forbidden hosts, strangers at clients.
    pub(crate) fn start(world: &World) -> Result<Self> {
        let mut steady = Self {
            asking: Vec::new(),
            knocking: Vec::new(),
            taps: Vec::new(),
        };
        for client in world.all("client") {
            for allowed in world.all("allowed") {
                steady.ask(client, allowed)?;
            }
            for forbidden in world.all("forbidden") {
                steady.knock(client, forbidden)?;
            }
            for stranger in world.all("stranger") {
                steady.knock(stranger, client)?;
            }
            steady.taps.push(Tap::on_port(client)?);
        }
        for forbidden in world.all("forbidden") {
            steady.taps.push(Tap::on_port(forbidden)?);
        }
        Ok(steady)
    }

    fn ask(&mut self, from: &Host, to: &Host) -> Result<()> {
        for address in at(to, PORT) {
            let way = |kind| format!("{kind} from {} to {} ({address})", from.name(), to.name());
            let slow = 5 * INTERVAL;
            self.asking.extend([
                (
                    way("a long TCP connection"),
                    Prober::steady_tcp(from, address, INTERVAL)?,
                ),
                (
                    way("a long UDP flow"),
                    Prober::steady_udp(from, address, INTERVAL)?,
                ),
                (
                    way("a new TCP connection"),
                    Prober::fresh_tcp(from, address, slow),
                ),
            ]);
        }
        Ok(())
    }

    fn knock(&mut self, from: &Host, to: &Host) -> Result<()> {
        for address in to.addresses().both() {
            let prober = Prober::knocking(from, address, PORT, PORT, 2 * INTERVAL)?;
            self.knocking.push(prober);
        }
        Ok(())
    }

    /// Stops, and notes what was lost and what came through.
    pub(crate) fn finish(self, findings: &mut Findings) {
        let (mut asked, mut lost) = (0, Vec::new());
        for (who, prober) in self.asking {
            let tally = prober.finish();
            asked += tally.asked;
            let missed = tally.missed.into_iter();
            lost.extend(missed.map(|missed| Lost(who.clone(), missed)));
        }
        let knocked: usize = self.knocking.into_iter().map(|it| it.finish().asked).sum();
        let intruders: Vec<_> = self.taps.iter().flat_map(Tap::intruders).collect();
        findings.figure("allowed questions asked", asked);
        findings.none("allowed questions without an answer", &lost);
        findings.figure("forbidden packets sent", knocked);
        findings.none("forbidden packets that arrived", &intruders);
        findings.must(asked > 0 && knocked > 0, || "no traffic".to_owned());
    }
}
