//! Many questions at once: a refusal costs its whole time-out, so they wait together.

use std::{
    net::IpAddr,
    panic, thread,
    time::{Duration, Instant},
};

use super::{host::Host, outcome::Outcome, traffic::Traffic};

/// One question.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Who asks.
    pub from: Host,
    /// Whom.
    pub to: IpAddr,
    /// For what.
    pub traffic: Traffic,
    /// How long it waits.
    pub timeout: Duration,
}

/// What came of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The outcome.
    pub outcome: Outcome,
    /// How long it took to come.
    pub took: Duration,
}

/// Asks all at the same time; outcomes in the order of the questions.
pub fn ask_all(probes: &[Probe]) -> Vec<Asked> {
    let ask = |probe: &Probe| {
        let started = Instant::now();
        Asked {
            outcome: probe.from.ask(probe.to, probe.traffic, probe.timeout),
            took: started.elapsed(),
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = probes
            .iter()
            .map(|probe| scope.spawn(move || ask(probe)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|payload| panic::resume_unwind(payload))
            })
            .collect()
    })
}
